// Class centers: unit rows, log-sum-exp and gradients of rows of products.
//
// A product is that of a row x̂ (D) and one of the K centers of a class as it lies; times the center's inverse norm it
// is a cosine. The K cosines of a class become one, that becomes a logit before the scale. A chunk is `count` classes
// from `first` on, its products are (B, pitch), those of a class side by side. Where nothing is normalised there are no
// inverse norms, and x̂ is x; a bias is added there.
//
// Of a row and its own class are known (2 + 2K): ‖x‖, the bias, K products x·w, K norms ‖w‖. The way back begins with
// (3 + 2K): what is taken from a logit before its exponential, the factor of that, dL/d‖x‖, K dL/dcosθ_y, K cosθ_y.
// Sums are taken in f64 in an order that never changes.

// The smallest norm that is divided by, and its inverse as the inverse norms have it.
#define NORM_FLOOR 1e-12
#define INVERSE_OF_FLOOR 1e12f

__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000u); }

__device__ __forceinline__ double floored(double norm) { return norm < NORM_FLOOR ? NORM_FLOOR : norm; }

// The sum over a warp, in all of its threads.
__device__ __forceinline__ double warp_sum(double part) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) part += __shfl_xor_sync(0xffffffffu, part, lanes);
    return part;
}

// The sum over a block of whole warps, in all of its threads.
__device__ double block_sum(double part) {
    __shared__ double warps[32];
    part = warp_sum(part);
    // The sum before this one has been read.
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = part;
    __syncthreads();
    double sum = 0.0;
    for (u32 warp = 0; warp < blockDim.x / 32; warp++) sum += warps[warp];
    return sum;
}

// The largest over a block of whole warps, in all of its threads; NaN is passed over.
__device__ float block_max(float top) {
    __shared__ float warps[32];
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        float other = __shfl_xor_sync(0xffffffffu, top, lanes);
        top = top < other ? other : top;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = top;
    __syncthreads();
    for (u32 warp = 0; warp < blockDim.x / 32; warp++) top = top < warps[warp] ? warps[warp] : top;
    return top;
}

// x̂ = x/max(‖x‖, floor); a block for each row.
extern "C" __global__ void unit_rows(const float* x, u32 width, float* unit) {
    u64 row = (u64)blockIdx.x * width;
    double squares = 0.0;
    for (u32 d = threadIdx.x; d < width; d += blockDim.x) squares += (double)x[row + d] * x[row + d];
    double norm = floored(sqrt(block_sum(squares)));
    for (u32 d = threadIdx.x; d < width; d += blockDim.x) unit[row + d] = (float)(x[row + d] / norm);
}

// What is known of each row and its own class; a block for each row and each of its K centers.
extern "C" __global__ void own_products(
    const float* x, const float* centers, const float* bias, const u32* labels, u32 sub_centers, u32 width,
    double* own) {
    u32 row = blockIdx.x, k = blockIdx.y, label = labels[row];
    const float* a = x + (u64)row * width;
    const float* b = centers + ((u64)label * sub_centers + k) * width;
    double products = 0.0, of_a = 0.0, of_b = 0.0;
    for (u32 d = threadIdx.x; d < width; d += blockDim.x) {
        products += (double)a[d] * b[d];
        of_a += (double)a[d] * a[d];
        of_b += (double)b[d] * b[d];
    }
    products = block_sum(products);
    of_a = block_sum(of_a);
    of_b = block_sum(of_b);
    if (threadIdx.x != 0) return;
    double* to = own + (u64)row * (2 + 2 * sub_centers);
    to[2 + k] = products;
    to[2 + sub_centers + k] = sqrt(of_b);
    if (k != 0) return;
    to[0] = sqrt(of_a);
    to[1] = bias ? (double)bias[label] : 0.0;
}

// 1/max(‖w‖, floor); a warp for each of `count` centers.
extern "C" __global__ void inverse_norms(const float* centers, u64 count, u32 width, float* inverses) {
    u64 center = (u64)blockIdx.x * blockDim.y + threadIdx.y;
    if (center >= count) return;
    const float* w = centers + center * width;
    double squares = 0.0;
    for (u32 d = threadIdx.x; d < width; d += 32) squares += (double)w[d] * w[d];
    squares = warp_sum(squares);
    if (threadIdx.x == 0) inverses[center] = (float)(1.0 / floored(sqrt(squares)));
}

