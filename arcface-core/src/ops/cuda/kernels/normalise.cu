// Batch norm and PReLU, alone and together, forward and backward; mean and variance of channels.
//
// z = (x − center)·scale + shift, y = z for z > 0, slope·z otherwise.
// A map is (5, C): center, scale, shift, 1/√(σ² + ε), and what rounding took from the center.
// A mix is (3, C): dx = a·dz + b·(x − center) + rest.

// Σ (x − first) and Σ (x − first)² of each channel, for blocks of rows.
template <typename T, int V> __device__ void moments_part(
    const T* x, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, double* parts) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    float sums[2][V], first[V], at[V];
#pragma unroll
    for (int v = 0; v < V; v++) sums[0][v] = sums[1][v] = 0.0f;
    if (!p.is_idle) {
        load<T, V>(x + p.channel, first);
        for (u32 row = p.row; row < p.end; row += p.step) {
            load<T, V>(x + (u64)row * channels + p.channel, at);
#pragma unroll
            for (int v = 0; v < V; v++) {
                float d = at[v] - first[v];
                sums[0][v] += d;
                sums[1][v] += d * d;
            }
        }
    }
    write_parts<2, V>(sums, p, channels, lanes, parts);
}

__device__ void write_map(
    double mean, double inverse, const float* affine, u32 channels, u32 c, float* map) {
    float center = (float)mean;
    double rest = mean - (double)center;
    double scale = affine ? (double)affine[c] * inverse : inverse;
    double shift = affine ? (double)affine[channels + c] : 0.0;
    map[c] = center;
    map[channels + c] = (float)scale;
    map[2 * channels + c] = (float)(shift - rest * scale);
    map[3 * channels + c] = (float)inverse;
    map[4 * channels + c] = (float)rest;
}

// Statistics (2, C) of the batch and, with `affine` (2, C), the map by them.
template <typename T> __device__ void moments_finish(
    const double* parts, u32 blocks, const T* x, u32 rows, u32 channels, const float* affine, double eps,
    float* statistics, float* map) {
    u32 c = blockIdx.x * 32 + threadIdx.x;
    double plain = total(parts, blocks, 2, 0, channels, c);
    double squares = total(parts, blocks, 2, 1, channels, c);
    if (threadIdx.y != 0 || c >= channels) return;
    double part = plain / rows;
    double mean = part + (double)value(x[c]);
    double variance = squares / rows - part * part;
    // Rounding may take it below zero by a hair; NaN stays.
    if (variance < 0.0) variance = 0.0;
    statistics[c] = (float)mean;
    statistics[channels + c] = (float)variance;
    if (map) write_map(mean, 1.0 / sqrt(variance + eps), affine, channels, c, map);
}

// The map by given statistics (2, C).
extern "C" __global__ void given_map(
    const float* statistics, const float* affine, u32 channels, double eps, float* map) {
    u32 c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double inverse = 1.0 / sqrt((double)statistics[channels + c] + eps);
    write_map((double)statistics[c], inverse, affine, channels, c, map);
}

// V values that others go on top of: zeros where there are none.
template <typename T, int V> __device__ __forceinline__ void load_onto(const T* from, u64 place, float (&to)[V]) {
    if (from) {
        load<T, V>(from + place, to);
        return;
    }
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = 0.0f;
}

// What a thread knows of its channels; without a map z = x, without slopes y = z.
template <int V> struct Bend {
    float center[V], scale[V], shift[V], slope[V];

    __device__ __forceinline__ Bend(const float* map, const float* slopes, u32 channels, u32 channel) {
        channel_numbers<V>(map, channel, 0.0f, center);
        channel_numbers<V>(map ? map + channels : map, channel, 1.0f, scale);
        channel_numbers<V>(map ? map + 2 * channels : map, channel, 0.0f, shift);
        channel_numbers<V>(slopes, channel, 1.0f, slope);
    }

    // z of x − center.
    __device__ __forceinline__ float before(int v, float centered) const { return centered * scale[v] + shift[v]; }
};

// y from x, on top of a shortcut unless that is left out.
template <typename T, int V> __device__ void bend(
    const T* x, const float* map, const float* slope, const T* shortcut, u32 rows, u32 channels, u32 lanes,
    u32 rows_per_block, T* y) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    if (p.is_idle) return;
    Bend<V> bend(map, slope, channels, p.channel);
    float at[V], onto[V];
    for (u32 row = p.row; row < p.end; row += p.step) {
        u64 place = (u64)row * channels + p.channel;
        load<T, V>(x + place, at);
        load_onto<T, V>(shortcut, place, onto);
#pragma unroll
        for (int v = 0; v < V; v++) {
            float z = bend.before(v, at[v] - bend.center[v]);
            at[v] = (z > 0.0f ? z : bend.slope[v] * z) + onto[v];
        }
        store<T, V>(y + place, at);
    }
}

// With dz the gradient before PReLU: Σ dz·(x − center), Σ dz, Σ dy·min(z, 0) of each channel, for blocks of rows.
template <typename T, int V> __device__ void slopes_part(
    const T* x, const T* dy, const float* map, const float* slope, u32 rows, u32 channels, u32 lanes,
    u32 rows_per_block, double* parts) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    float sums[3][V], at[V], d[V];
