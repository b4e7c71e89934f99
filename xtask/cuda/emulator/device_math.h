// Arithmetic of CUDA C++: numbers, vectors of them, rounding and mathematical functions. Knows no threads.
#pragma once

#define INFINITY (__builtin_inff())
#define NAN (__builtin_nanf(""))
#define CUDART_INF_F (__builtin_inff())
#define CUDART_NAN_F (__builtin_nanf(""))
#define CUDART_INF (__builtin_inf())
#define CUDART_NAN (__builtin_nan(""))

// Vectors, aligned as on the device.

#define VECTOR2(NAME, TYPE, ALIGNED)                                                                                   \
    struct __align__(ALIGNED) NAME {                                                                                   \
        TYPE x, y;                                                                                                     \
    };                                                                                                                 \
    __forceinline__ NAME make_##NAME(TYPE x, TYPE y) { return NAME{x, y}; }
#define VECTOR3(NAME, TYPE)                                                                                            \
    struct NAME {                                                                                                      \
        TYPE x, y, z;                                                                                                  \
    };                                                                                                                 \
    __forceinline__ NAME make_##NAME(TYPE x, TYPE y, TYPE z) { return NAME{x, y, z}; }
#define VECTOR4(NAME, TYPE, ALIGNED)                                                                                   \
    struct __align__(ALIGNED) NAME {                                                                                   \
        TYPE x, y, z, w;                                                                                               \
    };                                                                                                                 \
    __forceinline__ NAME make_##NAME(TYPE x, TYPE y, TYPE z, TYPE w) { return NAME{x, y, z, w}; }
VECTOR2(char2, signed char, 2)
VECTOR2(uchar2, unsigned char, 2)
VECTOR2(short2, short, 4)
VECTOR2(ushort2, unsigned short, 4)
VECTOR2(int2, int, 8)
VECTOR2(uint2, unsigned, 8)
VECTOR2(longlong2, long long, 16)
VECTOR2(ulonglong2, unsigned long long, 16)
VECTOR2(float2, float, 8)
VECTOR2(double2, double, 16)
VECTOR3(int3, int)
VECTOR3(float3, float)
VECTOR3(double3, double)
VECTOR4(char4, signed char, 4)
VECTOR4(uchar4, unsigned char, 4)
VECTOR4(short4, short, 8)
VECTOR4(ushort4, unsigned short, 8)
VECTOR4(int4, int, 16)
VECTOR4(uint4, unsigned, 16)
VECTOR4(float4, float, 16)
VECTOR4(double4, double, 16)
__forceinline__ uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return uint3{x, y, z}; }
#undef VECTOR2
#undef VECTOR3
#undef VECTOR4

// Functions of the C library, and the overloads that C++ has for floats.

