// The kernels that candle 0.11 launches, for f32, f64, bf16, u8, u32 and i64: names and arguments are candle's.
//
// They are written for a CPU: no thread waits for another. A reduction is done by one thread of its block, in f64
// for f32 and in f32 for bf16.
#include "cuda_bf16.h"
typedef __nv_bfloat16 bf16;
typedef float f32;
typedef double f64;
typedef uint8_t u8;
typedef uint32_t u32;
typedef int64_t i64;

// A thread's share of `count` things.
#define EACH(I, COUNT)                                                                                                 \
    for (size_t I = blockIdx.x * size_t(blockDim.x) + threadIdx.x; I < (COUNT); I += size_t(blockDim.x) * gridDim.x)

#define FOR_FLOATS(MACRO, ...) MACRO(f32, ##__VA_ARGS__) MACRO(f64, ##__VA_ARGS__) MACRO(bf16, ##__VA_ARGS__)
#define FOR_ALL(MACRO, ...)                                                                                            \
    FOR_FLOATS(MACRO, ##__VA_ARGS__) MACRO(u8, ##__VA_ARGS__) MACRO(u32, ##__VA_ARGS__) MACRO(i64, ##__VA_ARGS__)

// Where the elements of a tensor are. A layout without dimensions is contiguous.
struct Layout {
    size_t rank;
    const size_t *dims, *strides;
    bool contiguous;

    Layout(size_t rank, const size_t *dims, const size_t *strides) : rank(rank), dims(dims), strides(strides) {
        contiguous = true;
        size_t expected = 1;
        for (size_t d = dims ? rank : 0; d-- > 0; expected *= dims[d])
            if (1 < dims[d] && strides[d] != expected) contiguous = false;
    }
    size_t operator[](size_t i) const { return contiguous ? i : strided(i); }
    size_t strided(size_t i) const {
        size_t offset = 0;
        for (size_t d = rank; d-- > 0; i /= dims[d]) offset += i % dims[d] * strides[d];
        return offset;
    }
};

// Dimensions come with one list of strides or more behind them.
static Layout layout(size_t rank, const size_t *info, size_t which = 0) {
    return Layout(rank, info, info ? info + (1 + which) * rank : nullptr);
}

// What an operation on bf16 computes in, and what a sum is added up in.
template <class T> struct Wide {
    typedef T Number;
    typedef T Sum;
};
template <> struct Wide<f32> {
    typedef f32 Number;
    typedef f64 Sum;
};
template <> struct Wide<bf16> {
    typedef f32 Number;
    typedef f32 Sum;
};
template <class T> using Number = typename Wide<T>::Number;
template <class T> using Sum = typename Wide<T>::Sum;

template <class T> struct Limits;
#define LIMITS(TYPE, LEAST, LARGEST)                                                                                   \
    template <> struct Limits<TYPE> {                                                                                  \
        static TYPE least() { return LEAST; }                                                                          \
        static TYPE largest() { return LARGEST; }                                                                      \
    };
LIMITS(f32, -INFINITY, INFINITY)
LIMITS(f64, -INFINITY, INFINITY)
LIMITS(bf16, -INFINITY, INFINITY)
LIMITS(u8, 0, 0xff)
LIMITS(u32, 0, 0xffffffffu)
LIMITS(i64, -__INT64_MAX__ - 1, __INT64_MAX__)

// A float and NaN give the float.
template <class T> T larger(T x, T y) { return x != x || x < y ? y : x; }
template <class T> T smaller(T x, T y) { return x != x || y < x ? y : x; }

#include "candle_elements.cuh"
#include "candle_indexing.cuh"
#include "candle_reduce.cuh"
#include "candle_conv.cuh"
