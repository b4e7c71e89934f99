// cuBLAS without a device: matrix products and a few vector operations. Matrices are stored by columns.
#include "numbers.h"
#include "trace.h"

#include <algorithm>
#include <vector>

using namespace emulated;

namespace {

enum Status { success = 0, invalid_value = 7, not_supported = 15 };
enum Type { r_32f = 0, r_64f = 1, r_16bf = 14 };

struct Handle {
    void *stream = nullptr;
    int math_mode = 0, pointer_mode = 0, atomics_mode = 0;
};

struct Size {
    int m, n, k;
};

// A matrix as it lies in memory, and whether its transpose is meant.
template <class T> struct Operand {
    const T *values;
    long long ld;
    bool transposed;
};

// A rows × columns matrix without gaps, in the type that products are summed up in.
template <class T> std::vector<Accumulated<T>> packed(Operand<T> from, int rows, int columns) {
    std::vector<Accumulated<T>> to(size_t(rows) * columns);
    for (int column = 0; column < columns; ++column)
        for (int row = 0; row < rows; ++row)
            to[size_t(column) * rows + row] =
                from.transposed ? from.values[row * from.ld + column] : from.values[column * from.ld + row];
    return to;
}

// Adds a · b to c, for matrices without gaps.
template <class A> [[gnu::always_inline]] inline void multiply_any(Size size, const A *a, const A *b, A *c) {
    constexpr int block = 256;
    const size_t m = size.m;
    for (int from = 0; from < size.m; from += block) {
        int rows = std::min(block, size.m - from);
        int column = 0;
        for (; column + 4 <= size.n; column += 4) {
            A *c0 = c + column * m + from, *c1 = c0 + m, *c2 = c1 + m, *c3 = c2 + m;
            for (int p = 0; p < size.k; ++p) {
                const A *factors = a + p * m + from, *with = b + p + size_t(column) * size.k;
                A b0 = with[0], b1 = with[size.k], b2 = with[2 * size_t(size.k)], b3 = with[3 * size_t(size.k)];
#pragma GCC ivdep
                for (int row = 0; row < rows; ++row) {
                    c0[row] += factors[row] * b0;
                    c1[row] += factors[row] * b1;
                    c2[row] += factors[row] * b2;
                    c3[row] += factors[row] * b3;
                }
            }
        }
        for (; column < size.n; ++column)
            for (int p = 0; p < size.k; ++p) {
                const A *factors = a + p * m + from;
                A with = b[p + size_t(column) * size.k];
                for (int row = 0; row < rows; ++row) c[column * m + from + row] += factors[row] * with;
            }
    }
}
FOR_EVERY_MACHINE void multiply(Size size, const float *a, const float *b, float *c) { multiply_any(size, a, b, c); }
FOR_EVERY_MACHINE void multiply(Size size, const double *a, const double *b, double *c) { multiply_any(size, a, b, c); }

// c = α·op(a)·op(b) + β·c; without β, c is not read.
template <class In, class Out>
void product(Size size, Accumulated<In> alpha, Operand<In> a, Operand<In> b, Accumulated<In> beta, Out *c,
             long long ldc) {
    using A = Accumulated<In>;
    auto left = packed(a, size.m, size.k), right = packed(b, size.k, size.n);
    std::vector<A> sums(size_t(size.m) * size.n);
    multiply(size, left.data(), right.data(), sums.data());
    for (int column = 0; column < size.n; ++column)
        for (int row = 0; row < size.m; ++row) {
            Out &to = c[column * ldc + row];
            A value = alpha * sums[size_t(column) * size.m + row];
            to = Out(beta == A(0) ? value : value + beta * A(to));
        }
}

struct Operation {
    int transa, transb;
    Size size;
    int batch;
};

// What is known of the three matrices of a product, whatever they are made of.
struct Matrix {
    const void *values;
    long long ld, stride;
};

template <class In, class Out>
Status products(const Operation &op, const void *alpha, Matrix a, Matrix b, const void *beta, Matrix c) {
    using A = Accumulated<In>;
    const auto [m, n, k] = op.size;
    trace("gemm %d × %d × %d, batch %d, %c%c, %zu to %zu bytes", m, n, k, op.batch, "NTC"[op.transa], "NTC"[op.transb],
          sizeof(In), sizeof(Out));
    bool fits =
        std::max(1, op.transa ? k : m) <= a.ld && std::max(1, op.transb ? n : k) <= b.ld && std::max(1, m) <= c.ld;
    if (!fits || m < 0 || n < 0 || k < 0) {
        complain("gemm %d × %d × %d: leading dimensions %lld, %lld and %lld are too small", m, n, k, a.ld, b.ld, c.ld);
        return invalid_value;
    }
    for (int i = 0; i < op.batch; ++i)
        product<In, Out>(op.size, *static_cast<const A *>(alpha),
                         {static_cast<const In *>(a.values) + i * a.stride, a.ld, op.transa != 0},
                         {static_cast<const In *>(b.values) + i * b.stride, b.ld, op.transb != 0},
                         *static_cast<const A *>(beta), static_cast<Out *>(const_cast<void *>(c.values)) + i * c.stride,
                         c.ld);
    return success;
}

Status products_of(int type_a, int type_b, int type_c, int compute, const Operation &op, const void *alpha, Matrix a,
                   Matrix b, const void *beta, Matrix c) {
    // Products in half precision have factors in half precision, which are not emulated.
    bool in_f64 = compute == 70 || compute == 71,
         in_f32 = compute == 68 || compute == 69 || (74 <= compute && compute <= 77);
    if (type_a == type_b) {
        if (in_f32 && type_a == r_32f && type_c == r_32f) return products<float, float>(op, alpha, a, b, beta, c);
        if (in_f64 && type_a == r_64f && type_c == r_64f) return products<double, double>(op, alpha, a, b, beta, c);
        if (in_f32 && type_a == r_16bf && type_c == r_16bf) return products<Bf16, Bf16>(op, alpha, a, b, beta, c);
        if (in_f32 && type_a == r_16bf && type_c == r_32f) return products<Bf16, float>(op, alpha, a, b, beta, c);
    }
    complain("gemm of types %d and %d to %d computed in %d is not emulated", type_a, type_b, type_c, compute);
    return not_supported;
}

template <class T>
Status gemv(int trans, int m, int n, const T *alpha, const T *a, int lda, const T *x, int incx, const T *beta, T *y,
            int incy) {
    int rows = trans ? n : m, columns = trans ? m : n;
    for (int row = 0; row < rows; ++row) {
        T sum = 0;
        for (int column = 0; column < columns; ++column)
            sum += (trans ? a[size_t(row) * lda + column] : a[size_t(column) * lda + row]) * x[size_t(column) * incx];
        T &to = y[size_t(row) * incy];
        to = *beta == T(0) ? *alpha * sum : *alpha * sum + *beta * to;
    }
    return success;
}

template <class T, class F> Status summed(int n, F term, T *result) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += term(size_t(i));
    *result = T(sum);
    return success;
}

} // namespace

