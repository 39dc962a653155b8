/* SPDX-License-Identifier: Apache-2.0 */

/* Generated code, run: the functions it calls are played by this file. All generated files are
 * linked in, so every descriptor and function they name must have the name that protobuf-c gave. */
#include "c_package.snap.h"
#include "comments.snap.h"
#include "files.snap.h"
#include "keywords.snap.h"
#include "long_names.snap.h"
#include "names.snap.h"
#include "no_package.snap.h"
#include "no_service.snap.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

/* What the fakes saw last, and what they answer. */
static struct {
    struct snap_channel *channel;
    struct snap_server *server;
    struct snap_server_call *call;
    const struct snap_method *method;
    const struct snap_service *service;
    const struct snap_call_options *options;
    const ProtobufCMessage *sent;
    const ProtobufCMessage *freed;
    snap_any_fn *typed[32];
    void *arg;
    ProtobufCMessage *answer;
    struct snap_status status;
} seen;

struct snap_status snap_channel_call(struct snap_channel *channel, const struct snap_method *method,
                                     const ProtobufCMessage *request,
                                     const struct snap_call_options *options,
                                     ProtobufCMessage **response)
{
    seen.channel = channel;
    seen.method = method;
    seen.sent = request;
    seen.options = options;
    if (seen.answer != NULL) {
        *response = seen.answer;
    }
    return seen.status;
}

struct snap_call_id snap_channel_start(struct snap_channel *channel,
                                       const struct snap_method *method,
                                       const ProtobufCMessage *request,
                                       const struct snap_call_options *options, snap_any_fn *typed,
                                       void *arg)
{
    seen.channel = channel;
    seen.method = method;
    seen.sent = request;
    seen.options = options;
    seen.typed[0] = typed;
    seen.arg = arg;
    return (struct snap_call_id){77};
}

void snap_message_free(ProtobufCMessage *response)
{
    seen.freed = response;
}

struct snap_status snap_server_add(struct snap_server *server, const struct snap_service *service,
                                   snap_any_fn *const *handlers, void *arg)
{
    seen.server = server;
    seen.service = service;
    seen.arg = arg;
    for (size_t i = 0; i < service->n_methods; i++) {
        seen.typed[i] = handlers[i];
    }
    return seen.status;
}

void snap_server_reply(struct snap_server_call *call, const ProtobufCMessage *response)
{
    seen.call = call;
    seen.sent = response;
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    return 0;
}

/* Opaque objects: only their addresses matter. */
static char objects[4];
#define CHANNEL ((struct snap_channel *)(void *)&objects[0])
#define SERVER  ((struct snap_server *)(void *)&objects[1])
#define CALL    ((struct snap_server_call *)(void *)&objects[2])

static void call_hands_over_and_gives_back(void **state)
{
    (void)state;
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    Files__GetReply reply = FILES__GET_REPLY__INIT;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    Files__GetReply *response = NULL;
    seen.answer = &reply.base;
    struct snap_status status = files__files__get__call(CHANNEL, &request, &options, &response);
    assert_int_equal(status.code, SNAP_OK);
    assert_ptr_equal(response, &reply);
    assert_ptr_equal(seen.channel, CHANNEL);
    assert_ptr_equal(seen.method, &files__files__get__method);
    assert_ptr_equal(seen.sent, &request.base);
    assert_ptr_equal(seen.options, &options);
    files__files__get__free(response);
    assert_ptr_equal(seen.freed, &reply.base);
}

static void failed_call_gives_its_status_and_no_response(void **state)
{
    (void)state;
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    Files__GetReply reply = FILES__GET_REPLY__INIT;
    Files__GetReply *response = &reply;
    seen.status.code = SNAP_NOT_FOUND;
    struct snap_status status = files__files__get__call(CHANNEL, &request, NULL, &response);
    assert_int_equal(status.code, SNAP_NOT_FOUND);
    assert_null(response);
}

static void response_that_is_not_wanted_is_freed(void **state)
{
    (void)state;
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    Files__GetReply reply = FILES__GET_REPLY__INIT;
    seen.answer = &reply.base;
    struct snap_status status = files__files__get__call(CHANNEL, &request, NULL, NULL);
    assert_int_equal(status.code, SNAP_OK);
    assert_ptr_equal(seen.freed, &reply.base);
}

static Files__GetReply *done_with;

static void on_done(void *arg, const struct snap_result *result, Files__GetReply *response)
{
    assert_ptr_equal(arg, &objects[3]);
    assert_int_equal(result->status.code, SNAP_OK);
    done_with = response;
}

static void trampoline_calls_the_typed_callback(void **state)
{
    (void)state;
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    Files__GetReply reply = FILES__GET_REPLY__INIT;
    struct snap_result result = {0};
    struct snap_call_id id =
        files__files__get__start(CHANNEL, &request, NULL, on_done, &objects[3]);
    assert_int_equal(id.v, 77);
    assert_ptr_equal(seen.method, &files__files__get__method);
    assert_ptr_equal(seen.sent, &request.base);
    seen.method->done(seen.typed[0], seen.arg, &result, &reply.base);
    assert_ptr_equal(done_with, &reply);
}