#define UNARY(NAME)                                                                                                    \
    extern "C" double NAME(double) noexcept;                                                                           \
    extern "C" float NAME##f(float) noexcept;                                                                          \
    __forceinline__ float NAME(float x) { return NAME##f(x); }
#define BINARY(NAME)                                                                                                   \
    extern "C" double NAME(double, double) noexcept;                                                                   \
    extern "C" float NAME##f(float, float) noexcept;                                                                   \
    __forceinline__ float NAME(float x, float y) { return NAME##f(x, y); }
UNARY(acos)
UNARY(acosh)
UNARY(asin)
UNARY(asinh)
UNARY(atan)
UNARY(atanh)
UNARY(cbrt)
UNARY(ceil)
UNARY(cos)
UNARY(cosh)
UNARY(erf)
UNARY(erfc)
UNARY(exp)
UNARY(exp2)
UNARY(expm1)
UNARY(fabs)
UNARY(floor)
UNARY(lgamma)
UNARY(log)
UNARY(log10)
UNARY(log1p)
UNARY(log2)
UNARY(nearbyint)
UNARY(rint)
UNARY(round)
UNARY(sin)
UNARY(sinh)
UNARY(sqrt)
UNARY(tan)
UNARY(tanh)
UNARY(tgamma)
UNARY(trunc)
BINARY(atan2)
BINARY(copysign)
BINARY(fdim)
BINARY(fmax)
BINARY(fmin)
BINARY(fmod)
BINARY(hypot)
BINARY(nextafter)
BINARY(pow)
BINARY(remainder)
#undef UNARY
#undef BINARY
extern "C" double fma(double, double, double) noexcept;
extern "C" float fmaf(float, float, float) noexcept;
extern "C" double ldexp(double, int) noexcept;
extern "C" float ldexpf(float, int) noexcept;
extern "C" int abs(int) noexcept;
extern "C" long long llabs(long long) noexcept;
extern "C" int printf(const char *, ...);
__forceinline__ float fma(float x, float y, float z) { return fmaf(x, y, z); }
__forceinline__ long abs(long x) { return x < 0 ? -x : x; }
__forceinline__ long long abs(long long x) { return x < 0 ? -x : x; }
__forceinline__ float abs(float x) { return fabsf(x); }
__forceinline__ double abs(double x) { return fabs(x); }

#define CLASSES(TYPE)                                                                                                  \
    __forceinline__ bool isnan(TYPE x) { return __builtin_isnan(x); }                                                  \
    __forceinline__ bool isinf(TYPE x) { return __builtin_isinf(x); }                                                  \
    __forceinline__ bool isfinite(TYPE x) { return __builtin_isfinite(x); }                                            \
    __forceinline__ bool signbit(TYPE x) { return __builtin_signbit(x); }
CLASSES(float)
CLASSES(double)
#undef CLASSES

// Functions that CUDA adds. The quick ones are as exact as the others here.

__forceinline__ float rsqrtf(float x) { return 1.0f / sqrtf(x); }
__forceinline__ double rsqrt(double x) { return 1.0 / sqrt(x); }
__forceinline__ float rsqrt(float x) { return rsqrtf(x); }
__forceinline__ float normcdff(float x) { return 0.5f * erfcf(x * -0.70710678118654752440f); }
__forceinline__ double normcdf(double x) { return 0.5 * erfc(x * -0.70710678118654752440); }
__forceinline__ float exp10f(float x) { return powf(10.0f, x); }
__forceinline__ double exp10(double x) { return pow(10.0, x); }
__forceinline__ void sincosf(float x, float *s, float *c) { *s = sinf(x), *c = cosf(x); }
__forceinline__ void sincos(double x, double *s, double *c) { *s = sin(x), *c = cos(x); }
__forceinline__ float fdividef(float x, float y) { return x / y; }
__forceinline__ float __fdividef(float x, float y) { return x / y; }
__forceinline__ float __expf(float x) { return expf(x); }
__forceinline__ float __exp10f(float x) { return exp10f(x); }
__forceinline__ float __logf(float x) { return logf(x); }
__forceinline__ float __log2f(float x) { return log2f(x); }
__forceinline__ float __log10f(float x) { return log10f(x); }
__forceinline__ float __powf(float x, float y) { return powf(x, y); }
__forceinline__ float __sinf(float x) { return sinf(x); }
__forceinline__ float __cosf(float x) { return cosf(x); }
__forceinline__ float __tanf(float x) { return tanf(x); }
__forceinline__ void __sincosf(float x, float *s, float *c) { sincosf(x, s, c); }
__forceinline__ float __saturatef(float x) { return x < 1.0f ? 0.0f < x ? x : 0.0f : 1.0f; }
__forceinline__ float __fadd_rn(float x, float y) { return x + y; }
__forceinline__ float __fsub_rn(float x, float y) { return x - y; }
__forceinline__ float __fmul_rn(float x, float y) { return x * y; }
__forceinline__ float __fdiv_rn(float x, float y) { return x / y; }
__forceinline__ float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
__forceinline__ float __fsqrt_rn(float x) { return sqrtf(x); }
__forceinline__ float __frcp_rn(float x) { return 1.0f / x; }
__forceinline__ float __frsqrt_rn(float x) { return rsqrtf(x); }
__forceinline__ double __dadd_rn(double x, double y) { return x + y; }
__forceinline__ double __dsub_rn(double x, double y) { return x - y; }
__forceinline__ double __dmul_rn(double x, double y) { return x * y; }
__forceinline__ double __ddiv_rn(double x, double y) { return x / y; }
__forceinline__ double __dsqrt_rn(double x) { return sqrt(x); }
__forceinline__ double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

// Bits and rounding.

__forceinline__ unsigned __float_as_uint(float x) { return emulated::bits<unsigned>(x); }
__forceinline__ int __float_as_int(float x) { return emulated::bits<int>(x); }
__forceinline__ float __uint_as_float(unsigned x) { return emulated::bits<float>(x); }
__forceinline__ float __int_as_float(int x) { return emulated::bits<float>(x); }
__forceinline__ long long __double_as_longlong(double x) { return emulated::bits<long long>(x); }
__forceinline__ double __longlong_as_double(long long x) { return emulated::bits<double>(x); }

namespace emulated {

// A conversion to an integer takes what is out of range to the nearest end and NaN to zero.
template <class To> __forceinline__ To saturated(double x, To least, To largest) {
    if (__builtin_isnan(x)) return 0;
    if (x < double(least)) return least;
    return x < double(largest) ? To(x) : largest;
}

} // namespace emulated

#define ROUNDED(SUFFIX, FUNCTION)                                                                                      \
    __forceinline__ int __float2int_##SUFFIX(float x) {                                                                \
        return emulated::saturated<int>(FUNCTION(double(x)), -__INT_MAX__ - 1, __INT_MAX__);                           \
    }                                                                                                                  \
    __forceinline__ unsigned __float2uint_##SUFFIX(float x) {                                                          \
        return emulated::saturated<unsigned>(FUNCTION(double(x)), 0u, ~0u);                                            \
    }                                                                                                                  \
    __forceinline__ int __double2int_##SUFFIX(double x) {                                                              \
        return emulated::saturated<int>(FUNCTION(x), -__INT_MAX__ - 1, __INT_MAX__);                                   \
    }                                                                                                                  \
    __forceinline__ long long __float2ll_##SUFFIX(float x) {                                                           \
        return emulated::saturated<long long>(FUNCTION(double(x)), -__LONG_LONG_MAX__ - 1, __LONG_LONG_MAX__);         \
    }