extern "C" {

Status cublasCreate_v2(Handle **handle) { return *handle = new Handle, success; }
Status cublasDestroy_v2(Handle *handle) { return delete handle, success; }
Status cublasGetVersion_v2(Handle *, int *version) { return *version = 130100, success; }
Status cublasSetStream_v2(Handle *handle, void *stream) { return handle->stream = stream, success; }
Status cublasGetStream_v2(Handle *handle, void **stream) { return *stream = handle->stream, success; }
Status cublasSetWorkspace_v2(Handle *, void *, size_t) { return success; }
Status cublasSetMathMode(Handle *handle, int mode) { return handle->math_mode = mode, success; }
Status cublasGetMathMode(Handle *handle, int *mode) { return *mode = handle->math_mode, success; }
Status cublasSetPointerMode_v2(Handle *handle, int mode) { return handle->pointer_mode = mode, success; }
Status cublasGetPointerMode_v2(Handle *handle, int *mode) { return *mode = handle->pointer_mode, success; }
Status cublasSetAtomicsMode(Handle *handle, int mode) { return handle->atomics_mode = mode, success; }
Status cublasGetAtomicsMode(Handle *handle, int *mode) { return *mode = handle->atomics_mode, success; }

const char *cublasGetStatusName(int status) {
    return status == success         ? "CUBLAS_STATUS_SUCCESS"
           : status == invalid_value ? "CUBLAS_STATUS_INVALID_VALUE"
                                     : "CUBLAS_STATUS_NOT_SUPPORTED";
}
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

Status cublasGemmStridedBatchedEx(Handle *, int transa, int transb, int m, int n, int k, const void *alpha,
                                  const void *a, int type_a, int lda, long long stride_a, const void *b, int type_b,
                                  int ldb, long long stride_b, const void *beta, void *c, int type_c, int ldc,
                                  long long stride_c, int batch, int compute, int) {
    return products_of(type_a, type_b, type_c, compute, {transa, transb, {m, n, k}, batch}, alpha, {a, lda, stride_a},
                       {b, ldb, stride_b}, beta, {c, ldc, stride_c});
}

Status cublasGemmEx(Handle *, int transa, int transb, int m, int n, int k, const void *alpha, const void *a, int type_a,
                    int lda, const void *b, int type_b, int ldb, const void *beta, void *c, int type_c, int ldc,
                    int compute, int) {
    return products_of(type_a, type_b, type_c, compute, {transa, transb, {m, n, k}, 1}, alpha, {a, lda, 0}, {b, ldb, 0},
                       beta, {c, ldc, 0});
}

#define GEMM(LETTER, T)                                                                                                \
    Status cublas##LETTER##gemm_v2(Handle *, int transa, int transb, int m, int n, int k, const T *alpha, const T *a,  \
                                   int lda, const T *b, int ldb, const T *beta, T *c, int ldc) {                       \
        return products<T, T>({transa, transb, {m, n, k}, 1}, alpha, {a, lda, 0}, {b, ldb, 0}, beta, {c, ldc, 0});     \
    }                                                                                                                  \
    Status cublas##LETTER##gemmStridedBatched(Handle *, int transa, int transb, int m, int n, int k, const T *alpha,   \
                                              const T *a, int lda, long long stride_a, const T *b, int ldb,            \
                                              long long stride_b, const T *beta, T *c, int ldc, long long stride_c,    \
                                              int batch) {                                                             \
        return products<T, T>({transa, transb, {m, n, k}, batch}, alpha, {a, lda, stride_a}, {b, ldb, stride_b}, beta, \
                              {c, ldc, stride_c});                                                                     \
    }                                                                                                                  \
    Status cublas##LETTER##gemv_v2(Handle *, int trans, int m, int n, const T *alpha, const T *a, int lda, const T *x, \
                                   int incx, const T *beta, T *y, int incy) {                                          \
        return gemv(trans, m, n, alpha, a, lda, x, incx, beta, y, incy);                                               \
    }                                                                                                                  \
    Status cublas##LETTER##scal_v2(Handle *, int n, const T *alpha, T *x, int incx) {                                  \
        for (int i = 0; i < n; ++i) x[size_t(i) * incx] *= *alpha;                                                     \
        return success;                                                                                                \
    }                                                                                                                  \
    Status cublas##LETTER##axpy_v2(Handle *, int n, const T *alpha, const T *x, int incx, T *y, int incy) {            \
        for (int i = 0; i < n; ++i) y[size_t(i) * incy] += *alpha * x[size_t(i) * incx];                               \
        return success;                                                                                                \
    }                                                                                                                  \
    Status cublas##LETTER##dot_v2(Handle *, int n, const T *x, int incx, const T *y, int incy, T *result) {            \
        return summed(n, [=](size_t i) { return double(x[i * incx]) * y[i * incy]; }, result);                         \
    }                                                                                                                  \
    Status cublas##LETTER##asum_v2(Handle *, int n, const T *x, int incx, T *result) {                                 \
        return summed(n, [=](size_t i) { return std::abs(double(x[i * incx])); }, result);                             \
    }                                                                                                                  \
    Status cublas##LETTER##nrm2_v2(Handle *, int n, const T *x, int incx, T *result) {                                 \
        summed(n, [=](size_t i) { return double(x[i * incx]) * x[i * incx]; }, result);                                \
        *result = std::sqrt(*result);                                                                                  \
        return success;                                                                                                \
    }
GEMM(S, float)
GEMM(D, double)

} // extern "C"
