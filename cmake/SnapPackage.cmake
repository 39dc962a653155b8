include_guard(GLOBAL)

# What find_package(snaprpc) finds. lib/ adds its targets as snaprpcTargets.cmake beside it, codegen/
# its own as snaprpcTools.cmake.
include(CMakePackageConfigHelpers)
set(SNAP_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/snaprpc)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/snaprpcConfig.cmake.in
  ${PROJECT_BINARY_DIR}/snaprpcConfig.cmake INSTALL_DESTINATION ${SNAP_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/snaprpcConfigVersion.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/snaprpcConfig.cmake
  ${PROJECT_BINARY_DIR}/snaprpcConfigVersion.cmake DESTINATION ${SNAP_PACKAGE_DIR}
  COMPONENT codegen)
