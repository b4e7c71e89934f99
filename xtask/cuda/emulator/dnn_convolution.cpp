// Convolutions by straight loops. Knows no descriptors' handles and no scaling factors.
#include "dnn.h"

namespace emulated {
namespace {

long long outputs(const Problem &p, int dimension) {
    const Convolution &conv = p.conv;
    long long reach = 1 + conv.dilation[dimension] * (p.w.dims[2 + dimension] - 1);
    return (p.x.dims[2 + dimension] + 2 * conv.pad[dimension] - reach) / conv.stride[dimension] + 1;
}

// Where a tap of the filter reads for one output; -1 where that is padding.
struct Taps {
    // By dimension: input of an output and a tap.
    std::array<std::vector<long long>, 3> inputs;
    std::array<long long, 3> in, out, taps;

    explicit Taps(const Problem &p) {
        for (int d = 0; d < 3; ++d) {
            in[d] = p.x.dims[2 + d], out[d] = p.y.dims[2 + d], taps[d] = p.w.dims[2 + d];
            for (long long o = 0; o < out[d]; ++o)
                for (long long t = 0; t < taps[d]; ++t) {
                    // A convolution in the sense of mathematics turns the filter around.
                    long long tap = p.conv.mode == 0 ? taps[d] - 1 - t : t;
                    long long input = o * p.conv.stride[d] - p.conv.pad[d] + tap * p.conv.dilation[d];
                    inputs[d].push_back(0 <= input && input < in[d] ? input : -1);
                }
        }
    }

    // Calls `visit(output, tap, input)` for all that meet.
    template <class F> void visit(F visit) const {
        for (long long o0 = 0, o = 0; o0 < out[0]; ++o0)
            for (long long o1 = 0; o1 < out[1]; ++o1)
                for (long long o2 = 0; o2 < out[2]; ++o2, ++o) taps_of(o0, o1, o2, o, visit);
    }

  private:
    template <class F> void taps_of(long long o0, long long o1, long long o2, long long o, F visit) const {
        long long t = 0;
        for (long long t0 = 0; t0 < taps[0]; ++t0)
            for (long long t1 = 0; t1 < taps[1]; ++t1)
                for (long long t2 = 0; t2 < taps[2]; ++t2, ++t) {
                    long long i0 = inputs[0][o0 * taps[0] + t0], i1 = inputs[1][o1 * taps[1] + t1];
                    long long i2 = inputs[2][o2 * taps[2] + t2];
                    if (0 <= i0 && 0 <= i1 && 0 <= i2) visit(o, t, (i0 * in[1] + i1) * in[2] + i2);
                }
    }
};

// All channels of one output and one input that meet at one tap.
template <class A> struct Meeting {
    A *x, *w, *y;
    long long groups, inputs, outputs;
};

// One channel per group: channels lie side by side in all three.
template <class A> [[gnu::always_inline]] inline void meet_depthwise(const Meeting<A> &m, Pass pass) {
    A *__restrict__ x = m.x, *__restrict__ w = m.w, *__restrict__ y = m.y;
    if (pass == Pass::forward)
        for (long long c = 0; c < m.groups; ++c) y[c] += x[c] * w[c];
    else if (pass == Pass::data)
        for (long long c = 0; c < m.groups; ++c) x[c] += y[c] * w[c];
    else
        for (long long c = 0; c < m.groups; ++c) w[c] += x[c] * y[c];
}

template <class A> [[gnu::always_inline]] inline void meet_group(const Meeting<A> &m, Pass pass) {
    A *__restrict__ x = m.x, *__restrict__ w = m.w, *__restrict__ y = m.y;
    const long long inputs = m.inputs, outputs = m.outputs;
    if (pass == Pass::forward)
        for (long long c = 0; c < inputs; ++c)
            for (long long k = 0; k < outputs; ++k) y[k] += x[c] * w[c * outputs + k];
    else if (pass == Pass::data)
        for (long long k = 0; k < outputs; ++k)
            for (long long c = 0; c < inputs; ++c) x[c] += y[k] * w[k * inputs + c];
    else
        for (long long c = 0; c < inputs; ++c)
            for (long long k = 0; k < outputs; ++k) w[c * outputs + k] += x[c] * y[k];
}

template <class A> [[gnu::always_inline]] inline void convolve_any(const Problem &p, Pass pass, Packed<A> &packed) {
    const Taps taps(p);
    const long long groups = p.conv.groups, inputs = p.w.dims[1], outputs = p.w.dims[0] / groups;
    for (long long n = 0; n < p.x.dims[0]; ++n) {
        A *x = packed.x.data() + n * p.x.spatial() * p.x.dims[1],
          *y = packed.y.data() + n * p.y.spatial() * p.y.dims[1];
        taps.visit([&](long long o, long long t, long long i) {
            Meeting<A> all = {x + i * p.x.dims[1],
                              packed.w.data() + t * p.w.dims[0] * inputs,
                              y + o * p.y.dims[1],
                              groups,
                              inputs,
                              outputs};
            if (inputs == 1 && outputs == 1) return meet_depthwise(all, pass);
            for (long long g = 0; g < groups; ++g, all.x += inputs, all.y += outputs, all.w += inputs * outputs)
                meet_group(all, pass);
        });
    }
}

FOR_EVERY_MACHINE void convolve_f32(const Problem &p, Pass pass, Packed<float> &packed) {
    convolve_any(p, pass, packed);
}
FOR_EVERY_MACHINE void convolve_f64(const Problem &p, Pass pass, Packed<double> &packed) {
    convolve_any(p, pass, packed);
}

DnnStatus refuse(const char *name, const char *what, long long expected, long long got) {
    complain("%s: %s: expected %lld, got %lld", name, what, expected, got);
    return bad_param;
}

} // namespace

DnnStatus check(const Problem &p, const char *name) {
    const auto &[x, w, y, conv] = p;
    if (x.type != w.type || x.type != y.type)
        return refuse(name, "one data type", x.type, x.type != w.type ? w.type : y.type);
    if (x.type != type_float && x.type != type_double && x.type != type_bf16) {
        complain("%s: data type %d is not emulated", name, x.type);
        return not_supported;
    }
    int compute = x.type == type_double ? type_double : type_float;
    if (conv.compute != compute) {
        complain("%s: compute type: expected %d for data of type %d, got %d", name, compute, x.type, conv.compute);
        return not_supported;
    }
    if (x.dims[1] != w.dims[1] * conv.groups) return refuse(name, "channels of x", w.dims[1] * conv.groups, x.dims[1]);
    if (w.dims[0] % conv.groups)
        return refuse(name, "output channels that are no multiple of the groups", conv.groups, w.dims[0]);
    if (y.dims[0] != x.dims[0]) return refuse(name, "batch of y", x.dims[0], y.dims[0]);
    if (y.dims[1] != w.dims[0]) return refuse(name, "channels of y", w.dims[0], y.dims[1]);
    for (int d = 0; d < 3; ++d)
        if (y.dims[2 + d] != outputs(p, d)) return refuse(name, "size of y", outputs(p, d), y.dims[2 + d]);
    return success;
}

void convolve(const Problem &p, Pass pass, Packed<float> &packed) { convolve_f32(p, pass, packed); }
void convolve(const Problem &p, Pass pass, Packed<double> &packed) { convolve_f64(p, pass, packed); }

} // namespace emulated