// The classes of a chunk as one row meets them.
struct Chunk {
    // The row's.
    const float* products;
    // Of the chunk.
    const float *inverses, *bias;
    u32 sub_centers;
    // γ of soft pooling; below zero the largest cosine is taken.
    float softness;
    // A cosine c above `above` counts as c·(hardness + c).
    float above, hardness;
};

__device__ __forceinline__ Chunk chunk_of_row(
    const float* products, u64 pitch, const float* inverses, const float* bias, u32 first, u32 sub_centers,
    float softness, const double* targets, float hardness, u32 row) {
    Chunk chunk;
    chunk.products = products + row * pitch;
    chunk.inverses = inverses ? inverses + (u64)first * sub_centers : inverses;
    chunk.bias = bias ? bias + first : bias;
    chunk.sub_centers = sub_centers;
    chunk.softness = softness;
    chunk.above = targets ? (float)targets[row] : infinity();
    chunk.hardness = hardness;
    return chunk;
}

__device__ __forceinline__ float inverse_at(const Chunk& chunk, u64 place) {
    return chunk.inverses ? chunk.inverses[place] : 1.0f;
}

__device__ __forceinline__ float cosine_at(const Chunk& chunk, u64 place) {
    return chunk.products[place] * inverse_at(chunk, place);
}

// K cosines as one: the largest, or Σ softmax(γ·c)·c, with the sum of the softmax's exponentials.
struct Pooled {
    float value, top, sum;
    // The lowest of the largest.
    u32 winner;
};

__device__ Pooled pool(const Chunk& chunk, u32 class_) {
    u64 first = (u64)class_ * chunk.sub_centers;
    Pooled pooled;
    pooled.top = cosine_at(chunk, first);
    pooled.winner = 0;
    for (u32 k = 1; k < chunk.sub_centers; k++) {
        float c = cosine_at(chunk, first + k);
        if (pooled.top < c) {
            pooled.top = c;
            pooled.winner = k;
        }
    }
    pooled.value = pooled.top;
    pooled.sum = 1.0f;
    if (chunk.bias) pooled.value += chunk.bias[class_];
    if (chunk.sub_centers == 1 || chunk.softness < 0.0f) return pooled;
    float weighted = 0.0f;
    pooled.sum = 0.0f;
    for (u32 k = 0; k < chunk.sub_centers; k++) {
        float c = cosine_at(chunk, first + k), e = expf(chunk.softness * (c - pooled.top));
        pooled.sum += e;
        weighted += e * c;
    }
    pooled.value = weighted / pooled.sum;
    return pooled;
}

// The logit before the scale.
__device__ __forceinline__ float logit(const Chunk& chunk, float c) {
    return chunk.above < c ? c * (chunk.hardness + c) : c;
}

// Its derivative by the cosine.
__device__ __forceinline__ float slope(const Chunk& chunk, float c) {
    return chunk.above < c ? chunk.hardness + c + c : 1.0f;
}

// The largest v and Σ e^{scale·(v − largest)} over the classes of a part but the row's own, v being the logits before
// the scale, to parts (parts, B, 2); a block for each row and part.
extern "C" __global__ void log_sums(
    const float* products, u64 pitch, const float* inverses, const float* bias, const u32* labels, u32 first, u32 count,
    u32 sub_centers, float softness, const double* targets, float hardness, float scale, u32 per_part, u32 parts_before,
    double* parts) {
    u32 row = blockIdx.x, begin = blockIdx.y * per_part;
    u32 end = begin + per_part < count ? begin + per_part : count;
    Chunk chunk =
        chunk_of_row(products, pitch, inverses, bias, first, sub_centers, softness, targets, hardness, row);
    // A row of another chunk has no class here.
    u32 own = labels[row] - first;
    float top = -infinity();
    double sum = 0.0;
    for (u32 class_ = begin + threadIdx.x; class_ < end; class_ += blockDim.x) {
        if (class_ == own) continue;
        float v = logit(chunk, pool(chunk, class_).value);
        if (top < v) {
            sum *= (double)expf(scale * (top - v));
            top = v;
        }
        // What is not a number stays so.
        sum += (double)expf(scale * (v - top));
    }
    float of_all = block_max(top);
    if (top < of_all) sum *= exp((double)scale * ((double)top - (double)of_all));
    sum = block_sum(sum);
    if (threadIdx.x != 0) return;
    double* to = parts + ((u64)(parts_before + blockIdx.y) * gridDim.x + row) * 2;
    to[0] = (double)of_all;
    to[1] = sum;
}

