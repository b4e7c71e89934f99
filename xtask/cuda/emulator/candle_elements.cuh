// Candle's kernels that do the same to every element.

#define FILL(T)                                                                                                        \
    extern "C" __global__ void fill_##T(T *buf, T value, const size_t numel) { EACH(i, numel) buf[i] = value; }        \
    extern "C" __global__ void const_set_##T(size_t numel, size_t rank, const size_t *info, T value, T *out) {         \
        Layout at = layout(rank, info);                                                                                \
        EACH(i, numel) out[at[i]] = value;                                                                             \
    }                                                                                                                  \
    extern "C" __global__ void copy2d_##T(const T *src, T *dst, u32 rows, u32 columns, u32 src_stride,                 \
                                          u32 dst_stride) {                                                            \
        EACH(i, size_t(rows) * columns)                                                                                \
        dst[i / columns * dst_stride + i % columns] = src[i / columns * src_stride + i % columns];                     \
    }
FOR_ALL(FILL)

// Casts. A float outside an integer's range becomes the nearest end of it.
template <class To, class From> struct Cast {
    static To of(From x) { return To(x); }
};
#define CAST_TO_INTEGER(TO)                                                                                            \
    template <> struct Cast<TO, f32> {                                                                                 \
        static TO of(f32 x) { return emulated::saturated<TO>(x, Limits<TO>::least(), Limits<TO>::largest()); }         \
    };                                                                                                                 \
    template <> struct Cast<TO, f64> {                                                                                 \
        static TO of(f64 x) { return emulated::saturated<TO>(x, Limits<TO>::least(), Limits<TO>::largest()); }         \
    };                                                                                                                 \
    template <> struct Cast<TO, bf16> {                                                                                \
        static TO of(bf16 x) { return Cast<TO, f32>::of(x); }                                                          \
    };
CAST_TO_INTEGER(u8)
CAST_TO_INTEGER(u32)
CAST_TO_INTEGER(i64)

#define CAST(TO, FROM)                                                                                                 \
    extern "C" __global__ void cast_##FROM##_##TO(size_t numel, size_t rank, const size_t *info, const FROM *inp,      \
                                                  TO *out) {                                                           \
        Layout at = layout(rank, info);                                                                                \
        EACH(i, numel) out[i] = Cast<TO, FROM>::of(inp[at[i]]);                                                        \
    }
#define CASTS_FROM(FROM) CAST(f32, FROM) CAST(f64, FROM) CAST(bf16, FROM) CAST(u8, FROM) CAST(u32, FROM) CAST(i64, FROM)
FOR_ALL(CASTS_FROM)

#define AFFINE(T)                                                                                                      \
    extern "C" __global__ void affine_##T(size_t numel, size_t rank, const size_t *info, const T *inp, T *out, T mul,  \
                                          T add) {                                                                     \
        Layout at = layout(rank, info);                                                                                \
        EACH(i, numel) {                                                                                               \
            T product = (inp ? inp[at[i]] : out[i]) * mul;                                                             \
            out[i] = product + add;                                                                                    \
        }                                                                                                              \
    }
FOR_ALL(AFFINE)

// Functions of one number. Without an input they work in place.
#define UNARY(T, NAME, VALUE)                                                                                          \
    extern "C" __global__ void NAME##_##T(size_t numel, size_t rank, const size_t *info, const T *inp, T *out) {       \
        typedef Number<T> N;                                                                                           \
        Layout at = layout(rank, info);                                                                                \
        EACH(i, numel) {                                                                                               \
            N x = inp ? inp[at[i]] : out[i];                                                                           \
            out[i] = T(VALUE);                                                                                         \
        }                                                                                                              \
    }
#define UNARY_WITH(T, NAME, VALUE)                                                                                     \
    extern "C" __global__ void NAME##_##T(size_t numel, size_t rank, const size_t *info, T given, const T *inp,        \
                                          T *out) {                                                                    \
        typedef Number<T> N;                                                                                           \
        Layout at = layout(rank, info);                                                                                \
        EACH(i, numel) {                                                                                               \
            N x = inp ? inp[at[i]] : out[i], p = given;                                                                \
            out[i] = T(VALUE);                                                                                         \
        }                                                                                                              \
    }
