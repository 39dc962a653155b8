# snaprpc_generate(TARGET <target> PROTOS <file.proto>... [IMPORT_DIRS <dir>...] [OUT_DIR <dir>])
#
# Makes C of .proto files while building, and adds it to <target>: for each foo.proto the messages
# (foo.pb-c.h, foo.pb-c.c, as protobuf-c makes them, but without its own code for services) and the
# typed clients and servers (foo.snap.h, foo.snap.c).
#
#   PROTOS       a path (absolute, or from the current source folder), or a name as other files
#                import it ("google/protobuf/empty.proto"), looked for in IMPORT_DIRS and in
#                protobuf's own folder. List an imported file too, unless a library that the target
#                links has its code already.
#   IMPORT_DIRS  where imports are looked for. A .proto inside one of these is named by its path
#                from there, and so are its headers; any other lies at the top of OUT_DIR.
#   OUT_DIR      where the code goes; also added to the target's include folders, for those who link
#                it too. Default: <current binary folder>/<target>.snaprpc
#
# A .proto that imports another is made anew when the other changes. The target must also link
# snaprpc::snaprpc, which brings the headers that the code includes.
include_guard(GLOBAL)

# The folder of descriptor.proto and its like, for imports of google/protobuf/.
find_path(SNAPRPC_PROTOBUF_INCLUDE google/protobuf/descriptor.proto
  DOC "Folder of google/protobuf/descriptor.proto")
find_program(SNAPRPC_PROTOC protoc DOC "protobuf's compiler")
find_program(SNAPRPC_PROTOC_GEN_C protoc-gen-c DOC "protobuf-c's generator")

# Splits a .proto into the folder that imports start from and the name below it.
function(_snaprpc_locate proto import_dirs out_root out_name)
  cmake_path(ABSOLUTE_PATH proto BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE
    OUTPUT_VARIABLE path)
  if(NOT EXISTS ${path})
    foreach(dir ${import_dirs} ${SNAPRPC_PROTOBUF_INCLUDE})
      if(EXISTS ${dir}/${proto})
        set(path ${dir}/${proto})
        break()
      endif()
    endforeach()
  endif()
  get_source_file_property(is_generated ${path} GENERATED)
  if(NOT EXISTS ${path} AND NOT is_generated)
    message(FATAL_ERROR "snaprpc_generate: there is no ${proto}, neither in "
      "${CMAKE_CURRENT_SOURCE_DIR} nor in the IMPORT_DIRS (${import_dirs})")
  endif()
  cmake_path(GET path PARENT_PATH root)
  cmake_path(GET path FILENAME name)
  foreach(dir ${import_dirs} ${SNAPRPC_PROTOBUF_INCLUDE})
    cmake_path(IS_PREFIX dir ${path} NORMALIZE is_inside)
    if(is_inside)
      set(root ${dir})
      cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${dir} OUTPUT_VARIABLE name)
      break()
    endif()
  endforeach()
  set(${out_root} ${root} PARENT_SCOPE)
  set(${out_name} ${name} PARENT_SCOPE)
endfunction()

function(snaprpc_generate)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "" "TARGET;OUT_DIR" "PROTOS;IMPORT_DIRS")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "snaprpc_generate: unknown argument: ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT TARGET "${ARG_TARGET}")
    message(FATAL_ERROR "snaprpc_generate: TARGET must name a target (\"${ARG_TARGET}\")")
  endif()
  if(NOT ARG_PROTOS)
    message(FATAL_ERROR "snaprpc_generate(TARGET ${ARG_TARGET}): PROTOS is missing")
  endif()
  if(NOT SNAPRPC_PROTOC OR NOT SNAPRPC_PROTOC_GEN_C OR NOT SNAPRPC_PROTOBUF_INCLUDE)
    message(FATAL_ERROR "snaprpc_generate: needs protoc, protoc-gen-c and "
      "google/protobuf/descriptor.proto; on Debian: "
      "apt-get install protobuf-compiler protobuf-c-compiler libprotobuf-dev")
  endif()
  if(NOT ARG_OUT_DIR)
    set(ARG_OUT_DIR ${CMAKE_CURRENT_BINARY_DIR}/${ARG_TARGET}.snaprpc)
  endif()
  cmake_path(ABSOLUTE_PATH ARG_OUT_DIR BASE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR} NORMALIZE)
  set(import_dirs "")
  foreach(dir ${ARG_IMPORT_DIRS})
    cmake_path(ABSOLUTE_PATH dir BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
    list(APPEND import_dirs ${dir})
  endforeach()

  file(MAKE_DIRECTORY ${ARG_OUT_DIR})
  foreach(proto ${ARG_PROTOS})
    _snaprpc_locate(${proto} "${import_dirs}" root name)
    set(imports ${root} ${import_dirs} ${SNAPRPC_PROTOBUF_INCLUDE})
    list(REMOVE_DUPLICATES imports)
    list(TRANSFORM imports PREPEND -I)
    string(REGEX REPLACE "\\.proto(devel)?$" "" base ${ARG_OUT_DIR}/${name})
    cmake_path(GET base PARENT_PATH folder)
    file(MAKE_DIRECTORY ${folder})
    # The first output must be the first that protoc writes into the list of dependencies.
    set(outputs ${base}.pb-c.c ${base}.pb-c.h ${base}.snap.c ${base}.snap.h)
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND ${SNAPRPC_PROTOC}
        --plugin=protoc-gen-snaprpc=$<TARGET_FILE:snaprpc::protoc-gen-snaprpc>
        --snaprpc_out=${ARG_OUT_DIR} --snaprpc_opt=messages=${SNAPRPC_PROTOC_GEN_C}
        --dependency_out=${base}.d ${imports} ${name}
      DEPENDS ${root}/${name} snaprpc::protoc-gen-snaprpc
      DEPFILE ${base}.d
      COMMENT "protoc ${name}"
      VERBATIM)
    target_sources(${ARG_TARGET} PRIVATE ${outputs})
    # protobuf-c's code is not written for every warning that a project may have on.
    set_source_files_properties(${base}.pb-c.c PROPERTIES COMPILE_OPTIONS -w)
  endforeach()
  target_include_directories(${ARG_TARGET} SYSTEM PUBLIC $<BUILD_INTERFACE:${ARG_OUT_DIR}>)
endfunction()
