// The numbers that cuBLAS and cuDNN work on, and what they are summed up in.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace emulated {

// The upper half of a float.
struct Bf16 {
    uint16_t bits;

    Bf16() = default;
    Bf16(float value) {
        uint32_t whole;
        std::memcpy(&whole, &value, 4);
        bits = std::isnan(value) ? 0x7fff : (whole + 0x7fffu + (whole >> 16 & 1)) >> 16;
    }
    operator float() const {
        uint32_t whole = uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &whole, 4);
        return value;
    }
};

template <class T> struct Accumulator {
    using Type = float;
};
template <> struct Accumulator<double> {
    using Type = double;
};
template <class T> using Accumulated = typename Accumulator<T>::Type;

} // namespace emulated

// Compiles a function for the machine's vectors as well as for any machine.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EVERY_MACHINE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_EVERY_MACHINE
#endif