// The same over all parts, which are taken in their order; a thread for each row.
extern "C" __global__ void combine_sums(const double* parts, u32 count, u32 rows, double scale, double* sums) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    double top = -(double)infinity(), sum = 0.0;
    for (u32 part = 0; part < count; part++) {
        const double* from = parts + ((u64)part * rows + row) * 2;
        double its_top = from[0], its_sum = from[1];
        double both = top < its_top ? its_top : top;
        if (top < both) sum *= exp(scale * (top - both));
        if (its_top < both) its_sum *= exp(scale * (its_top - both));
        sum += its_sum;
        top = both;
    }
    sums[2 * (u64)row] = top;
    sums[2 * (u64)row + 1] = sum;
}

// The gradients by the products, zero at the row's own class, from products that may lie at the same place; a block
// for each row and part.
extern "C" __global__ void spread_gradients(
    const float* products, u64 pitch, const float* inverses, const float* bias, const u32* labels, u32 first, u32 count,
    u32 sub_centers, float softness, const double* targets, float hardness, float scale, u32 per_part,
    const double* slopes, float* gradients, u64 gradient_pitch) {
    u32 row = blockIdx.x, begin = blockIdx.y * per_part;
    u32 end = begin + per_part < count ? begin + per_part : count;
    Chunk chunk =
        chunk_of_row(products, pitch, inverses, bias, first, sub_centers, softness, targets, hardness, row);
    const double* of_row = slopes + (u64)row * (3 + 2 * sub_centers);
    float shift = (float)of_row[0], factor = (float)of_row[1];
    u32 own = labels[row] - first;
    for (u32 class_ = begin + threadIdx.x; class_ < end; class_ += blockDim.x) {
        u64 place = (u64)class_ * sub_centers;
        float* to = gradients + row * gradient_pitch + place;
        Pooled pooled = pool(chunk, class_);
        float v = logit(chunk, pooled.value);
        float d = class_ == own ? 0.0f : factor * slope(chunk, pooled.value) * expf(scale * (v - shift));
        if (sub_centers == 1) {
            to[0] = d * inverse_at(chunk, place);
            continue;
        }
        for (u32 k = 0; k < sub_centers; k++) {
            float c = cosine_at(chunk, place + k);
            float share = k == pooled.winner ? 1.0f : 0.0f;
            // ∂/∂c_k Σ p·c = p_k·(1 + γ·(c_k − Σ p·c)).
            if (chunk.softness >= 0.0f)
                share = expf(chunk.softness * (c - pooled.top)) / pooled.sum
                    * (1.0f + chunk.softness * (c - pooled.value));
            to[k] = d * share * inverse_at(chunk, place + k);
        }
    }
}

// The sums of the columns of gradients; a thread for each class.
extern "C" __global__ void bias_gradients(const float* gradients, u64 pitch, u32 rows, u32 count, float* d_bias) {
    u32 class_ = blockIdx.x * blockDim.x + threadIdx.x;
    if (class_ >= count) return;
    double sum = 0.0;
    for (u32 row = 0; row < rows; row++) sum += (double)gradients[row * pitch + class_];
    d_bias[class_] = (float)sum;
}

// Takes from each center's gradient what points along the center, which normalisation undoes, after the gradient `more`
// by the unit center is added, if there is one; a warp for each of `count` centers.
extern "C" __global__ void project_gradients(
    float* gradients, const float* centers, const float* inverses, const double* more, u64 count, u32 width) {
    u64 center = (u64)blockIdx.x * blockDim.y + threadIdx.y;
    if (center >= count) return;
    float* gradient = gradients + center * width;
    const float* w = centers + center * width;
    double inverse = (double)inverses[center], along = 0.0;
    for (u32 d = threadIdx.x; d < width; d += 32) {
        float g = gradient[d];
        if (more) {
            g = (float)((double)g + inverse * more[center * width + d]);
            gradient[d] = g;
        }
        along += (double)g * w[d];
    }
    along = warp_sum(along);
    // Below the floor ŵ = w/floor is linear in w: nothing to project out.
    if (!(inverses[center] < INVERSE_OF_FLOOR)) return;
    float radial = (float)(along * inverse * inverse);
    for (u32 d = threadIdx.x; d < width; d += 32) gradient[d] -= radial * w[d];
}

