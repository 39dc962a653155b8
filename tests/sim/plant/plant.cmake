# SPDX-License-Identifier: Apache-2.0
# Writes OUT: the source file IN with the text OLD, which must be there exactly once, replaced by NEW.
# usage: cmake -DIN=... -DOUT=... -DOLD=... -DNEW=... -P plant.cmake
file(READ "${IN}" text)
string(FIND "${text}" "${OLD}" first)
string(FIND "${text}" "${OLD}" last REVERSE)
if(first EQUAL -1 OR NOT first EQUAL last)
  message(FATAL_ERROR "${IN}: the fault cannot be planted: \"${OLD}\" must be there once. "
    "Adapt tests/sim/CMakeLists.txt to the new code.")
endif()
string(REPLACE "${OLD}" "${NEW}" text "${text}")
file(WRITE "${OUT}" "${text}")
