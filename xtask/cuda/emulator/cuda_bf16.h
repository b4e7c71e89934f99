// bfloat16 for kernels: the upper half of a float, rounded to nearest even. Every operation rounds.
#pragma once

struct __align__(2) __nv_bfloat16 {
    unsigned short __x;

    __nv_bfloat16() = default;
    __nv_bfloat16(float value) {
        unsigned bits = __float_as_uint(value);
        bool nan = 0x7f800000u < (bits & 0x7fffffffu);
        __x = nan ? 0x7fff : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    }
    __nv_bfloat16(double value) : __nv_bfloat16(once_rounded(value)) {}
    __nv_bfloat16(int value) : __nv_bfloat16(double(value)) {}
    __nv_bfloat16(unsigned value) : __nv_bfloat16(double(value)) {}
    __nv_bfloat16(long value) : __nv_bfloat16(double(value)) {}
    operator float() const { return __uint_as_float(unsigned(__x) << 16); }

  private:
    // To a float whose last bit says if anything was cut, so that the next rounding is the only one.
    static float once_rounded(double value) {
        float near = float(value);
        if (double(near) == value || isnan(value) || isinf(near)) return near;
        unsigned bits = __float_as_uint(near);
        if (fabs(value) < fabs(double(near))) --bits;
        return __uint_as_float(bits | 1);
    }
};
typedef __nv_bfloat16 nv_bfloat16;

struct __align__(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
typedef __nv_bfloat162 nv_bfloat162;

__forceinline__ float __bfloat162float(__nv_bfloat16 x) { return x; }
__forceinline__ __nv_bfloat16 __float2bfloat16(float x) { return x; }
__forceinline__ __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
__forceinline__ __nv_bfloat16 __double2bfloat16(double x) { return x; }
__forceinline__ unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.__x; }
__forceinline__ __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
    __nv_bfloat16 x;
    x.__x = bits;
    return x;
}
__forceinline__ __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
__forceinline__ __nv_bfloat162 __float22bfloat162_rn(float2 v) { return {v.x, v.y}; }
__forceinline__ float2 __bfloat1622float2(__nv_bfloat162 v) { return {v.x, v.y}; }

#define OPERATOR(SIGN)                                                                                                 \
    __forceinline__ __nv_bfloat16 operator SIGN(__nv_bfloat16 x, __nv_bfloat16 y) { return float(x) SIGN float(y); }   \
    __forceinline__ __nv_bfloat16 &operator SIGN##=(__nv_bfloat16 &x, __nv_bfloat16 y) { return x = x SIGN y; }
OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
#undef OPERATOR
__forceinline__ __nv_bfloat16 operator-(__nv_bfloat16 x) { return -float(x); }

#define COMPARISON(SIGN)                                                                                               \
    __forceinline__ bool operator SIGN(__nv_bfloat16 x, __nv_bfloat16 y) { return float(x) SIGN float(y); }
COMPARISON(==)
COMPARISON(!=)
COMPARISON(<)
COMPARISON(<=)
COMPARISON(>)
COMPARISON(>=)
#undef COMPARISON
