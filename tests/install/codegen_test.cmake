# Installs the generator into a folder of its own, moves that folder, and builds a user's project with
# it: from nothing, again after a change of an imported .proto, and again after no change.
#   cmake -DBUILD= -DSOURCE= -DOUT= -DHEADERS= -DGENERATOR= -P codegen_test.cmake
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGV}: ${status}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${OUT})
file(MAKE_DIRECTORY ${OUT})
run(${CMAKE_COMMAND} --install ${BUILD} --component codegen --prefix ${OUT}/staged)
file(RENAME ${OUT}/staged ${OUT}/moved)
file(COPY ${SOURCE}/codegen_consumer DESTINATION ${OUT})
run(${CMAKE_COMMAND} -S ${OUT}/codegen_consumer -B ${OUT}/build -G ${GENERATOR}
  -DCMAKE_PREFIX_PATH=${OUT}/moved -DSNAPRPC_HEADERS=${HEADERS} -DCMAKE_BUILD_TYPE=Debug)
run(${CMAKE_COMMAND} --build ${OUT}/build)

file(READ ${OUT}/build/api.snaprpc/top.snap.h before)
if(NOT before MATCHES "top__top__go__call" OR NOT EXISTS
    ${OUT}/build/api.snaprpc/api/shared.snap.h OR NOT EXISTS
    ${OUT}/build/api.snaprpc/google/protobuf/empty.pb-c.h)
  message(FATAL_ERROR "files are missing in ${OUT}/build/api.snaprpc")
endif()

run(${CMAKE_COMMAND} --build ${OUT}/build)
if(output MATCHES "protoc")
  message(FATAL_ERROR "code was generated anew without a change:\n${output}")
endif()

file(WRITE ${OUT}/codegen_consumer/api/shared.proto
  "syntax = \"proto3\";\npackage api;\nmessage Shared {\n  int32 n = 1;\n  int32 m = 2;\n}\n")
run(${CMAKE_COMMAND} -E touch ${OUT}/codegen_consumer/api/shared.proto)
run(${CMAKE_COMMAND} --build ${OUT}/build)
if(NOT output MATCHES "protoc top.proto")
  message(FATAL_ERROR "a change of an import was not noticed:\n${output}")
endif()

# What is not there is refused while configuring.
file(APPEND ${OUT}/codegen_consumer/CMakeLists.txt
  "snaprpc_generate(TARGET user PROTOS missing.proto)\n")
execute_process(COMMAND ${CMAKE_COMMAND} ${OUT}/build RESULT_VARIABLE status
  OUTPUT_QUIET ERROR_VARIABLE output)
if(status EQUAL 0 OR NOT output MATCHES "there is no missing.proto")
  message(FATAL_ERROR "a missing .proto was not refused: ${status}: ${output}")
endif()
