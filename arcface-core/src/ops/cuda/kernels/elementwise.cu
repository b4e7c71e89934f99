// Kernels that work on one value at a time: sums, dropout, changes of type and of layout; sums of columns.

// `count` vectors of V values each, a few for each thread.
#define FOR_EACH_VECTOR(count) \
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (u64)gridDim.x * blockDim.x)

template <typename T, int V> __device__ void added(const T* a, const T* b, u64 count, T* sum) {
    float x[V], y[V];
    FOR_EACH_VECTOR(count) {
        load<T, V>(a + i * V, x);
        load<T, V>(b + i * V, y);
#pragma unroll
        for (int v = 0; v < V; v++) x[v] += y[v];
        store<T, V>(sum + i * V, x);
    }
}

// SplitMix64, as on the CPU: the same mask from the same key.
__device__ __forceinline__ u64 mixed(u64 z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

template <typename T, int V> __device__ void dropped(
    const T* x, u64 start, u64 threshold, float scale, u64 count, T* y) {
    float at[V];
    FOR_EACH_VECTOR(count) {
        load<T, V>(x + i * V, at);
#pragma unroll
        for (int v = 0; v < V; v++) {
            u64 counter = start + (i * V + v) * 0x9e3779b97f4a7c15ull;
            at[v] = mixed(counter) < threshold ? 0.0f : at[v] * scale;
        }
        store<T, V>(y + i * V, at);
    }
}

// y = x + bias, one number per channel; y may be x.
template <typename T, int V> __device__ void shifted(
    const float* x, const float* bias, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, T* y) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    if (p.is_idle) return;
    float shift[V], at[V];
    channel_numbers<V>(bias, p.channel, 0.0f, shift);
    for (u32 row = p.row; row < p.end; row += p.step) {
        u64 place = (u64)row * channels + p.channel;
#pragma unroll
        for (int v = 0; v < V; v++) at[v] = x[place + v] + shift[v];
        store<T, V>(y + place, at);
    }
}

// Σ x of each channel, for blocks of rows.
template <typename T, int V> __device__ void sums_part(
    const T* x, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, double* parts) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    float sums[1][V], at[V];
#pragma unroll
    for (int v = 0; v < V; v++) sums[0][v] = 0.0f;
    if (!p.is_idle)
        for (u32 row = p.row; row < p.end; row += p.step) {
            load<T, V>(x + (u64)row * channels + p.channel, at);
#pragma unroll
            for (int v = 0; v < V; v++) sums[0][v] += at[v];
        }
    write_parts<1, V>(sums, p, channels, lanes, parts);
}

// The sums of several quantities, each with parts (blocks, channels) of its own: blockIdx.y says which.
extern "C" __global__ void sums_finish(const double* parts, u32 blocks, u32 channels, float* sums) {
    u32 c = blockIdx.x * 32 + threadIdx.x;
    double sum = total(parts + (u64)blockIdx.y * blocks * channels, blocks, 1, 0, channels, c);
    if (threadIdx.y == 0 && c < channels) sums[(u64)blockIdx.y * channels + c] = (float)sum;
}

#define ELEMENTWISE(T, V, NAME)                                                                                  \
    extern "C" __global__ void added_##NAME(const T* a, const T* b, u64 count, T* sum) {                         \
        added<T, V>(a, b, count, sum);                                                                           \
    }                                                                                                            \
    extern "C" __global__ void dropped_##NAME(                                                                   \
        const T* x, u64 start, u64 threshold, float scale, u64 count, T* y) {                                    \
        dropped<T, V>(x, start, threshold, scale, count, y);                                                     \
    }                                                                                                            \
    extern "C" __global__ void shifted_##NAME(                                                                   \
        const float* x, const float* bias, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, T* y) {        \
        shifted<T, V>(x, bias, rows, channels, lanes, rows_per_block, y);                                        \
    }                                                                                                            \
    extern "C" __global__ void sums_part_##NAME(                                                                 \
        const T* x, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, double* parts) {                      \
        sums_part<T, V>(x, rows, channels, lanes, rows_per_block, parts);                                        \
    }
FOR_ACTIVATIONS(ELEMENTWISE)

template <typename From, typename To, int V> __device__ void changed(const From* x, u64 count, To* y) {
    float at[V];
    FOR_EACH_VECTOR(count) {
        load<From, V>(x + i * V, at);
        store<To, V>(y + i * V, at);
    }
}

#define CHANGED(FROM, TO, V, NAME)                                                            \
    extern "C" __global__ void changed_##NAME(const FROM* x, u64 count, TO* y) {              \
        changed<FROM, TO, V>(x, count, y);                                                    \
    }
CHANGED(float, bf16, 1, f32_bf16)
CHANGED(float, bf16, 4, f32_bf16x4)
CHANGED(bf16, float, 1, bf16_f32)
CHANGED(bf16, float, 4, bf16_f32x4)

// Matrices (rows, columns) one after the other, each transposed, by tiles of 32 × 32 through shared memory.
//
// Blocks of 32 × 8 threads, one for each tile.
template <typename From, typename To> __device__ void transposed(const From* x, u32 rows, u32 columns, To* y) {
    __shared__ float tile[32][33];
    u32 across = (columns + 31) / 32, down = (rows + 31) / 32;
    u64 matrix = (u64)(blockIdx.x / across / down) * rows * columns;
    u32 left = blockIdx.x % across * 32, top = blockIdx.x / across % down * 32;
    u32 column = left + threadIdx.x;
    for (u32 i = threadIdx.y; i < 32; i += 8) {
        u32 row = top + i;
        if (row < rows && column < columns) tile[i][threadIdx.x] = value(x[matrix + (u64)row * columns + column]);
    }
    __syncthreads();
    u32 row = top + threadIdx.x;
    for (u32 i = threadIdx.y; i < 32; i += 8) {
        column = left + i;
        if (row < rows && column < columns) y[matrix + (u64)column * rows + row] = narrow<To>(tile[threadIdx.x][i]);
    }
}

#define TRANSPOSED(FROM, TO, NAME)                                                                           \
    extern "C" __global__ void transposed_##NAME(const FROM* x, u32 rows, u32 columns, TO* y) {              \
        transposed<FROM, TO>(x, rows, columns, y);                                                           \
    }
TRANSPOSED(float, float, f32_f32)
TRANSPOSED(float, bf16, f32_bf16)
TRANSPOSED(bf16, float, bf16_f32)
TRANSPOSED(bf16, bf16, bf16_bf16)
