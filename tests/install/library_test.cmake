# Installs all into a folder of its own, moves that folder, and builds and runs programs in C and C++
# against it: with find_package, and with pkg-config and the compiler alone.
#   cmake -DBUILD= -DSOURCE= -DOUT= -DCC= -DLIBDIR= -P library_test.cmake
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
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${OUT}/staged)
file(RENAME ${OUT}/staged ${OUT}/moved)

run(${CMAKE_COMMAND} -S ${SOURCE}/library_consumer -B ${OUT}/build -DCMAKE_C_COMPILER=${CC}
  -DCMAKE_PREFIX_PATH=${OUT}/moved -DCMAKE_BUILD_TYPE=Debug)
run(${CMAKE_COMMAND} --build ${OUT}/build)
run(${OUT}/build/c_user)
run(${OUT}/build/cxx_user)

set(ENV{PKG_CONFIG_PATH} ${OUT}/moved/${LIBDIR}/pkgconfig)
run(pkg-config --cflags --libs snaprpc)
separate_arguments(flags UNIX_COMMAND "${output}")
run(${CC} -std=c11 -o ${OUT}/pc_user ${SOURCE}/library_consumer/user.c ${flags}
  -Wl,-rpath,${OUT}/moved/${LIBDIR})
run(${OUT}/pc_user)

# No internal header, no internal symbol.
file(GLOB_RECURSE headers RELATIVE ${OUT}/moved/include ${OUT}/moved/include/*)
list(FILTER headers EXCLUDE REGEX "^snaprpc/[a-z]+\\.h$")
if(headers)
  message(FATAL_ERROR "installed, but not public: ${headers}")
endif()
run(nm -D --defined-only --format=posix ${OUT}/moved/${LIBDIR}/libsnaprpc.so)
string(REGEX MATCHALL "[^\n]+" symbols "${output}")
list(FILTER symbols EXCLUDE REGEX "^(snap_[a-z_]+(@@SNAPRPC_0)?|SNAPRPC_0) ")
if(symbols)
  message(FATAL_ERROR "exported, but not public: ${symbols}")
endif()
