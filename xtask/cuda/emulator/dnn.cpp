// cuDNN without a device: descriptors, convolutions and what is added to them. The loops are in another file.
#include "dnn.h"

#include <cstddef>

using namespace emulated;

namespace {

struct Handle {
    void *stream = nullptr;
};

// Asked of every convolution, so that a caller that brings no workspace is found out.
constexpr size_t workspace_size = 256;

struct Performance {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math;
    int reserved[3];
};

// Without gaps, in the order that a format names; channels are last in format 1.
void set_strides(Tensor &tensor, int format) {
    auto &[type, rank, dims, strides] = tensor;
    long long step = format == 1 ? dims[1] : 1;
    if (format == 1) strides[1] = 1;
    for (int d = 4; d >= 2; --d) strides[d] = step, step *= dims[d];
    if (format != 1) strides[1] = step, step *= dims[1];
    strides[0] = step;
}

DnnStatus set_dims(Tensor &tensor, int type, int rank, const int *dims) {
    if (rank < 3 || 5 < rank) return not_supported;
    tensor.type = type, tensor.rank = rank;
    tensor.dims.fill(1);
    for (int d = 0; d < rank; ++d) tensor.dims[d] = dims[d];
    return success;
}

DnnStatus set_tensor(Tensor &tensor, int type, int format, int rank, const int *dims) {
    if (format != 0 && format != 1) return not_supported;
    DnnStatus status = set_dims(tensor, type, rank, dims);
    if (status == success) set_strides(tensor, format);
    return status;
}

DnnStatus set_tensor_strides(Tensor &tensor, int type, int rank, const int *dims, const int *strides) {
    DnnStatus status = set_dims(tensor, type, rank, dims);
    tensor.strides.fill(0);
    for (int d = 0; d < rank && status == success; ++d) tensor.strides[d] = strides[d];
    return status;
}

DnnStatus set_convolution(Convolution &conv, int rank, const int *pad, const int *stride, const int *dilation, int mode,
                          int compute) {
    if (rank < 1 || 3 < rank) return not_supported;
    conv.rank = rank, conv.mode = mode, conv.compute = compute;
    for (int d = 0; d < rank; ++d) conv.pad[d] = pad[d], conv.stride[d] = stride[d], conv.dilation[d] = dilation[d];
    return success;
}

// Calls `with` with a value of a tensor's type.
template <class F> auto with_type(int type, F with) {
    if (type == type_double) return with(double());
    if (type == type_bf16) return with(Bf16());
    return with(float());
}

// Calls `visit(offset, n, c, position)` for every element.
template <class F> void each(const Tensor &t, F visit) {
    for (long long n = 0; n < t.dims[0]; ++n)
        for (long long c = 0; c < t.dims[1]; ++c) {
            long long start = n * t.strides[0] + c * t.strides[1], position = 0;
            for (long long i = 0; i < t.dims[2]; ++i)
                for (long long j = 0; j < t.dims[3]; ++j)
                    for (long long k = 0; k < t.dims[4]; ++k, ++position)
                        visit(start + i * t.strides[2] + j * t.strides[3] + k * t.strides[4], n, c, position);
        }
}

// Places in packed operands: x and y with channels last; a filter tap by tap, then group by group.
auto packed_place(const Tensor &t) {
    return [&t](long long n, long long c, long long position) { return (n * t.spatial() + position) * t.dims[1] + c; };
}
auto packed_filter_place(const Problem &p, Pass pass) {
    long long inputs = p.w.dims[1], outputs = p.w.dims[0] / p.conv.groups;
    return [=, all = p.w.dims[0]](long long k, long long c, long long tap) {
        long long group = k / outputs, within = k % outputs;
        // The innermost loop of a pass runs over what lies side by side.
        long long place = pass == Pass::data ? within * inputs + c : c * outputs + within;
        return tap * all * inputs + group * inputs * outputs + place;
    };
}

template <class T, class P> auto packed(const Tensor &t, const void *values, P place) {
    std::vector<Accumulated<T>> to(t.dims[0] * t.dims[1] * t.spatial());
    each(t, [&](long long at, auto... index) { to[place(index...)] = static_cast<const T *>(values)[at]; });
    return to;
}

// to = α·from + β·to; without β, `to` is not read.
template <class T, class P, class A>
void unpack(const Tensor &t, void *values, P place, const std::vector<A> &from, A alpha, A beta) {
    each(t, [&](long long at, auto... index) {
        T &to = static_cast<T *>(values)[at];
        A value = alpha * from[place(index...)];
        to = T(beta == A(0) ? value : value + beta * A(to));
    });
}

template <class A> std::vector<A> nothing(const Tensor &t) {
    return std::vector<A>(t.dims[0] * t.dims[1] * t.spatial());
}

// The values of a convolution's three tensors; the one that the pass makes is written.
struct Values {
    const void *x, *w, *y;
};

template <class T> void run(const Problem &p, Pass pass, Values values, Accumulated<T> alpha, Accumulated<T> beta) {
    using A = Accumulated<T>;
    auto place_x = packed_place(p.x), place_y = packed_place(p.y);
    auto place_w = packed_filter_place(p, pass);
    Packed<A> all;
    all.x = pass == Pass::data ? nothing<A>(p.x) : packed<T>(p.x, values.x, place_x);
    all.w = pass == Pass::filter ? nothing<A>(p.w) : packed<T>(p.w, values.w, place_w);
    all.y = pass == Pass::forward ? nothing<A>(p.y) : packed<T>(p.y, values.y, place_y);
    convolve(p, pass, all);
    if (pass == Pass::data) unpack<T>(p.x, const_cast<void *>(values.x), place_x, all.x, alpha, beta);
    if (pass == Pass::filter) unpack<T>(p.w, const_cast<void *>(values.w), place_w, all.w, alpha, beta);
    if (pass == Pass::forward) unpack<T>(p.y, const_cast<void *>(values.y), place_y, all.y, alpha, beta);
}

DnnStatus convolution(const char *name, const Problem &p, Pass pass, Values values, const void *alpha, const void *beta,
                      const void *workspace, size_t bytes) {
    trace("%s: x (%lld, %lld, %lld, %lld), w (%lld, %lld, %lld, %lld), groups %d, type %d", name, p.x.dims[0],
          p.x.dims[1], p.x.dims[2], p.x.dims[3], p.w.dims[0], p.w.dims[1], p.w.dims[2], p.w.dims[3], p.conv.groups,
          p.x.type);
    if (DnnStatus status = check(p, name)) return status;
    if (!workspace || bytes < workspace_size) {
        complain("%s: expected a workspace of %zu bytes, got %zu", name, workspace_size, workspace ? bytes : 0);
        return bad_param;
    }
    with_type(p.x.type, [&](auto type) {
        using T = decltype(type);
        using A = Accumulated<T>;
        run<T>(p, pass, values, *static_cast<const A *>(alpha), *static_cast<const A *>(beta));
    });
    return success;
}

double activated(const Activation &activation, double x) {
    double coefficient = activation.coefficient;
    switch (activation.mode) {
    case 0: return 1 / (1 + std::exp(-x));
    case 1: return 0 < x ? x : 0;
    case 2: return std::tanh(x);
    case 3: return x < coefficient ? (0 < x ? x : 0) : coefficient;
    case 4: return 0 < x ? x : coefficient * (std::exp(x) - 1);
    case 6: return x / (1 + std::exp(-coefficient * x));
    default: return x;
    }
}

// Offsets of an element in a tensor whose dimensions of size 1 stand for all.
long long broadcast(const Tensor &t, long long n, long long c, long long position, const Tensor &like) {
    long long k = position % like.dims[4], j = position / like.dims[4] % like.dims[3],
              i = position / like.dims[4] / like.dims[3];
    auto along = [&](int d, long long at) { return t.dims[d] == 1 ? 0 : at * t.strides[d]; };
    return along(0, n) + along(1, c) + along(2, i) + along(3, j) + along(4, k);
}

DnnStatus algorithm(const Problem &p, const char *name, int wanted, int *returned, Performance *performance) {
    if (DnnStatus status = check(p, name)) return status;
    *returned = wanted < 1 ? 0 : 1;
    if (*returned) *performance = {1, success, 1.0f, workspace_size, 1, p.conv.math, {}};
    return success;
}

DnnStatus size_of_workspace(const Problem &p, const char *name, size_t *bytes) {
    *bytes = workspace_size;
    return check(p, name);
}

} // namespace

