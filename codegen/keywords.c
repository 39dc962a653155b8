/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/names.h"

#include <stdlib.h>
#include <string.h>

/* What a method's name in lower case can be and C or C++ would not take as a member's name.
 * Sorted by strcmp(); names_test looks up every one. */
static const struct {
    const char *name;
    bool is_c; /* reserved in C11, or by glibc's headers that protobuf-c's code includes */
} reserved[] = {
    /* clang-format off */
    {"alignas", false}, {"alignof", false}, {"and", false}, {"and_eq", false}, {"asm", true},
    {"assert", false}, {"auto", true}, {"bitand", false}, {"bitor", false}, {"bool", false},
    {"break", true}, {"case", true}, {"catch", false}, {"char", true}, {"char16_t", false},
    {"char32_t", false}, {"char8_t", false}, {"class", false}, {"co_await", false},
    {"co_return", false}, {"co_yield", false}, {"compl", false}, {"complex", false},
    {"concept", false}, {"const", true}, {"const_cast", false}, {"consteval", false},
    {"constexpr", false}, {"constinit", false}, {"continue", true}, {"decltype", false},
    {"default", true}, {"delete", false}, {"do", true}, {"double", true},
    {"dynamic_cast", false}, {"else", true}, {"enum", true}, {"errno", false},
    {"explicit", false}, {"export", false}, {"extern", true}, {"false", false}, {"float", true},
    {"for", true}, {"friend", false}, {"goto", true}, {"i386", true}, {"if", true},
    {"imaginary", false}, {"inline", true}, {"int", true}, {"linux", true}, {"long", true},
    {"mutable", false}, {"namespace", false}, {"new", false}, {"noexcept", false},
    {"noreturn", false}, {"not", false}, {"not_eq", false}, {"nullptr", false},
    {"operator", false}, {"or", false}, {"or_eq", false}, {"private", false},
    {"protected", false}, {"public", false}, {"register", true}, {"reinterpret_cast", false},
    {"requires", false}, {"restrict", true}, {"return", true}, {"short", true},
    {"signed", true}, {"sizeof", true}, {"static", true}, {"static_assert", true},
    {"static_cast", false}, {"stderr", false}, {"stdin", false}, {"stdout", false},
    {"struct", true}, {"switch", true}, {"template", false}, {"this", false},
    {"thread_local", false}, {"throw", false}, {"true", false}, {"try", false},
    {"typedef", true}, {"typeid", false}, {"typename", false}, {"typeof", true},
    {"union", true}, {"unix", true}, {"unsigned", true}, {"using", false}, {"virtual", false},
    {"void", true}, {"volatile", true}, {"wchar_t", false}, {"while", true}, {"xor", false},
    {"xor_eq", false},
    /* clang-format on */
};

static int find_reserved(const char *name)
{
    size_t low = 0;
    size_t high = sizeof(reserved) / sizeof(reserved[0]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, reserved[middle].name);
        if (order == 0) {
            return (int)middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -1;
}

bool gen_name_is_reserved(const char *name)
{
    return find_reserved(name) >= 0;
}

bool gen_name_is_c_keyword(const char *name)
{
    int i = find_reserved(name);
    return i >= 0 && reserved[i].is_c;
}
