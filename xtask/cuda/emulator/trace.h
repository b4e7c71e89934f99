// Messages of the emulator on the standard error stream.
#pragma once
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emulated {

inline bool is_set(const char *name) {
    const char *value = std::getenv(name);
    return value && *value && std::strcmp(value, "0") != 0;
}

inline void print(const char *format, std::va_list values) {
    char text[1024];
    std::vsnprintf(text, sizeof text, format, values);
    std::fprintf(stderr, "emulator: %s\n", text);
}

// Says what goes wrong.
[[gnu::format(printf, 1, 2)]] inline void complain(const char *format, ...) {
    std::va_list values;
    va_start(values, format);
    print(format, values);
    va_end(values);
}

// Says what is done, if `ARCFACE_EMULATOR_TRACE` asks for it.
[[gnu::format(printf, 1, 2)]] inline void trace(const char *format, ...) {
    static const bool wanted = is_set("ARCFACE_EMULATOR_TRACE");
    if (!wanted) return;
    std::va_list values;
    va_start(values, format);
    print(format, values);
    va_end(values);
}

} // namespace emulated