// A vector as it is divided by its norm; of length one where nothing is normalised.
struct Length {
    double norm;
    // Whether a change along the vector changes nothing.
    bool is_projected;
};

__device__ __forceinline__ Length length(double norm, int is_plain) {
    Length length;
    length.norm = is_plain ? 1.0 : floored(norm);
    length.is_projected = !is_plain && !(norm < NORM_FLOOR);
    return length;
}

// Adds d·(x̂ − cosθ·ŵ)/‖w‖ of the rows of a class to the gradients of its centers, and d to that of its bias.
//
// A block for each class that has rows and each of its K centers; the rows of class number c are those of `order` from
// starts[c] to starts[c + 1], and are taken in this order.
extern "C" __global__ void own_center_gradients(
    const float* x, const float* centers, const double* own, const double* slopes, const u32* labels, const u32* order,
    const u32* starts, u32 sub_centers, u32 width, int is_plain, float* gradients, float* d_bias) {
    u32 begin = starts[blockIdx.x], end = starts[blockIdx.x + 1], k = blockIdx.y;
    u32 label = labels[order[begin]];
    u64 place = ((u64)label * sub_centers + k) * width;
    for (u32 d = threadIdx.x; d < width; d += blockDim.x) {
        double sum = (double)gradients[place + d];
        for (u32 at = begin; at < end; at++) {
            u64 row = order[at];
            const double* known = own + row * (2 + 2 * sub_centers);
            const double* back = slopes + row * (3 + 2 * sub_centers);
            Length of_x = length(known[0], is_plain), of_w = length(known[2 + sub_centers + k], is_plain);
            double radial = of_w.is_projected ? back[3 + sub_centers + k] : 0.0;
            double tangent = x[row * width + d] / of_x.norm - radial * (centers[place + d] / of_w.norm);
            sum += back[3 + k] / of_w.norm * tangent;
        }
        gradients[place + d] = (float)sum;
    }
    if (!d_bias || threadIdx.x != 0) return;
    double sum = (double)d_bias[label];
    for (u32 at = begin; at < end; at++) sum += slopes[(u64)order[at] * (3 + 2 * sub_centers) + 3 + k];
    d_bias[label] = (float)sum;
}

// Adds a chunk's part of the gradient by x̂ to the whole of it; a thread for each value.
extern "C" __global__ void add_part(const float* part, u64 count, double* whole) {
    u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x, step = (u64)gridDim.x * blockDim.x;
    for (; at < count; at += step) whole[at] += (double)part[at];
}

// The gradient by x from that by x̂, by the norm and by the row's own cosines:
// (g − (g·x̂)x̂)/‖x‖ + dL/d‖x‖·x̂ + Σ_k d_k·(ŵ_k − cosθ_k·x̂)/‖x‖; a block for each row.
extern "C" __global__ void embedding_gradients(
    const float* x, const double* d_unit, const float* centers, const double* own, const double* slopes,
    const u32* labels, u32 sub_centers, u32 width, int is_plain, float* gradients) {
    u64 row = blockIdx.x, place = row * width;
    const double* known = own + row * (2 + 2 * sub_centers);
    const double* back = slopes + row * (3 + 2 * sub_centers);
    const float* w = centers + (u64)labels[row] * sub_centers * width;
    Length of_x = length(known[0], is_plain);
    double along = 0.0;
    for (u32 d = threadIdx.x; d < width; d += blockDim.x) along += x[place + d] / of_x.norm * d_unit[place + d];
    along = block_sum(along);
    double radial = of_x.is_projected ? along : 0.0;
    for (u32 d = threadIdx.x; d < width; d += blockDim.x) {
        double unit = x[place + d] / of_x.norm;
        double sum = (d_unit[place + d] - radial * unit) / of_x.norm + (is_plain ? 0.0 : back[2] * unit);
        for (u32 k = 0; k < sub_centers; k++) {
            Length of_w = length(known[2 + sub_centers + k], is_plain);
            double cosine = of_x.is_projected ? back[3 + sub_centers + k] : 0.0;
            sum += back[3 + k] / of_x.norm * (w[(u64)k * width + d] / of_w.norm - cosine * unit);
        }
        gradients[place + d] = (float)sum;
    }
}
