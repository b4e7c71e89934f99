// Depthwise convolution, forward and backward: one filter (KH, KW) per channel, the channels side by side.

// The sizes of a convolution: x (B, height, width, C), y (B, out_height, out_width, C), filters (KH, KW, C).
struct Window {
    u32 height, width, out_height, out_width, kernel_height, kernel_width, stride, padding;
};

// A pixel of a batch of images.
struct Pixel {
    u32 image, row, column;
};

__device__ __forceinline__ Pixel pixel(u32 index, u32 height, u32 width) {
    Pixel p;
    p.column = index % width;
    index /= width;
    p.row = index % height;
    p.image = index / height;
    return p;
}

// Where a tap meets the input of an output pixel, if it does.
__device__ __forceinline__ bool input_of(const Window& w, const Pixel& y, u32 kh, u32 kw, u32& index) {
    // Left of the image or above it is far beyond its sides once the sign is lost.
    u32 row = y.row * w.stride + kh - w.padding, column = y.column * w.stride + kw - w.padding;
    index = (y.image * w.height + row) * w.width + column;
    return row < w.height && column < w.width;
}

// The output pixel that takes an input pixel in by a tap, if there is one.
__device__ __forceinline__ bool output_of(const Window& w, const Pixel& x, u32 kh, u32 kw, u32& index) {
    u32 down = x.row + w.padding - kh, across = x.column + w.padding - kw;
    // Below zero, these are too large for any row of outputs.
    u32 row = down / w.stride, column = across / w.stride;
    index = (x.image * w.out_height + row) * w.out_width + column;
    return row * w.stride == down && column * w.stride == across && row < w.out_height && column < w.out_width;
}

// Which sum a kernel below makes.
enum Direction { FORWARD, BACKWARD };

// Sums over taps of values times filters: y from x, or dx from dy. K is the kernel's side if it is known, else 0.
//
// A known kernel's filters stay in registers, one set for all the rows that a thread works on.
template <typename T, int V, int K, Direction D> __device__ void depthwise(
    const T* from, const float* filters, const Window& w, u32 rows, u32 channels, u32 lanes, u32 rows_per_block,
    T* to) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    if (p.is_idle) return;
    u32 kernel_height = K ? K : w.kernel_height, kernel_width = K ? K : w.kernel_width;
    float kept[K ? K * K : 1][V], filter[V], at[V], sums[V];
#pragma unroll
    for (int tap = 0; tap < K * K; tap++) channel_numbers<V>(filters + (u64)tap * channels, p.channel, 0.0f, kept[tap]);
    for (u32 row = p.row; row < p.end; row += p.step) {
        Pixel here = D == FORWARD ? pixel(row, w.out_height, w.out_width) : pixel(row, w.height, w.width);
#pragma unroll
        for (int v = 0; v < V; v++) sums[v] = 0.0f;
#pragma unroll
        for (u32 kh = 0; kh < kernel_height; kh++)
#pragma unroll
            for (u32 kw = 0; kw < kernel_width; kw++) {
                u32 there;
                bool meets = D == FORWARD ? input_of(w, here, kh, kw, there) : output_of(w, here, kh, kw, there);
                if (!meets) continue;
                u32 tap = kh * kernel_width + kw;
                load<T, V>(from + (u64)there * channels + p.channel, at);
                if (!K) channel_numbers<V>(filters + (u64)tap * channels, p.channel, 0.0f, filter);
#pragma unroll
                for (int v = 0; v < V; v++) sums[v] += at[v] * (K ? kept[K ? tap : 0][v] : filter[v]);
            }
        store<T, V>(to + (u64)row * channels + p.channel, sums);
    }
}

// Σ dy·x over the output pixels of a block of rows for each of K × K taps, to parts (taps, blocks, channels).
template <typename T, int V, int K> __device__ void depthwise_taps(
    const T* x, const T* dy, const Window& w, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, double* parts) {
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    float sums[K * K][1][V], at[V], d[V];
#pragma unroll
    for (int tap = 0; tap < K * K; tap++)
#pragma unroll
        for (int v = 0; v < V; v++) sums[tap][0][v] = 0.0f;
    if (!p.is_idle)
        for (u32 row = p.row; row < p.end; row += p.step) {
            Pixel here = pixel(row, w.out_height, w.out_width);
            load<T, V>(dy + (u64)row * channels + p.channel, d);
#pragma unroll
            for (int tap = 0; tap < K * K; tap++) {
                u32 there;
                if (!input_of(w, here, tap / K, tap % K, there)) continue;
                load<T, V>(x + (u64)there * channels + p.channel, at);
#pragma unroll
                for (int v = 0; v < V; v++) sums[tap][0][v] += d[v] * at[v];
            }
        }
#pragma unroll
    for (int tap = 0; tap < K * K; tap++) {
        // All have read what the tap before left in shared memory.
        __syncthreads();
        write_parts<1, V>(sums[tap], p, channels, lanes, parts + (u64)tap * gridDim.x * channels);
    }
}

