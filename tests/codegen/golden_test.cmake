# Generates code of one .proto and compares it, byte for byte, with the golden files; twice, for the
# output must not depend on the run.
#   cmake -DPROTOC= -DPLUGIN= -DPROTOS= -DGOLDEN= -DNAME= -DOUT= -DINCLUDE= -P golden_test.cmake
# With SNAP_UPDATE_GOLDEN in the environment the golden files are written anew: read the diff.
foreach(round first second)
  file(REMOVE_RECURSE ${OUT}/${round})
  file(MAKE_DIRECTORY ${OUT}/${round})
  execute_process(
    COMMAND ${PROTOC} --plugin=protoc-gen-snaprpc=${PLUGIN} --snaprpc_out=${OUT}/${round}
      --snaprpc_opt=messages -I${PROTOS} -I${INCLUDE} ${NAME}.proto
    RESULT_VARIABLE status ERROR_VARIABLE errors)
  if(NOT status EQUAL 0 OR NOT errors STREQUAL "")
    message(FATAL_ERROR "protoc: ${status}: ${errors}")
  endif()
  foreach(suffix pb-c.h pb-c.c)
    if(NOT EXISTS ${OUT}/${round}/${NAME}.${suffix})
      message(FATAL_ERROR "there is no ${NAME}.${suffix}")
    endif()
  endforeach()
  foreach(suffix snap.h snap.c)
    if(DEFINED ENV{SNAP_UPDATE_GOLDEN})
      file(COPY_FILE ${OUT}/${round}/${NAME}.${suffix} ${GOLDEN}/${NAME}.${suffix})
    endif()
    execute_process(
      COMMAND diff -u ${GOLDEN}/${NAME}.${suffix} ${OUT}/${round}/${NAME}.${suffix}
      RESULT_VARIABLE status OUTPUT_VARIABLE difference)
    if(NOT status EQUAL 0)
      message(FATAL_ERROR "${NAME}.${suffix} is not as expected (${status}):\n${difference}")
    endif()
  endforeach()
endforeach()
