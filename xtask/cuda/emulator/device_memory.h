// Loads, stores and atomic operations of CUDA C++. Threads run one at a time, so that plain ones are atomic.
#pragma once

template <class T> __forceinline__ T __ldg(const T *from) { return *from; }
template <class T> __forceinline__ T __ldca(const T *from) { return *from; }
template <class T> __forceinline__ T __ldcg(const T *from) { return *from; }
template <class T> __forceinline__ T __ldcs(const T *from) { return *from; }
template <class T> __forceinline__ T __ldcv(const T *from) { return *from; }
template <class T> __forceinline__ void __stwb(T *to, T value) { *to = value; }
template <class T> __forceinline__ void __stcg(T *to, T value) { *to = value; }
template <class T> __forceinline__ void __stcs(T *to, T value) { *to = value; }
template <class T> __forceinline__ void __stwt(T *to, T value) { *to = value; }

extern "C" void *memcpy(void *, const void *, size_t) noexcept;
extern "C" void *memset(void *, int, size_t) noexcept;

#define ATOMIC(NAME, TYPE, NEW)                                                                                        \
    __forceinline__ TYPE NAME(TYPE *at, TYPE value) {                                                                  \
        TYPE old = *at;                                                                                                \
        *at = NEW;                                                                                                     \
        return old;                                                                                                    \
    }                                                                                                                  \
    __forceinline__ TYPE NAME##_block(TYPE *at, TYPE value) { return NAME(at, value); }
#define ATOMIC_INTEGER(TYPE)                                                                                           \
    ATOMIC(atomicAdd, TYPE, old + value)                                                                               \
    ATOMIC(atomicMin, TYPE, old < value ? old : value)                                                                 \
    ATOMIC(atomicMax, TYPE, old < value ? value : old)                                                                 \
    ATOMIC(atomicAnd, TYPE, old &value)                                                                                \
    ATOMIC(atomicOr, TYPE, old | value)                                                                                \
    ATOMIC(atomicXor, TYPE, old ^ value)                                                                               \
    ATOMIC(atomicExch, TYPE, value)                                                                                    \
    __forceinline__ TYPE atomicCAS(TYPE *at, TYPE expected, TYPE value) {                                              \
        TYPE old = *at;                                                                                                \
        if (old == expected) *at = value;                                                                              \
        return old;                                                                                                    \
    }
ATOMIC_INTEGER(int)
ATOMIC_INTEGER(unsigned)
ATOMIC_INTEGER(unsigned long long)
ATOMIC(atomicSub, int, old - value)
ATOMIC(atomicSub, unsigned, old - value)
ATOMIC(atomicInc, unsigned, old < value ? old + 1 : 0)
ATOMIC(atomicDec, unsigned, old == 0 || value < old ? value : old - 1)
ATOMIC(atomicAdd, float, old + value)
ATOMIC(atomicAdd, double, old + value)
ATOMIC(atomicExch, float, value)
#undef ATOMIC
#undef ATOMIC_INTEGER
