# The program when it is run by hand, or fed with what protoc would never send.
#   cmake -DPLUGIN= -DVERSION= -DOUT= -P cli_test.cmake
file(MAKE_DIRECTORY ${OUT})
file(WRITE ${OUT}/empty "")
file(WRITE ${OUT}/garbage "this is no request")

# expect(<status> <stream> <regex> [FILE input] [ARGS...])
function(expect wanted stream regex)
  cmake_parse_arguments(PARSE_ARGV 3 ARG "" "FILE" "ARGS")
  if(NOT ARG_FILE)
    set(ARG_FILE ${OUT}/empty)
  endif()
  execute_process(COMMAND ${PLUGIN} ${ARG_ARGS} INPUT_FILE ${ARG_FILE}
    RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err)
  if(NOT status EQUAL wanted OR NOT "${${stream}}" MATCHES "${regex}")
    message(FATAL_ERROR "${ARG_ARGS} < ${ARG_FILE}: ${status}\nout: ${out}\nerr: ${err}")
  endif()
endfunction()

string(REPLACE "." "\\." version ${VERSION})
expect(0 out "usage: protoc --snaprpc_out=DIR.*messages=PROGRAM" ARGS --help)
expect(0 out "^protoc-gen-snaprpc ${version}\n$" ARGS --version)
expect(2 err "^protoc-gen-snaprpc: unexpected argument \"--versions\"; see --help\n$" ARGS --versions)
expect(2 err "unexpected argument \"--help\"" ARGS --help --version)
expect(1 err "^protoc-gen-snaprpc: the request asks for no file; [^\n]*\n$")
expect(1 err "^protoc-gen-snaprpc: this is no CodeGeneratorRequest, [^\n]*\n$" FILE ${OUT}/garbage)