FOR_ALL(UNARY, ucopy, x)
FOR_FLOATS(UNARY, uneg, -x)
FOR_FLOATS(UNARY, urecip, 1 / x)
FOR_FLOATS(UNARY, uexp, exp(x))
FOR_FLOATS(UNARY, ulog, log(x))
FOR_FLOATS(UNARY, usin, sin(x))
FOR_FLOATS(UNARY, ucos, cos(x))
FOR_FLOATS(UNARY, utanh, tanh(x))
FOR_FLOATS(UNARY, uerf, erf(x))
FOR_FLOATS(UNARY, uceil, ceil(x))
FOR_FLOATS(UNARY, ufloor, floor(x))
FOR_FLOATS(UNARY, uround, round(x))
FOR_FLOATS(UNARY, unormcdf, erfc(x *N(-0.70710678118654752440)) / 2)
FOR_FLOATS(UNARY, uabs, fabs(x))
FOR_FLOATS(UNARY, usqr, x *x)
FOR_FLOATS(UNARY, usqrt, sqrt(x))
FOR_FLOATS(UNARY, ugelu, x / 2 * (1 + tanh(N(0.79788456080286535588) * (x + N(0.044715) * x * x * x))))
FOR_FLOATS(UNARY, ugelu_erf, x *(erfc(x *N(-0.70710678118654752440)) / 2))
FOR_FLOATS(UNARY, urelu, 0 < x ? x : 0)
FOR_FLOATS(UNARY, usilu, x / (1 + exp(-x)))
FOR_FLOATS(UNARY, usigmoid, 1 / (1 + exp(-x)))
FOR_FLOATS(UNARY, usign, N(0 < x) - N(x < 0))
FOR_FLOATS(UNARY_WITH, uelu, 0 < x ? x : p * (exp(x) - 1))
FOR_FLOATS(UNARY_WITH, upowf, pow(x, p))

// Functions of two numbers.
#define BINARY_TO(T, OUT, NAME, VALUE)                                                                                 \
    extern "C" __global__ void NAME##_##T(size_t numel, size_t rank, const size_t *info, const T *lhs, const T *rhs,   \
                                          OUT *out) {                                                                  \
        Layout left = layout(rank, info, 0), right = layout(rank, info, 1);                                            \
        EACH(i, numel) {                                                                                               \
            T x = lhs[left[i]], y = rhs[right[i]];                                                                     \
            out[i] = VALUE;                                                                                            \
        }                                                                                                              \
    }
#define BINARY(T, NAME, VALUE) BINARY_TO(T, T, NAME, VALUE)
#define COMPARE(T, NAME, VALUE) BINARY_TO(T, u8, NAME, VALUE)
FOR_ALL(BINARY, badd, x + y)
FOR_ALL(BINARY, bsub, x - y)
FOR_ALL(BINARY, bmul, x *y)
FOR_ALL(BINARY, bdiv, x / y)
FOR_ALL(BINARY, bmaximum, larger(x, y))
FOR_ALL(BINARY, bminimum, smaller(x, y))
FOR_ALL(COMPARE, eq, x == y)
FOR_ALL(COMPARE, ne, x != y)
FOR_ALL(COMPARE, lt, x < y)
FOR_ALL(COMPARE, le, x <= y)
FOR_ALL(COMPARE, gt, x > y)
FOR_ALL(COMPARE, ge, x >= y)

#define WHERE(T, ID)                                                                                                   \
    extern "C" __global__ void where_##ID##_##T(size_t numel, size_t rank, const size_t *info, const ID *ids,          \
                                                const T *yes, const T *no, T *out) {                                   \
        Layout at = layout(rank, info, 0), at_yes = layout(rank, info, 1), at_no = layout(rank, info, 2);              \
        EACH(i, numel) out[i] = ids[at[i]] ? yes[at_yes[i]] : no[at_no[i]];                                            \
    }
#define SELECTIONS(T) WHERE(T, u8) WHERE(T, u32) WHERE(T, i64)
FOR_ALL(SELECTIONS)