#pragma unroll
    for (int v = 0; v < V; v++) sums[0][v] = sums[1][v] = sums[2][v] = 0.0f;
    if (!p.is_idle) {
        Bend<V> bend(map, slope, channels, p.channel);
        for (u32 row = p.row; row < p.end; row += p.step) {
            u64 place = (u64)row * channels + p.channel;
            load<T, V>(x + place, at);
            load<T, V>(dy + place, d);
#pragma unroll
            for (int v = 0; v < V; v++) {
                float centered = at[v] - bend.center[v];
                float z = bend.before(v, centered);
                float dz = z > 0.0f ? d[v] : bend.slope[v] * d[v];
                sums[0][v] += dz * centered;
                sums[1][v] += dz;
                sums[2][v] += z > 0.0f ? 0.0f : d[v] * z;
            }
        }
    }
    write_parts<3, V>(sums, p, channels, lanes, parts);
}

// Gradients by affine (2, C) and by slope (C), and the mix of dx; a null pointer is left out.
// `moves` says that the statistics are the batch's.
extern "C" __global__ void slopes_finish(
    const double* parts, u32 blocks, u32 rows, u32 channels, const float* map, int moves, float* d_affine,
    float* d_slope, float* mix) {
    u32 c = blockIdx.x * 32 + threadIdx.x;
    double products = total(parts, blocks, 3, 0, channels, c);
    double by_beta = total(parts, blocks, 3, 1, channels, c);
    double by_slope = total(parts, blocks, 3, 2, channels, c);
    if (threadIdx.y != 0 || c >= channels) return;
    if (d_slope) d_slope[c] = (float)by_slope;
    if (!map) return;
    double scale = map[channels + c], inverse = map[3 * channels + c], rest = map[4 * channels + c];
    double by_gamma = inverse * (products - rest * by_beta);
    if (d_affine) {
        d_affine[c] = (float)by_gamma;
        d_affine[channels + c] = (float)by_beta;
    }
    if (mix) {
        double part = moves ? 1.0 / rows : 0.0;
        double by_value = -scale * inverse * by_gamma * part;
        mix[c] = (float)scale;
        mix[channels + c] = (float)by_value;
        mix[2 * channels + c] = (float)(-scale * by_beta * part - by_value * rest);
    }
}

// dx from x and dy, on top of what there is of it unless that is left out; without a mix dx = dz.
template <typename T, int V> __device__ void unbend(
    const T* x, const T* dy, const float* map, const float* slope, const float* mix, const T* there, u32 rows,
    u32 channels, u32 lanes, u32 rows_per_block, T* dx) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    if (p.is_idle) return;
    Bend<V> bend(map, slope, channels, p.channel);
    float a[V], b[V], rest[V], at[V], d[V], onto[V];
    channel_numbers<V>(mix, p.channel, 1.0f, a);
    channel_numbers<V>(mix ? mix + channels : mix, p.channel, 0.0f, b);
    channel_numbers<V>(mix ? mix + 2 * channels : mix, p.channel, 0.0f, rest);
    for (u32 row = p.row; row < p.end; row += p.step) {
        u64 place = (u64)row * channels + p.channel;
        load<T, V>(x + place, at);
        load<T, V>(dy + place, d);
        load_onto<T, V>(there, place, onto);
#pragma unroll
        for (int v = 0; v < V; v++) {
            float centered = at[v] - bend.center[v];
            float z = bend.before(v, centered);
            float dz = z > 0.0f ? d[v] : bend.slope[v] * d[v];
            at[v] = a[v] * dz + b[v] * centered + rest[v] + onto[v];
        }
        store<T, V>(dx + place, at);
    }
}

#define NORMALISE(T, V, NAME)                                                                                        \
    extern "C" __global__ void moments_part_##NAME(                                                                  \
        const T* x, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, double* parts) {                          \
        moments_part<T, V>(x, rows, channels, lanes, rows_per_block, parts);                                         \
    }                                                                                                                \
    extern "C" __global__ void bend_##NAME(                                                                          \
        const T* x, const float* map, const float* slope, const T* shortcut, u32 rows, u32 channels, u32 lanes,      \
        u32 rows_per_block, T* y) {                                                                                  \
        bend<T, V>(x, map, slope, shortcut, rows, channels, lanes, rows_per_block, y);                               \
    }                                                                                                                \
    extern "C" __global__ void slopes_part_##NAME(                                                                   \
        const T* x, const T* dy, const float* map, const float* slope, u32 rows, u32 channels, u32 lanes,            \
        u32 rows_per_block, double* parts) {                                                                         \
        slopes_part<T, V>(x, dy, map, slope, rows, channels, lanes, rows_per_block, parts);                          \
    }                                                                                                                \
    extern "C" __global__ void unbend_##NAME(                                                                        \
        const T* x, const T* dy, const float* map, const float* slope, const float* mix, const T* there, u32 rows,   \
        u32 channels, u32 lanes, u32 rows_per_block, T* dx) {                                                        \
        unbend<T, V>(x, dy, map, slope, mix, there, rows, channels, lanes, rows_per_block, dx);                      \
    }
FOR_ACTIVATIONS(NORMALISE)

extern "C" __global__ void moments_finish_f32(
    const double* parts, u32 blocks, const float* x, u32 rows, u32 channels, const float* affine, double eps,
    float* statistics, float* map) {
    moments_finish<float>(parts, blocks, x, rows, channels, affine, eps, statistics, map);
}
extern "C" __global__ void moments_finish_bf16(
    const double* parts, u32 blocks, const bf16* x, u32 rows, u32 channels, const float* affine, double eps,
    float* statistics, float* map) {
    moments_finish<bf16>(parts, blocks, x, rows, channels, affine, eps, statistics, map);
}
