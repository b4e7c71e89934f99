// Steps of the optimisers over all parameters in one launch, and norms of gradients.

// Values that a block works on.
#define CHUNK 8192ull

// A parameter with its gradient; `rows` says which rows the gradient is of, if it is not of all.
struct Entry {
    float* weights;
    const float* gradients;
    float *first, *second;  // moments
    const u32* rows;
    u64 width;   // values of a row
    u64 count;   // values of the gradient
    u32 start;   // number of the first block
    u32 is_wide; // whether vectors of 4 values can be loaded
    float numbers[4];
};

// The entry that this block works on: the last one that does not begin after it.
__device__ __forceinline__ const Entry& entry_of_block(const Entry* entries, u32 count) {
    u32 low = 0, high = count;
    while (high - low > 1) {
        u32 middle = low + (high - low) / 2;
        if (entries[middle].start <= blockIdx.x) low = middle;
        else high = middle;
    }
    return entries[low];
}

// Where the parameter of value i of the gradient is.
__device__ __forceinline__ u64 place_of(const Entry& entry, u64 i) {
    return entry.rows ? (u64)entry.rows[i / entry.width] * entry.width + i % entry.width : i;
}

// v = momentum·v + (g + decay·w), w = w − rate·v
struct Sgd {
    float momentum, rate;
    static const bool HAS_SECOND = false;

    __device__ __forceinline__ void move(const float* numbers, float& w, float g, float& v, float&) const {
        v = momentum * v + (g + numbers[0] * w);
        w -= rate * v;
    }
};

// m += (1 − β₁)·(g − m), v = β₂·v + (1 − β₂)·g², w = keep·w − size·m/(√v/root + eps)
struct AdamW {
    float beta2, rest1, rest2, eps;
    static const bool HAS_SECOND = true;

    __device__ __forceinline__ void move(const float* numbers, float& w, float g, float& m, float& v) const {
        m += rest1 * (g - m);
        v = beta2 * v + rest2 * g * g;
        w = numbers[0] * w - numbers[1] * m / (sqrtf(v) / numbers[2] + eps);
    }
};

template <typename Rule, int V> __device__ __forceinline__ void move_chunk(
    const Entry& entry, u64 first, u64 last, const Rule& rule) {
    float w[V], g[V], a[V], b[V];
    for (u64 i = first + (u64)threadIdx.x * V; i < last; i += (u64)blockDim.x * V) {
        u64 at = place_of(entry, i);
        load<float, V>(entry.weights + at, w);
        load<float, V>(entry.gradients + i, g);
        load<float, V>(entry.first + at, a);
        if (Rule::HAS_SECOND) load<float, V>(entry.second + at, b);
#pragma unroll
        for (int v = 0; v < V; v++) rule.move(entry.numbers, w[v], g[v], a[v], b[v]);
        store<float, V>(entry.weights + at, w);
        store<float, V>(entry.first + at, a);
        if (Rule::HAS_SECOND) store<float, V>(entry.second + at, b);
    }
}

template <typename Rule> __device__ void step(const Entry* entries, u32 count, const Rule& rule) {
    const Entry& entry = entry_of_block(entries, count);
    u64 first = (blockIdx.x - entry.start) * CHUNK;
    u64 last = first + CHUNK < entry.count ? first + CHUNK : entry.count;
    if (entry.is_wide) move_chunk<Rule, 4>(entry, first, last, rule);
    else move_chunk<Rule, 1>(entry, first, last, rule);
}

extern "C" __global__ void sgd_step(const Entry* entries, u32 count, float momentum, float rate) {
    step(entries, count, Sgd{momentum, rate});
}

extern "C" __global__ void adamw_step(
    const Entry* entries, u32 count, float beta2, float rest1, float rest2, float eps) {
    step(entries, count, AdamW{beta2, rest1, rest2, eps});
}

// Weights from gradients times a factor.
extern "C" __global__ void scaled_gradients(const Entry* entries, u32 count, float factor) {
    const Entry& entry = entry_of_block(entries, count);
    u64 first = (blockIdx.x - entry.start) * CHUNK;
    u64 last = first + CHUNK < entry.count ? first + CHUNK : entry.count;
    for (u64 i = first + threadIdx.x; i < last; i += blockDim.x) entry.weights[i] = entry.gradients[i] * factor;
}

// Weights are kept in part, and the rest comes from gradients.
extern "C" __global__ void blend(const Entry* entries, u32 count) {
    const Entry& entry = entry_of_block(entries, count);
    u64 first = (blockIdx.x - entry.start) * CHUNK;
    u64 last = first + CHUNK < entry.count ? first + CHUNK : entry.count;
    for (u64 i = first + threadIdx.x; i < last; i += blockDim.x)
        entry.weights[i] = entry.numbers[0] * entry.weights[i] + entry.numbers[1] * entry.gradients[i];
}

// The sum over 256 threads, always in the same order; the result is in the first.
__device__ __forceinline__ double sum_of_threads(double part) {
    __shared__ double shared[256];
    shared[threadIdx.x] = part;
    __syncthreads();
    for (u32 half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    return shared[0];
}

// Σ g² of the chunk of each block.
extern "C" __global__ void squares_part(const Entry* entries, u32 count, double* parts) {
    const Entry& entry = entry_of_block(entries, count);
    u64 first = (blockIdx.x - entry.start) * CHUNK;
    u64 last = first + CHUNK < entry.count ? first + CHUNK : entry.count;
    double sum = 0.0;
    for (u64 i = first + threadIdx.x; i < last; i += blockDim.x) {
        double g = (double)entry.gradients[i];
        sum += g * g;
    }
    sum = sum_of_threads(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// Σ g² of each gradient, a block for each.
extern "C" __global__ void squares_finish(
    const Entry* entries, u32 count, const double* parts, u32 chunks, double* sums) {
    u32 end = blockIdx.x + 1 < count ? entries[blockIdx.x + 1].start : chunks;
    double sum = 0.0;
    for (u32 part = entries[blockIdx.x].start + threadIdx.x; part < end; part += blockDim.x) sum += parts[part];
    sum = sum_of_threads(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
