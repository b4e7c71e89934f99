// Descriptors of cuDNN and the convolution that they describe.
#pragma once
#include "numbers.h"
#include "trace.h"
#include <array>
#include <vector>

namespace emulated {

enum DnnStatus { success = 0, bad_param = 2000, not_supported = 3000 };
enum DataType { type_float = 0, type_double = 1, type_bf16 = 9 };

// A batch of items with channels and up to three dimensions of space; absent ones have the size 1.
struct Tensor {
    int type = -1, rank = 0;
    std::array<long long, 5> dims{}, strides{};

    long long spatial() const { return dims[2] * dims[3] * dims[4]; }
};

struct Convolution {
    std::array<int, 3> pad{}, stride{1, 1, 1}, dilation{1, 1, 1};
    int rank = 0, mode = 0, compute = -1, groups = 1, math = 0;
};

struct Activation {
    int mode = 5, nan = 0;
    double coefficient = 0;
};

// x, the filter and y of a convolution. A filter's items are output channels, its channels those of one group.
struct Problem {
    Tensor x, w, y;
    Convolution conv;
};

// Says what does not fit, if anything.
DnnStatus check(const Problem &, const char *name);

enum class Pass { forward, data, filter };

// What a pass makes of the two operands it reads, in the type that it sums up in and without gaps: channels last.
template <class A> struct Packed {
    std::vector<A> x, w, y;
};
void convolve(const Problem &, Pass, Packed<float> &);
void convolve(const Problem &, Pass, Packed<double> &);

} // namespace emulated
