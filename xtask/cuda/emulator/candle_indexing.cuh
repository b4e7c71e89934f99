// Candle's kernels that take indices. The largest index means none; one that is too large ends the launch.

template <class I> bool is_none(I index) { return index == Limits<I>::largest(); }

template <class I> size_t checked(I index, size_t size) {
    assert(size_t(index) < size);
    return index;
}

#define SELECT(T, I)                                                                                                   \
    extern "C" __global__ void is_##I##_##T(size_t numel, size_t rank, const size_t *info, const I *ids,               \
                                            const T *inp, T *out, size_t left, size_t src_size, size_t ids_size,       \
                                            size_t right) {                                                            \
        Layout at = layout(rank, info);                                                                                \
        EACH(i, numel) {                                                                                               \
            I index = ids[at[i / right % ids_size]];                                                                   \
            size_t row = i / (ids_size * right) * src_size;                                                            \
            out[i] = is_none(index) ? T(0) : inp[(row + checked(index, src_size)) * right + i % right];                \
        }                                                                                                              \
    }
#define GATHER(T, I)                                                                                                   \
    extern "C" __global__ void gather_##I##_##T(size_t numel, const I *ids, const T *inp, T *out, size_t left,         \
                                                size_t src_size, size_t ids_size, size_t right) {                      \
        EACH(i, numel) {                                                                                               \
            size_t row = i / (ids_size * right) * src_size;                                                            \
            out[i] = is_none(ids[i]) ? T(0) : inp[(row + checked(ids[i], src_size)) * right + i % right];              \
        }                                                                                                              \
    }
#define INDEX_ADD(T, I)                                                                                                \
    extern "C" __global__ void ia_##I##_##T(const I *ids, size_t ids_size, const T *inp, T *out, size_t left,          \
                                            size_t src_size, size_t dst_size, size_t right) {                          \
        EACH(i, left *right) for (size_t j = 0; j < ids_size; ++j) {                                                   \
            if (is_none(ids[j])) continue;                                                                             \
            size_t to = (i / right * dst_size + checked(ids[j], dst_size)) * right + i % right;                        \
            out[to] += inp[(i / right * ids_size + j) * right + i % right];                                            \
        }                                                                                                              \
    }
#define SCATTER(T, I, NAME, ASSIGN)                                                                                    \
    extern "C" __global__ void NAME##_##I##_##T(const I *ids, const T *inp, T *out, size_t left, size_t src_size,      \
                                                size_t dst_size, size_t right) {                                       \
        EACH(i, left *right) for (size_t j = 0; j < src_size; ++j) {                                                   \
            size_t from = (i / right * src_size + j) * right + i % right;                                              \
            if (is_none(ids[from])) continue;                                                                          \
            size_t to = (i / right * dst_size + checked(ids[from], dst_size)) * right + i % right;                     \
            out[to] ASSIGN inp[from];                                                                                  \
        }                                                                                                              \
    }
#define INDEXED_BY(T, I) SELECT(T, I) GATHER(T, I) INDEX_ADD(T, I) SCATTER(T, I, s, =) SCATTER(T, I, sa, +=)
#define INDEXED(T) INDEXED_BY(T, u8) INDEXED_BY(T, u32) INDEXED_BY(T, i64)
FOR_ALL(INDEXED)
