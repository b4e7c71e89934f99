// CUDA C++ for the CPU: what NVRTC knows without an include. Knows nothing of how threads are run.
//
// `compile.cpp` puts this before every kernel source, which is otherwise compiled without headers, as NVRTC does.
// `__CUDA_ARCH__` stays undefined: a kernel with PTX in it needs a portable path for that case.
#pragma once
#include "module.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __managed__
#define __grid_constant__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __cluster_dims__(...)
#define __builtin_assume(condition)
#define __trap() emulated::runtime->fail("__trap()")
#define assert(condition) ((condition) ? (void)0 : emulated::runtime->fail("assertion failed: " #condition))

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __INTPTR_TYPE__ intptr_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;

namespace emulated {

// Not zero at the start, so that they do not lie among the `__shared__` variables, which every block overwrites.
static const Runtime *runtime = reinterpret_cast<const Runtime *>(1);
static uint3 thread{1, 1, 1}, block{1, 1, 1};
static dim3 block_size, grid_size;
alignas(128) static unsigned char dynamic_shared[dynamic_shared_limit] = {1};

extern "C" __attribute__((visibility("hidden"))) unsigned char __bss_start[], _end[];

} // namespace emulated

extern "C" __attribute__((visibility("default"))) emulated::Module emulated_module = {
    &emulated::thread,        &emulated::block,      &emulated::block_size, &emulated::grid_size,
    emulated::dynamic_shared, emulated::__bss_start, emulated::_end,        &emulated::runtime,
};

static constexpr uint3 &threadIdx = emulated::thread, &blockIdx = emulated::block;
static constexpr dim3 &blockDim = emulated::block_size, &gridDim = emulated::grid_size;
static constexpr int warpSize = 32;

namespace emulated {

template <unsigned... I> struct Indices {};
template <unsigned N, unsigned... I> struct UpTo : UpTo<N - 1, N - 1, I...> {};
template <unsigned... I> struct UpTo<0, I...> {
    using Type = Indices<I...>;
};

template <class... A, unsigned... I> __forceinline__ void run(void (*kernel)(A...), void **arguments, Indices<I...>) {
    while (runtime->next()) kernel(*static_cast<A *>(arguments[I])...);
}

// What a fiber does: one thread of the kernel after another.
template <class... A> __forceinline__ void run(void (*kernel)(A...), void **arguments) {
    run(kernel, arguments, typename UpTo<sizeof...(A)>::Type());
}

// Keeps `threadIdx` over a wait, in which other threads run.
template <class F> __forceinline__ auto waiting(F wait) {
    uint3 self = thread;
    auto answer = wait();
    thread = self;
    return answer;
}

__forceinline__ unsigned lane() { return (thread.x + block_size.x * (thread.y + block_size.y * thread.z)) % 32; }

__forceinline__ unsigned long long meet(Meeting kind, unsigned mask, unsigned long long value, unsigned source) {
    return waiting([=] { return runtime->meet(kind, mask, value, source); });
}

template <class T> __forceinline__ T shuffle(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    bits = meet(Meeting::shuffle, mask, bits, source);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

template <class To, class From> __forceinline__ To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}

} // namespace emulated

// Meetings of a block.

__forceinline__ int __syncthreads_count(int given) {
    return emulated::waiting([=] { return emulated::runtime->barrier(given != 0); });
}
__forceinline__ void __syncthreads() { __syncthreads_count(0); }
__forceinline__ int __syncthreads_or(int given) { return __syncthreads_count(given) != 0; }
__forceinline__ int __syncthreads_and(int given) { return __syncthreads_count(!given) == 0; }
__forceinline__ void __threadfence() {}
__forceinline__ void __threadfence_block() {}
__forceinline__ void __threadfence_system() {}
__forceinline__ void __nanosleep(unsigned) {}

// Meetings of a warp.

__forceinline__ unsigned __activemask() { return emulated::runtime->active(); }
__forceinline__ void __syncwarp(unsigned mask = ~0u) { emulated::meet(emulated::Meeting::warp, mask, 0, 0); }
__forceinline__ unsigned __ballot_sync(unsigned mask, int given) {
    return emulated::meet(emulated::Meeting::ballot, mask, given != 0, 0);
}
__forceinline__ int __any_sync(unsigned mask, int given) { return __ballot_sync(mask, given) != 0; }
__forceinline__ int __all_sync(unsigned mask, int given) { return __ballot_sync(mask, !given) == 0; }

template <class T> __forceinline__ T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    unsigned first = emulated::lane() & ~(width - 1);
    return emulated::shuffle(mask, value, first + (source & (width - 1)));
}
template <class T> __forceinline__ T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    unsigned self = emulated::lane(), first = self & ~(width - 1);
    return emulated::shuffle(mask, value, self < first + delta ? self : self - delta);
}
template <class T> __forceinline__ T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    unsigned self = emulated::lane(), end = (self & ~(width - 1)) + width;
    return emulated::shuffle(mask, value, self + delta < end ? self + delta : self);
}
template <class T> __forceinline__ T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
    unsigned self = emulated::lane(), other = self ^ lanes, end = (self & ~(width - 1)) + width;
    return emulated::shuffle(mask, value, other < end ? other : self);
}

#define REDUCE_SYNC(NAME, TYPE, COMBINED)                                                                              \
    __forceinline__ TYPE __reduce_##NAME##_sync(unsigned mask, TYPE value) {                                           \
        bool first = true;                                                                                             \
        TYPE all = 0;                                                                                                  \
        for (unsigned source = 0; source < 32; ++source)                                                               \
            if (mask >> source & 1) {                                                                                  \
                TYPE one = emulated::shuffle(mask, value, source);                                                     \
                all = first ? one : (COMBINED);                                                                        \
                first = false;                                                                                         \
            }                                                                                                          \
        return all;                                                                                                    \
    }
REDUCE_SYNC(add, unsigned, all + one)
REDUCE_SYNC(add, int, all + one)
REDUCE_SYNC(min, unsigned, all < one ? all : one)
REDUCE_SYNC(min, int, all < one ? all : one)
REDUCE_SYNC(max, unsigned, all < one ? one : all)
REDUCE_SYNC(max, int, all < one ? one : all)
REDUCE_SYNC(and, unsigned, all &one)
REDUCE_SYNC(or, unsigned, all | one)
REDUCE_SYNC(xor, unsigned, all ^ one)
#undef REDUCE_SYNC

#include "device_math.h"
#include "device_memory.h"