static void callback_may_be_missing(void **state)
{
    (void)state;
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    struct snap_result result = {0};
    (void)files__files__get__start(CHANNEL, &request, NULL, NULL, NULL);
    seen.method->done(seen.typed[0], seen.arg, &result, NULL);
}

static const Files__RemoveRequest *removed;

static void on_remove(struct snap_server_call *call, const Files__RemoveRequest *request, void *arg)
{
    Files__RemoveReply reply = FILES__REMOVE_REPLY__INIT;
    assert_ptr_equal(arg, &objects[3]);
    removed = request;
    files__files__remove__reply(call, &reply);
    assert_ptr_equal(seen.sent, &reply.base);
}

static void serve_hands_over_handlers_in_the_services_order(void **state)
{
    (void)state;
    Files__Files__Handlers handlers = {.remove = on_remove};
    seen.status.code = SNAP_ALREADY_EXISTS;
    struct snap_status status = files__files__serve(SERVER, &handlers, &objects[3]);
    assert_int_equal(status.code, SNAP_ALREADY_EXISTS);
    assert_ptr_equal(seen.server, SERVER);
    assert_ptr_equal(seen.service, &files__files__service);
    assert_null(seen.typed[0]);
    assert_null(seen.typed[2]);
    Files__RemoveRequest request = FILES__REMOVE_REQUEST__INIT;
    seen.service->methods[1]->dispatch(seen.typed[1], CALL, &request.base, seen.arg);
    assert_ptr_equal(removed, &request);
    assert_ptr_equal(seen.call, CALL);
}

static void service_without_methods_can_be_served(void **state)
{
    (void)state;
    Acme__FileStore__V1Beta__Nothing__Handlers handlers = {0};
    struct snap_status status = acme__file_store__v1_beta__nothing__serve(SERVER, &handlers, NULL);
    assert_int_equal(status.code, SNAP_OK);
    assert_int_equal(seen.service->n_methods, 0);
}

static void constants_say_what_the_proto_says(void **state)
{
    (void)state;
    assert_string_equal(files__files__service.name, "files.Files");
    assert_int_equal(files__files__service.n_methods, 3);
    assert_ptr_equal(files__files__service.methods[0], &files__files__get__method);
    assert_string_equal(files__files__get__method.name, "files.Files/Get");
    assert_ptr_equal(files__files__get__method.request, &files__get_request__descriptor);
    assert_ptr_equal(files__files__get__method.response, &files__get_reply__descriptor);
    assert_int_equal(files__files__get__method.kind, SNAP_UNARY);
    assert_int_equal(files__files__get__method.flags, SNAP_METHOD_IDEMPOTENT);
    assert_int_equal(files__files__remove__method.flags, SNAP_METHOD_IDEMPOTENT);
    assert_int_equal(files__files__old_remove__method.flags, 0);
    assert_string_equal(echo__ping__method.name, "Echo/Ping");
    assert_string_equal(short__c__oracle__ask__method.name, "very.long.winded.Oracle/Ask");
}

/* A service's constants in full, whatever its names. */
static void assert_service_is_whole(const struct snap_service *service)
{
    for (size_t i = 0; i < service->n_methods; i++) {
        const struct snap_method *method = service->methods[i];
        size_t len = strlen(service->name);
        assert_memory_equal(method->name, service->name, len);
        assert_int_equal(method->name[len], '/');
        assert_int_equal(method->request->magic, PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
        assert_int_equal(method->response->magic, PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
        assert_non_null(method->done);
        assert_non_null(method->dispatch);
    }
}

static void every_service_is_whole(void **state)
{
    (void)state;
    assert_service_is_whole(&acme__file_store__v1_beta__store_url__service);
    assert_service_is_whole(&acme__file_store__v1_beta__second_store__service);
    assert_service_is_whole(&comments__talk__service);
    assert_service_is_whole(&echo__service);
    assert_service_is_whole(&files__files__service);
    assert_service_is_whole(&register__class__new__service);
    assert_service_is_whole(&short__c__oracle__service);
    assert_int_equal(register__class__new__service.n_methods, 19);
}

static void proto3_optional_keeps_presence(void **state)
{
    (void)state;
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    uint8_t bytes[16];
    assert_int_equal(files__get_request__pack(&request, bytes), 0);
    request._offset_case = FILES__GET_REQUEST___OFFSET_OFFSET;
    assert_int_equal(files__get_request__pack(&request, bytes), 2);
    Files__GetRequest *back = files__get_request__unpack(NULL, 2, bytes);
    assert_non_null(back);
    assert_int_equal(back->_offset_case, FILES__GET_REQUEST___OFFSET_OFFSET);
    assert_int_equal(back->offset, 0);
    files__get_request__free_unpacked(back, NULL);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(call_hands_over_and_gives_back),
        CASE(failed_call_gives_its_status_and_no_response),
        CASE(response_that_is_not_wanted_is_freed),
        CASE(trampoline_calls_the_typed_callback),
        CASE(callback_may_be_missing),
        CASE(serve_hands_over_handlers_in_the_services_order),
        CASE(service_without_methods_can_be_served),
        CASE(constants_say_what_the_proto_says),
        CASE(every_service_is_whole),
        CASE(proto3_optional_keeps_presence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