ROUNDED(rn, rint)
ROUNDED(rz, trunc)
ROUNDED(rd, floor)
ROUNDED(ru, ceil)
#undef ROUNDED
__forceinline__ float __int2float_rn(int x) { return float(x); }
__forceinline__ float __uint2float_rn(unsigned x) { return float(x); }
__forceinline__ float __ll2float_rn(long long x) { return float(x); }
__forceinline__ float __ull2float_rn(unsigned long long x) { return float(x); }
__forceinline__ double __int2double_rn(int x) { return double(x); }
__forceinline__ double __uint2double_rn(unsigned x) { return double(x); }
__forceinline__ float __double2float_rn(double x) { return float(x); }

__forceinline__ int __popc(unsigned x) { return __builtin_popcount(x); }
__forceinline__ int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
__forceinline__ int __clz(int x) { return x ? __builtin_clz(x) : 32; }
__forceinline__ int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
__forceinline__ int __ffs(int x) { return __builtin_ffs(x); }
__forceinline__ int __ffsll(long long x) { return __builtin_ffsll(x); }
__forceinline__ unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; ++bit) reversed = reversed << 1 | (x >> bit & 1);
    return reversed;
}
__forceinline__ int __mulhi(int x, int y) { return (long long)x * y >> 32; }
__forceinline__ unsigned __umulhi(unsigned x, unsigned y) { return (unsigned long long)x * y >> 32; }
__forceinline__ unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned __int128)x * y >> 64;
}

// min and max of two numbers, with the usual conversions where their types differ.

#define LEAST(A, B, TYPE)                                                                                              \
    __forceinline__ TYPE min(A x, B y) { return (TYPE)x < (TYPE)y ? (TYPE)x : (TYPE)y; }                               \
    __forceinline__ TYPE max(A x, B y) { return (TYPE)x < (TYPE)y ? (TYPE)y : (TYPE)x; }
#define LEAST_MIXED(SIGNED, UNSIGNED)                                                                                  \
    LEAST(SIGNED, SIGNED, SIGNED)                                                                                      \
    LEAST(UNSIGNED, UNSIGNED, UNSIGNED)                                                                                \
    LEAST(SIGNED, UNSIGNED, UNSIGNED)                                                                                  \
    LEAST(UNSIGNED, SIGNED, UNSIGNED)
LEAST_MIXED(int, unsigned)
LEAST_MIXED(long, unsigned long)
LEAST_MIXED(long long, unsigned long long)
#undef LEAST
#undef LEAST_MIXED
// Of a number and NaN, these give the number.
__forceinline__ float min(float x, float y) { return fminf(x, y); }
__forceinline__ float max(float x, float y) { return fmaxf(x, y); }
__forceinline__ double min(double x, double y) { return fmin(x, y); }
__forceinline__ double max(double x, double y) { return fmax(x, y); }
__forceinline__ double min(float x, double y) { return fmin(x, y); }
__forceinline__ double max(float x, double y) { return fmax(x, y); }
__forceinline__ double min(double x, float y) { return fmin(x, y); }
__forceinline__ double max(double x, float y) { return fmax(x, y); }
