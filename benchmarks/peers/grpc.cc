/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/report.h"
#include "perf.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

/*
 * gRPC C++, asynchronous unary calls of the same perf.proto over insecure credentials: one completion
 * queue and one thread that asks it at each end. Each connection is a channel with a pool of
 * subchannels of its own, as gRPC shares one connection between equal channels otherwise.
 */
namespace
{

constexpr int kServedAtOnce = 512;

/** A call that may come: waits for one, answers it, waits again in a fresh object. */
class Served
{
  public:
    virtual ~Served() = default;
    virtual void Proceed(bool ok) = 0;
};

template <typename Request> class Unary : public Served
{
  public:
    using Ask = void (perf::Perf::AsyncService::*)(grpc::ServerContext *, Request *,
                                                   grpc::ServerAsyncResponseWriter<perf::Data> *,
                                                   grpc::CompletionQueue *,
                                                   grpc::ServerCompletionQueue *, void *);
    using Answer = void (*)(const Request &, perf::Data *);

    Unary(perf::Perf::AsyncService *service, grpc::ServerCompletionQueue *queue, Ask ask,
          Answer answer)
        : service_(service), queue_(queue), ask_(ask), answer_(answer), writer_(&context_)
    {
        (service_->*ask_)(&context_, &request_, &writer_, queue_, queue_, this);
    }

    void Proceed(bool ok) override
    {
        if (!ok || is_answered_) {
            delete this;
            return;
        }
        new Unary(service_, queue_, ask_, answer_);
        perf::Data reply;
        answer_(request_, &reply);
        is_answered_ = true;
        writer_.Finish(reply, grpc::Status::OK, this);
    }

  private:
    perf::Perf::AsyncService *service_;
    grpc::ServerCompletionQueue *queue_;
    Ask ask_;
    Answer answer_;
    grpc::ServerContext context_;
    Request request_;
    grpc::ServerAsyncResponseWriter<perf::Data> writer_;
    bool is_answered_ = false;
};

void EchoBack(const perf::Data &request, perf::Data *reply)
{
    reply->set_data(request.data());
}

void FillUp(const perf::FillRequest &request, perf::Data *reply)
{
    reply->mutable_data()->assign(request.bytes(), '\x5a');
}

int Serve(const bench_options &options)
{
    perf::Perf::AsyncService service;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(options.target, grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr || port == 0) {
        return 1;
    }
    for (int i = 0; i < kServedAtOnce; i++) {
        new Unary<perf::Data>(&service, queue.get(), &perf::Perf::AsyncService::RequestEcho,
                              EchoBack);
        new Unary<perf::FillRequest>(&service, queue.get(), &perf::Perf::AsyncService::RequestFill,
                                     FillUp);
    }
    std::printf("serving at port %d\n", port);
    std::fflush(stdout);
    void *tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) {
        static_cast<Served *>(tag)->Proceed(ok);
    }
    return 0;
}

struct Call {
    uint32_t slot = 0;
    uint64_t started_ns = 0;
    grpc::ClientContext context;
    grpc::Status status;
    perf::Data reply;
    std::unique_ptr<grpc::ClientAsyncResponseReader<perf::Data>> reader;
};

struct Caller {
    bench_options *options;
    bench_meter meter;
    grpc::CompletionQueue queue;
    std::vector<std::unique_ptr<perf::Perf::Stub>> stubs;
    uint32_t next = 0;
    perf::Data request;
    perf::FillRequest fill_request;
};

void Start(void *arg, uint32_t slot)
{
    auto *caller = static_cast<Caller *>(arg);
    perf::Perf::Stub &stub = *caller->stubs[caller->next++ % caller->stubs.size()];
    auto *call = new Call;
    call->slot = slot;
    call->started_ns = bench_now_ns();
    call->reader = caller->options->is_large
                       ? stub.AsyncFill(&call->context, caller->fill_request, &caller->queue)
                       : stub.AsyncEcho(&call->context, caller->request, &caller->queue);
    call->reader->Finish(&call->reply, &call->status, call);
}

void Drive(void *arg)
{
    auto *caller = static_cast<Caller *>(arg);
    void *tag = nullptr;
    bool ok = false;
    if (!caller->queue.Next(&tag, &ok)) {
        return;
    }
    std::unique_ptr<Call> call(static_cast<Call *>(tag));
    bool again = ok && call->status.ok()
                     ? bench_call_ok(&caller->meter, call->started_ns, call->reply.data().size())
                     : bench_call_failed(&caller->meter, call->status.error_message().c_str());
    if (again) {
        Start(caller, call->slot);
    }
}

int CallServer(bench_options *options)
{
    Caller caller;
    caller.options = options;
    if (!bench_meter_init(&caller.meter)) {
        return 1;
    }
    caller.request.mutable_data()->assign(options->size, '\0');
    caller.fill_request.set_bytes(options->size);
    for (uint32_t i = 0; i < options->connections; i++) {
        grpc::ChannelArguments args;
        args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        args.SetMaxReceiveMessageSize(-1);
        auto channel =
            grpc::CreateCustomChannel(options->target, grpc::InsecureChannelCredentials(), args);
        if (!channel->WaitForConnected(std::chrono::system_clock::now() +
                                       std::chrono::seconds(10))) {
            std::fprintf(stderr, "peer-grpc: no connection to %s\n", options->target);
            return 1;
        }
        caller.stubs.push_back(perf::Perf::NewStub(channel));
    }
    bench_driver driver = {Start, Drive, &caller};
    bench_measure(options, &caller.meter, &driver);
    struct bench_report report = {};
    report.carried_by = "grpc";
    int code = bench_report(options, &caller.meter, &report);
    std::fflush(stdout);
    _exit(code); /* gRPC's own threads are not worth waiting for */
}

} // namespace

int main(int argc, char **argv)
{
    static const bench_program program = {"peer-grpc", nullptr, nullptr};
    bench_options options;
    int end = bench_parse(argc, argv, &program, &options);
    if (end != 0) {
        return end - 1;
    }
    return bench_is(&options, "serve") ? Serve(options) : CallServer(&options);
}
