# A .proto that cannot be generated: protoc must fail, say exactly what NAME.txt says, and write
# nothing.
#   cmake -DPROTOC= -DPLUGIN= -DERRORS= -DNAME= -DOUT= -DINCLUDE= [-DOPTION=] -P error_test.cmake
# With SNAP_UPDATE_GOLDEN in the environment NAME.txt is written anew: read the diff.
file(REMOVE_RECURSE ${OUT})
file(MAKE_DIRECTORY ${OUT})
set(option "")
if(OPTION)
  set(option --snaprpc_opt=${OPTION})
endif()
execute_process(
  COMMAND ${PROTOC} --plugin=protoc-gen-snaprpc=${PLUGIN} --snaprpc_out=${OUT} ${option}
    -I${ERRORS} -I${INCLUDE} ${NAME}.proto
  RESULT_VARIABLE status ERROR_VARIABLE errors)
if(status EQUAL 0)
  message(FATAL_ERROR "protoc succeeded")
endif()
if(DEFINED ENV{SNAP_UPDATE_GOLDEN})
  file(WRITE ${ERRORS}/${NAME}.txt "${errors}")
endif()
file(READ ${ERRORS}/${NAME}.txt expected)
if(NOT errors STREQUAL expected)
  message(FATAL_ERROR "protoc said:\n${errors}\ninstead of:\n${expected}")
endif()
file(GLOB_RECURSE written ${OUT}/*)
if(written)
  message(FATAL_ERROR "protoc wrote ${written}")
endif()
