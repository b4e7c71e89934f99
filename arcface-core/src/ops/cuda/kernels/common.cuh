// What all kernels share: bf16, vectors of 16 bytes, how a row of threads meets channels.
// Every kernel is a template over the type of the activations and the values of a vector, made for f32 and bf16.

typedef unsigned int u32;
typedef unsigned long long u64;

// The nearest bf16; sums are never kept in it.
struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float value(float x) { return x; }
__device__ __forceinline__ float value(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

template <typename T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) {
    bf16 y;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    u32 bits = __float_as_uint(x);
    // A NaN stays one; everything else is rounded to the nearest, ties to even.
    y.bits = (bits & 0x7fffffffu) > 0x7f800000u ? (unsigned short)((bits >> 16) | 64u)
                                                : (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
#endif
    return y;
}

// V neighbouring values, loaded and stored at once.
template <typename T, int V> struct __align__(sizeof(T) * V) Pack {
    T at[V];
};

template <typename T, int V> __device__ __forceinline__ void load(const T* from, float (&to)[V]) {
    Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(from);
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = value(pack.at[v]);
}

template <typename T, int V> __device__ __forceinline__ void store(T* to, const float (&from)[V]) {
    Pack<T, V> pack;
#pragma unroll
    for (int v = 0; v < V; v++) pack.at[v] = narrow<T>(from[v]);
    *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// V numbers per channel from `channel` on, or `otherwise` where there are none.
template <int V> __device__ __forceinline__ void channel_numbers(
    const float* numbers, u32 channel, float otherwise, float (&to)[V]) {
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = numbers ? numbers[channel + v] : otherwise;
}

// Where a thread works on activations (rows, channels): always the same channels, every `step`th row.
//
// `lanes` threads stand side by side over the channels, and as many such rows of threads as find room in a block.
struct Place {
    u32 channel;
    u32 row, step, end;
    bool is_idle;
};

template <int V> __device__ __forceinline__ Place place(u32 rows, u32 channels, u32 lanes, u32 rows_per_block) {
    u32 side = blockDim.x / lanes;
    u32 first = blockIdx.x * rows_per_block, last = first + rows_per_block;
    Place p;
    p.channel = (blockIdx.y * lanes + threadIdx.x % lanes) * V;
    p.row = first + threadIdx.x / lanes;
    p.step = side;
    p.end = last < rows ? last : rows;
    p.is_idle = p.channel >= channels || threadIdx.x / lanes >= side;
    return p;
}

// Writes Q sums per channel of this block to parts (blocks, Q, channels), added in the order of the threads.
template <int Q, int V> __device__ __forceinline__ void write_parts(
    float (&sums)[Q][V], const Place& p, u32 channels, u32 lanes, double* parts) {
    extern __shared__ float shared[];
    u32 side = blockDim.x / lanes;
#pragma unroll
    for (int q = 0; q < Q; q++)
#pragma unroll
        for (int v = 0; v < V; v++) shared[(q * V + v) * blockDim.x + threadIdx.x] = p.is_idle ? 0.0f : sums[q][v];
    __syncthreads();
    for (u32 index = threadIdx.x; index < Q * V * lanes; index += blockDim.x) {
        u32 lane = index % lanes, quantity = index / lanes;
        double sum = 0.0;
        for (u32 r = 0; r < side; r++) sum += (double)shared[quantity * blockDim.x + r * lanes + lane];
        u32 channel = (blockIdx.y * lanes + lane) * V + quantity % V;
        if (channel < channels) parts[((u64)blockIdx.x * Q + quantity / V) * channels + channel] = sum;
    }
}

// The sum of one quantity of one channel over all parts (blocks, quantities, channels), by a column of threads.
//
// Blocks of 32 × 32 threads, x over channels, y over parts; the result is in the threads with y = 0.
__device__ __forceinline__ double total(
    const double* parts, u32 blocks, u32 quantities, u32 quantity, u32 channels, u32 channel) {
    __shared__ double shared[32][33];
    double sum = 0.0;
    if (channel < channels)
        for (u32 part = threadIdx.y; part < blocks; part += 32)
            sum += parts[((u64)part * quantities + quantity) * channels + channel];
    __syncthreads();
    shared[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0) return 0.0;
    sum = 0.0;
    for (u32 y = 0; y < 32; y++) sum += shared[y][threadIdx.x];
    return sum;
}

#define FOR_ACTIVATIONS(KERNEL)  \
    KERNEL(float, 1, f32)        \
    KERNEL(float, 4, f32x4)      \
    KERNEL(bf16, 1, bf16)        \
    KERNEL(bf16, 8, bf16x8)
