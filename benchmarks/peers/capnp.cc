/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/report.h"
#include "perf.capnp.h"

#include <capnp/ez-rpc.h>

#include <cstdio>
#include <cstring>
#include <vector>

/*
 * Cap'n Proto RPC, two parties over TCP, as its manual shows it (EzRpc): one kj event loop in one thread
 * at each end. Cap'n Proto does not decode: fields are read in place.
 */
namespace
{

class Server final : public Perf::Server
{
  public:
    kj::Promise<void> echo(EchoContext context) override
    {
        auto data = context.getParams().getData();
        context.getResults(capnp::MessageSize{data.size() / 8 + 16, 0}).setData(data);
        return kj::READY_NOW;
    }

    kj::Promise<void> fill(FillContext context) override
    {
        uint64_t n = context.getParams().getBytes();
        auto data = context.getResults(capnp::MessageSize{n / 8 + 16, 0}).initData(n);
        std::memset(data.begin(), 0x5a, data.size());
        return kj::READY_NOW;
    }
};

int Serve(const bench_options &options)
{
    capnp::EzRpcServer server(kj::heap<Server>(), options.target);
    auto &scope = server.getWaitScope();
    std::printf("serving at port %u\n", server.getPort().wait(scope));
    std::fflush(stdout);
    kj::NEVER_DONE.wait(scope);
    return 0;
}

struct Caller {
    bench_options *options;
    bench_meter meter;
    std::vector<kj::Own<capnp::EzRpcClient>> connections;
    std::vector<Perf::Client> servers;
    std::vector<kj::Promise<void>> places; /**< [in_flight] */
    std::vector<uint8_t> payload;
    uint32_t next = 0;
    kj::Own<kj::PromiseFulfiller<void>> all_ended;
};

void Start(void *arg, uint32_t slot);

/** A call ended: false when it was the last one. */
void OnEnd(Caller *caller, uint32_t slot, uint64_t started_ns, uint64_t bytes)
{
    if (bench_call_ok(&caller->meter, started_ns, bytes)) {
        /* A promise may not be replaced from within itself: the next one is made by the loop. */
        Start(caller, slot);
    } else if (caller->meter.in_flight == 0) {
        caller->all_ended->fulfill();
    }
}

kj::Promise<void> Call(Caller *caller, uint32_t slot)
{
    Perf::Client &server = caller->servers[caller->next++ % caller->servers.size()];
    uint64_t started_ns = bench_now_ns();
    if (caller->options->is_large) {
        auto request = server.fillRequest();
        request.setBytes(caller->options->size);
        return request.send().then(
            [=](auto &&reply) { OnEnd(caller, slot, started_ns, reply.getData().size()); });
    }
    auto request = server.echoRequest(capnp::MessageSize{caller->payload.size() / 8 + 16, 0});
    request.setData(kj::arrayPtr(caller->payload.data(), caller->payload.size()));
    return request.send().then(
        [=](auto &&reply) { OnEnd(caller, slot, started_ns, reply.getData().size()); });
}

void Start(void *arg, uint32_t slot)
{
    auto *caller = static_cast<Caller *>(arg);
    Call(caller, slot).detach([caller](kj::Exception &&exception) {
        (void)bench_call_failed(&caller->meter, exception.getDescription().cStr());
        if (caller->meter.in_flight == 0) {
            caller->all_ended->fulfill();
        }
    });
}

/** Runs kj's loop until the window is closed. */
void Drive(void *arg)
{
    auto *caller = static_cast<Caller *>(arg);
    auto ended = kj::newPromiseAndFulfiller<void>();
    caller->all_ended = kj::mv(ended.fulfiller);
    ended.promise.wait(caller->connections[0]->getWaitScope());
}

int CallServer(bench_options *options)
{
    Caller caller;
    caller.options = options;
    if (!bench_meter_init(&caller.meter)) {
        return 1;
    }
    caller.payload.resize(options->size);
    capnp::ReaderOptions reader;
    reader.traversalLimitInWords = 1 << 30;
    for (uint32_t i = 0; i < options->connections; i++) {
        caller.connections.push_back(kj::heap<capnp::EzRpcClient>(options->target, 0, reader));
        caller.servers.push_back(caller.connections.back()->getMain<Perf>());
    }
    for (auto &server : caller.servers) { /* connected, each */
        server.echoRequest().send().wait(caller.connections[0]->getWaitScope());
    }
    bench_driver driver = {Start, Drive, &caller};
    bench_measure(options, &caller.meter, &driver);
    struct bench_report report = {};
    report.carried_by = "capnp";
    return bench_report(options, &caller.meter, &report);
}

} // namespace

int main(int argc, char **argv)
{
    static const bench_program program = {"peer-capnp", nullptr, nullptr};
    bench_options options;
    int end = bench_parse(argc, argv, &program, &options);
    if (end != 0) {
        return end - 1;
    }
    return bench_is(&options, "serve") ? Serve(options) : CallServer(&options);
}
