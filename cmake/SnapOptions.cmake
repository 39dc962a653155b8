include_guard(GLOBAL)

# snap_build_options: the one place for language level, warnings, hardening and sanitizers.
add_library(snap_build_options INTERFACE)
target_compile_features(snap_build_options INTERFACE c_std_11)
target_compile_definitions(snap_build_options INTERFACE _GNU_SOURCE)
target_compile_options(snap_build_options INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wwrite-strings -Wcast-align
  -Wformat=2 -Wundef -Wswitch-enum -Wimplicit-fallthrough -fno-common
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>) # messages are cut to their buffers on purpose
if(SNAP_WERROR)
  target_compile_options(snap_build_options INTERFACE -Werror)
endif()

# Plain if(): a comma inside a generator expression would split the sanitizer list.
if(SNAP_SANITIZE)
  target_compile_options(snap_build_options INTERFACE
    -fsanitize=${SNAP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(snap_build_options INTERFACE -fsanitize=${SNAP_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(snap_build_options INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
  target_link_options(snap_build_options INTERFACE -Wl,-z,relro,-z,now)
endif()

if(SNAP_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "SNAP_FUZZ needs clang: use the preset \"fuzz\" (-DCMAKE_C_COMPILER=clang)")
  endif()
  target_compile_options(snap_build_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(snap_build_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(SNAP_COVERAGE)
  target_compile_options(snap_build_options INTERFACE --coverage)
  target_link_options(snap_build_options INTERFACE --coverage)
endif()