// As above for one tap of any kernel: the blocks of one tap stand behind those of the tap before.
template <typename T, int V> __device__ void depthwise_tap(
    const T* x, const T* dy, const Window& w, u32 blocks, u32 rows, u32 channels, u32 lanes, u32 rows_per_block,
    double* parts) {
    u32 tap = blockIdx.x / blocks;
    Place p = place<V>(rows, channels, lanes, rows_per_block);
    u32 first = blockIdx.x % blocks * rows_per_block, last = first + rows_per_block;
    float sums[1][V], at[V], d[V];
#pragma unroll
    for (int v = 0; v < V; v++) sums[0][v] = 0.0f;
    p.end = last < rows ? last : rows;
    if (!p.is_idle)
        for (u32 row = first + threadIdx.x / lanes; row < p.end; row += p.step) {
            u32 there;
            Pixel here = pixel(row, w.out_height, w.out_width);
            if (!input_of(w, here, tap / w.kernel_width, tap % w.kernel_width, there)) continue;
            load<T, V>(dy + (u64)row * channels + p.channel, d);
            load<T, V>(x + (u64)there * channels + p.channel, at);
#pragma unroll
            for (int v = 0; v < V; v++) sums[0][v] += d[v] * at[v];
        }
    write_parts<1, V>(sums, p, channels, lanes, parts);
}

#define WINDOW \
    u32 height, u32 width, u32 out_height, u32 out_width, u32 kernel_height, u32 kernel_width, u32 stride, u32 padding
#define THE_WINDOW \
    Window { height, width, out_height, out_width, kernel_height, kernel_width, stride, padding }

#define DEPTHWISE(T, V, NAME)                                                                                       \
    extern "C" __global__ void depthwise_##NAME(                                                                    \
        const T* x, const float* filters, WINDOW, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, T* y) {    \
        depthwise<T, V, 0, FORWARD>(x, filters, THE_WINDOW, rows, channels, lanes, rows_per_block, y);              \
    }                                                                                                               \
    extern "C" __global__ void depthwise3_##NAME(                                                                   \
        const T* x, const float* filters, WINDOW, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, T* y) {    \
        depthwise<T, V, 3, FORWARD>(x, filters, THE_WINDOW, rows, channels, lanes, rows_per_block, y);              \
    }                                                                                                               \
    extern "C" __global__ void depthwise_back_##NAME(                                                               \
        const T* dy, const float* filters, WINDOW, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, T* dx) {  \
        depthwise<T, V, 0, BACKWARD>(dy, filters, THE_WINDOW, rows, channels, lanes, rows_per_block, dx);           \
    }                                                                                                               \
    extern "C" __global__ void depthwise3_back_##NAME(                                                              \
        const T* dy, const float* filters, WINDOW, u32 rows, u32 channels, u32 lanes, u32 rows_per_block, T* dx) {  \
        depthwise<T, V, 3, BACKWARD>(dy, filters, THE_WINDOW, rows, channels, lanes, rows_per_block, dx);           \
    }                                                                                                               \
    extern "C" __global__ void depthwise_taps_##NAME(                                                               \
        const T* x, const T* dy, WINDOW, u32 blocks, u32 rows, u32 channels, u32 lanes, u32 rows_per_block,         \
        double* parts) {                                                                                            \
        depthwise_tap<T, V>(x, dy, THE_WINDOW, blocks, rows, channels, lanes, rows_per_block, parts);               \
    }                                                                                                               \
    extern "C" __global__ void depthwise3_taps_##NAME(                                                              \
        const T* x, const T* dy, WINDOW, u32 blocks, u32 rows, u32 channels, u32 lanes, u32 rows_per_block,         \
        double* parts) {                                                                                            \
        depthwise_taps<T, V, 3>(x, dy, THE_WINDOW, rows, channels, lanes, rows_per_block, parts);                   \
    }
FOR_ACTIVATIONS(DEPTHWISE)
