/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "protoc-gen-snaprpc makes typed snaprpc clients and servers from the services of a .proto.\n"
    "It is a plugin: protoc starts it, with a request on standard input.\n"
    "\n"
    "usage: protoc --snaprpc_out=DIR [--snaprpc_opt=OPTION,...] FILE.proto...\n"
    "       protoc --plugin=protoc-gen-snaprpc=PATH ...   if it is not in PATH\n"
    "       protoc-gen-snaprpc --help | --version\n"
    "\n"
    "For foo.proto it writes foo.snap.h and foo.snap.c, which go with the foo.pb-c.h and\n"
    "foo.pb-c.c that protoc-c writes.\n"
    "\n"
    "options:\n"
    "  messages          also write foo.pb-c.h and foo.pb-c.c, without protobuf-c's own code for\n"
    "                    services; use it instead of protoc-c, not beside it. Needed for methods\n"
    "                    that are C keywords (\"Register\") and for optional fields in proto3.\n"
    "  messages=PROGRAM  the same, with this protoc-gen-c\n";

static bool read_input(struct gen_text *input)
{
    char buffer[65536];
    size_t n = 0;
    while ((n = fread(buffer, 1, sizeof(buffer), stdin)) > 0) {
        gen_text_put(input, buffer, n);
    }
    if (ferror(stdin)) {
        fprintf(stderr, "protoc-gen-snaprpc: cannot read standard input: %s\n", strerror(errno));
        return false;
    }
    if (input->is_cut) {
        fprintf(stderr, "protoc-gen-snaprpc: the request is larger than %d bytes\n", GEN_TEXT_MAX);
        return false;
    }
    return true;
}

static bool write_output(const struct gen_text *output)
{
    if (fwrite(gen_text_string(output), 1, output->len, stdout) != output->len ||
        fflush(stdout) != 0) {
        fprintf(stderr, "protoc-gen-snaprpc: cannot write standard output: %s\n", strerror(errno));
        return false;
    }
    return true;
}

static bool run_plugin(void)
{
    struct gen_text input = {0};
    struct gen_text output = {0};
    struct gen_text why = {0};
    bool is_done = read_input(&input);
    if (is_done) {
        is_done = gen_plugin_run((const uint8_t *)gen_text_string(&input), input.len,
                                 gen_messages_run, &output, &why);
        if (!is_done) {
            fprintf(stderr, "protoc-gen-snaprpc: %s\n", gen_text_string(&why));
        }
    }
    is_done = is_done && write_output(&output);
    gen_text_fini(&input);
    gen_text_fini(&output);
    gen_text_fini(&why);
    return is_done;
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("protoc-gen-snaprpc " SNAPRPC_VERSION);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (argc > 1) {
        fprintf(stderr, "protoc-gen-snaprpc: unexpected argument \"%s\"; see --help\n", argv[1]);
        return 2;
    }
    if (isatty(STDIN_FILENO)) {
        fputs("protoc-gen-snaprpc: this program is run by protoc; see --help\n", stderr);
        return 2;
    }
    return run_plugin() ? 0 : 1;
}