extern "C" {

size_t cudnnGetVersion() { return 91900; }
size_t cudnnGetCudartVersion() { return 13000; }
const char *cudnnGetErrorString(int status) {
    return status == success     ? "CUDNN_STATUS_SUCCESS"
           : status == bad_param ? "CUDNN_STATUS_BAD_PARAM"
                                 : "CUDNN_STATUS_NOT_SUPPORTED";
}
void cudnnGetLastErrorString(char *message, size_t size) {
    std::snprintf(message, size, "see the standard error stream");
}
DnnStatus cudnnCnnVersionCheck() { return success; }
DnnStatus cudnnOpsVersionCheck() { return success; }
DnnStatus cudnnAdvVersionCheck() { return success; }

DnnStatus cudnnCreate(Handle **handle) { return *handle = new Handle, success; }
DnnStatus cudnnDestroy(Handle *handle) { return delete handle, success; }
DnnStatus cudnnSetStream(Handle *handle, void *stream) { return handle->stream = stream, success; }
DnnStatus cudnnGetStream(Handle *handle, void **stream) { return *stream = handle->stream, success; }

DnnStatus cudnnCreateTensorDescriptor(Tensor **t) { return *t = new Tensor, success; }
DnnStatus cudnnDestroyTensorDescriptor(Tensor *t) { return delete t, success; }
DnnStatus cudnnSetTensor4dDescriptor(Tensor *t, int format, int type, int n, int c, int h, int w) {
    int dims[] = {n, c, h, w};
    return set_tensor(*t, type, format, 4, dims);
}
DnnStatus cudnnSetTensor4dDescriptorEx(Tensor *t, int type, int n, int c, int h, int w, int sn, int sc, int sh,
                                       int sw) {
    int dims[] = {n, c, h, w}, strides[] = {sn, sc, sh, sw};
    return set_tensor_strides(*t, type, 4, dims, strides);
}
DnnStatus cudnnSetTensorNdDescriptor(Tensor *t, int type, int rank, const int *dims, const int *strides) {
    return set_tensor_strides(*t, type, rank, dims, strides);
}
DnnStatus cudnnSetTensorNdDescriptorEx(Tensor *t, int format, int type, int rank, const int *dims) {
    return set_tensor(*t, type, format, rank, dims);
}

DnnStatus cudnnCreateFilterDescriptor(Tensor **t) { return *t = new Tensor, success; }
DnnStatus cudnnDestroyFilterDescriptor(Tensor *t) { return delete t, success; }
DnnStatus cudnnSetFilter4dDescriptor(Tensor *t, int type, int format, int k, int c, int h, int w) {
    int dims[] = {k, c, h, w};
    return set_tensor(*t, type, format, 4, dims);
}
DnnStatus cudnnSetFilterNdDescriptor(Tensor *t, int type, int format, int rank, const int *dims) {
    return set_tensor(*t, type, format, rank, dims);
}

DnnStatus cudnnCreateConvolutionDescriptor(Convolution **conv) { return *conv = new Convolution, success; }
DnnStatus cudnnDestroyConvolutionDescriptor(Convolution *conv) { return delete conv, success; }
DnnStatus cudnnSetConvolution2dDescriptor(Convolution *conv, int pad_h, int pad_w, int stride_h, int stride_w,
                                          int dilation_h, int dilation_w, int mode, int compute) {
    int pad[] = {pad_h, pad_w}, stride[] = {stride_h, stride_w}, dilation[] = {dilation_h, dilation_w};
    return set_convolution(*conv, 2, pad, stride, dilation, mode, compute);
}
DnnStatus cudnnSetConvolutionNdDescriptor(Convolution *conv, int rank, const int *pad, const int *stride,
                                          const int *dilation, int mode, int compute) {
    return set_convolution(*conv, rank, pad, stride, dilation, mode, compute);
}
DnnStatus cudnnSetConvolutionGroupCount(Convolution *conv, int groups) {
    if (groups < 1) return bad_param;
    return conv->groups = groups, success;
}
DnnStatus cudnnGetConvolutionGroupCount(Convolution *conv, int *groups) { return *groups = conv->groups, success; }
DnnStatus cudnnSetConvolutionMathType(Convolution *conv, int math) { return conv->math = math, success; }
DnnStatus cudnnGetConvolutionMathType(Convolution *conv, int *math) { return *math = conv->math, success; }
DnnStatus cudnnSetConvolutionReorderType(Convolution *, int) { return success; }

// The three passes share their questions; a pass names its tensors in an order of its own.

#define PASS(PASS_NAME, FIRST_TYPE, FIRST, SECOND_TYPE, SECOND, MADE_TYPE, MADE)                                       \
    DnnStatus cudnnGetConvolution##PASS_NAME##AlgorithmMaxCount(Handle *, int *count) { return *count = 1, success; }  \
    DnnStatus cudnnGetConvolution##PASS_NAME##Algorithm_v7(Handle *, FIRST_TYPE *FIRST, SECOND_TYPE *SECOND,           \
                                                           Convolution *conv, MADE_TYPE *MADE, int wanted,             \
                                                           int *returned, Performance *performance) {                  \
        return algorithm({*x, *w, *y, *conv}, "convolution " #PASS_NAME, wanted, returned, performance);               \
    }                                                                                                                  \
    DnnStatus cudnnFindConvolution##PASS_NAME##Algorithm(Handle *, FIRST_TYPE *FIRST, SECOND_TYPE *SECOND,             \
                                                         Convolution *conv, MADE_TYPE *MADE, int wanted,               \
                                                         int *returned, Performance *performance) {                    \
        return algorithm({*x, *w, *y, *conv}, "convolution " #PASS_NAME, wanted, returned, performance);               \
    }                                                                                                                  \
    DnnStatus cudnnFindConvolution##PASS_NAME##AlgorithmEx(                                                            \
        Handle *, FIRST_TYPE *FIRST, const void *, SECOND_TYPE *SECOND, const void *, Convolution *conv,               \
        MADE_TYPE *MADE, void *, int wanted, int *returned, Performance *performance, void *, size_t) {                \
        return algorithm({*x, *w, *y, *conv}, "convolution " #PASS_NAME, wanted, returned, performance);               \
    }                                                                                                                  \
    DnnStatus cudnnGetConvolution##PASS_NAME##WorkspaceSize(Handle *, FIRST_TYPE *FIRST, SECOND_TYPE *SECOND,          \
                                                            Convolution *conv, MADE_TYPE *MADE, int, size_t *bytes) {  \
        return size_of_workspace({*x, *w, *y, *conv}, "convolution " #PASS_NAME, bytes);                               \
    }
PASS(Forward, Tensor, x, Tensor, w, Tensor, y)
PASS(BackwardData, Tensor, w, Tensor, y, Tensor, x)
PASS(BackwardFilter, Tensor, x, Tensor, y, Tensor, w)

DnnStatus cudnnConvolutionForward(Handle *, const void *alpha, Tensor *x, const void *vx, Tensor *w, const void *vw,
                                  Convolution *conv, int, void *workspace, size_t bytes, const void *beta, Tensor *y,
                                  void *vy) {
    return convolution("convolution forward", {*x, *w, *y, *conv}, Pass::forward, {vx, vw, vy}, alpha, beta, workspace,
                       bytes);
}

DnnStatus cudnnConvolutionBackwardData(Handle *, const void *alpha, Tensor *w, const void *vw, Tensor *y,
                                       const void *vy, Convolution *conv, int, void *workspace, size_t bytes,
                                       const void *beta, Tensor *x, void *vx) {
    return convolution("convolution backward data", {*x, *w, *y, *conv}, Pass::data, {vx, vw, vy}, alpha, beta,
                       workspace, bytes);
}

DnnStatus cudnnConvolutionBackwardFilter(Handle *, const void *alpha, Tensor *x, const void *vx, Tensor *y,
                                         const void *vy, Convolution *conv, int, void *workspace, size_t bytes,
                                         const void *beta, Tensor *w, void *vw) {
    return convolution("convolution backward filter", {*x, *w, *y, *conv}, Pass::filter, {vx, vw, vy}, alpha, beta,
                       workspace, bytes);
}

DnnStatus cudnnConvolutionBackwardBias(Handle *, const void *alpha, Tensor *y, const void *vy, const void *beta,
                                       Tensor *bias, void *vbias) {
    if (bias->dims[1] != y->dims[1] || bias->type != y->type) return bad_param;
    with_type(y->type, [&](auto type) {
        using T = decltype(type);
        using A = Accumulated<T>;
        std::vector<A> sums(y->dims[1]);
        each(*y, [&](long long at, long long, long long c, long long) { sums[c] += static_cast<const T *>(vy)[at]; });
        auto place = [](long long, long long c, long long) { return c; };
        unpack<T>(*bias, vbias, place, sums, *static_cast<const A *>(alpha), *static_cast<const A *>(beta));
    });
    return success;
}

DnnStatus cudnnCreateActivationDescriptor(Activation **activation) { return *activation = new Activation, success; }
DnnStatus cudnnDestroyActivationDescriptor(Activation *activation) { return delete activation, success; }
DnnStatus cudnnSetActivationDescriptor(Activation *activation, int mode, int nan, double coefficient) {
    *activation = {mode, nan, coefficient};
    return success;
}

DnnStatus cudnnActivationForward(Handle *, Activation *activation, const void *alpha, Tensor *x, const void *vx,
                                 const void *beta, Tensor *y, void *vy) {
    if (x->dims != y->dims || x->type != y->type) return bad_param;
    with_type(x->type, [&](auto type) {
        using T = decltype(type);
        using A = Accumulated<T>;
        auto values = packed<T>(*x, vx, packed_place(*x));
        for (A &value : values) value = A(activated(*activation, value));
        unpack<T>(*y, vy, packed_place(*y), values, *static_cast<const A *>(alpha), *static_cast<const A *>(beta));
    });
    return success;
}

// c = α·a + β·c, where a dimension of size 1 in a stands for all of c's.
DnnStatus cudnnAddTensor(Handle *, const void *alpha, Tensor *a, const void *va, const void *beta, Tensor *c,
                         void *vc) {
    if (a->type != c->type) return bad_param;
    with_type(c->type, [&](auto type) {
        using T = decltype(type);
        using A = Accumulated<T>;
        A factor = *static_cast<const A *>(alpha), kept = *static_cast<const A *>(beta);
        each(*c, [&](long long at, long long n, long long channel, long long position) {
            T &to = static_cast<T *>(vc)[at];
            A value = factor * A(static_cast<const T *>(va)[broadcast(*a, n, channel, position, *c)]);
            to = T(kept == A(0) ? value : value + kept * A(to));
        });
    });
    return success;
}

// y = activation(α₁·conv(x, w) + α₂·z + bias)
DnnStatus cudnnConvolutionBiasActivationForward(Handle *, const void *alpha, Tensor *x, const void *vx, Tensor *w,
                                                const void *vw, Convolution *conv, int, void *workspace, size_t bytes,
                                                const void *alpha_z, Tensor *z, const void *vz, Tensor *bias,
                                                const void *vbias, Activation *activation, Tensor *y, void *vy) {
    const char *name = "convolution with bias and activation";
    Problem p = {*x, *w, *y, *conv};
    if (DnnStatus status = check(p, name)) return status;
    if (!workspace || bytes < workspace_size || bias->dims[1] != y->dims[1] || z->dims != y->dims) return bad_param;
    trace("%s", name);
    with_type(x->type, [&](auto type) {
        using T = decltype(type);
        using A = Accumulated<T>;
        Packed<A> all = {packed<T>(*x, vx, packed_place(*x)), packed<T>(*w, vw, packed_filter_place(p, Pass::forward)),
                         nothing<A>(*y)};
        convolve(p, Pass::forward, all);
        A factor = *static_cast<const A *>(alpha), factor_z = *static_cast<const A *>(alpha_z);
        auto place = packed_place(*y);
        // z may be y itself, so each element is read before it is written.
        each(*y, [&](long long at, long long n, long long c, long long position) {
            A value = factor * all.y[place(n, c, position)] +
                      A(static_cast<const T *>(vbias)[broadcast(*bias, n, c, position, *y)]);
            if (factor_z != A(0)) value += factor_z * A(static_cast<const T *>(vz)[broadcast(*z, n, c, position, *y)]);
            static_cast<T *>(vy)[at] = T(A(activated(*activation, value)));
        });
    });
    return success;
}

} // extern "C"
