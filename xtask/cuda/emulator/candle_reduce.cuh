// Candle's kernels that make one number of many: a block each, whose first thread does the work.

// Elements `i * count` and on of a tensor whose reduced dimensions come last.
#define REDUCTION(T, NAME, OUT, ANSWER, BEGIN, STEP, RESULT)                                                           \
    extern "C" __global__ void NAME##_##T(size_t numel, size_t count, size_t rank, const size_t *info, const T *src,   \
                                          OUT *dst) {                                                                  \
        if (threadIdx.x != 0) return;                                                                                  \
        Layout at = layout(rank, info);                                                                                \
        size_t first = blockIdx.x * count, end = min(first + count, numel);                                            \
        ANSWER answer = BEGIN;                                                                                         \
        for (size_t i = first; i < end; ++i) {                                                                         \
            T x = src[at[i]];                                                                                          \
            STEP;                                                                                                      \
        }                                                                                                              \
        dst[blockIdx.x] = RESULT;                                                                                      \
    }

// The first of the largest or smallest elements.
template <class T> struct Place {
    T value;
    u32 index;
    bool found;
};

#define REDUCTIONS(T)                                                                                                  \
    REDUCTION(T, fast_sum, T, Sum<T>, 0, answer += x, T(answer))                                                       \
    REDUCTION(T, fast_max, T, T, Limits<T>::least(), answer = larger(answer, x), answer)                               \
    REDUCTION(T, fast_min, T, T, Limits<T>::largest(), answer = smaller(answer, x), answer)                            \
    REDUCTION(T, fast_argmax, u32, Place<T>, (Place<T>{Limits<T>::least(), ~0u, false}),                               \
              if (!answer.found || answer.value < x) answer = (Place<T>{x, u32(i % info[rank - 1]), true}),            \
              answer.index)                                                                                            \
    REDUCTION(T, fast_argmin, u32, Place<T>, (Place<T>{Limits<T>::largest(), ~0u, false}),                             \
              if (!answer.found || x < answer.value) answer = (Place<T>{x, u32(i % info[rank - 1]), true}),            \
              answer.index)                                                                                            \
    extern "C" __global__ void fast_sum_small_##T(size_t outputs, size_t count, size_t rank, const size_t *info,       \
                                                  const T *src, T *dst) {                                              \
        Layout at = layout(rank, info);                                                                                \
        EACH(out, outputs) {                                                                                           \
            Sum<T> answer = 0;                                                                                         \
            for (size_t i = 0; i < count; ++i) answer += src[at[out * count + i]];                                     \
            dst[out] = T(answer);                                                                                      \
        }                                                                                                              \
    }
FOR_ALL(REDUCTIONS)

// Rows are spread over blocks, and a row over the second dimension of a block.
#define SOFTMAX(T)                                                                                                     \
    extern "C" __global__ void softmax_##T(const T *src, T *dst, int columns) {                                        \
        if (threadIdx.y != 0) return;                                                                                  \
        size_t row = (blockDim.x * size_t(blockIdx.x) + threadIdx.x) * columns;                                        \
        Number<T> largest = -INFINITY, sum = 0;                                                                        \
        for (int i = 0; i < columns; ++i) largest = larger(largest, Number<T>(src[row + i]));                          \
        for (int i = 0; i < columns; ++i) sum += Number<T>(dst[row + i] = exp(Number<T>(src[row + i]) - largest));     \
        for (int i = 0; i < columns; ++i) dst[row + i] = Number<T>(dst[row + i]) / sum;                                \
    }
FOR_FLOATS(SOFTMAX)

// Sorts the indices of a row; the block's other threads have nothing to do.
template <class T, class Before> void sort_row(const T *row, u32 *indices, int columns, Before before) {
    for (int i = 0; i < columns; ++i) indices[i] = i;
    for (int width = 1; width < columns; width *= 2)
        for (int start = 0; start + width < columns; start += 2 * width) {
            int middle = start + width, end = min(middle + width, columns);
            // Merges in place, by moving what comes before the left half's next into it.
            for (int left = start, right = middle; left < right && right < end; ++left) {
                if (!before(row[indices[right]], row[indices[left]])) continue;
                u32 moved = indices[right];
                for (int i = right; left < i; --i) indices[i] = indices[i - 1];
                indices[left] = moved;
                ++right;
            }
        }
}
#define SORT(T)                                                                                                        \
    extern "C" __global__ void asort_asc_##T(const T *x, u32 *dst, const int columns, int padded) {                    \
        size_t row = size_t(blockIdx.x) * columns;                                                                     \
        if (threadIdx.x == 0) sort_row(x + row, dst + row, columns, [](T a, T b) { return a < b; });                   \
    }                                                                                                                  \
    extern "C" __global__ void asort_desc_##T(const T *x, u32 *dst, const int columns, int padded) {                   \
        size_t row = size_t(blockIdx.x) * columns;                                                                     \
        if (threadIdx.x == 0) sort_row(x + row, dst + row, columns, [](T a, T b) { return b < a; });                   \
    }
FOR_ALL(SORT)
