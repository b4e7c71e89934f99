// Candle's rearrangement of pictures for a convolution by a matrix product.

#define IM2COL(T)                                                                                                      \
    extern "C" __global__ void im2col_##T(size_t numel, size_t h_out, size_t w_out, size_t h_k, size_t w_k,            \
                                          size_t stride, size_t padding, size_t dilation, const size_t *info,          \
                                          const T *src, T *dst) {                                                      \
        const size_t *dims = info, *strides = info + 4;                                                                \
        EACH(i, numel) {                                                                                               \
            size_t rest = i, x_k = rest % w_k, y_k = (rest /= w_k) % h_k, channel = (rest /= h_k) % dims[1];           \
            size_t x_out = (rest /= dims[1]) % w_out, y_out = (rest /= w_out) % h_out, item = rest / h_out;            \
            size_t y = y_out * stride + y_k * dilation - padding, x = x_out * stride + x_k * dilation - padding;       \
            /* Before the first is far behind the last. */                                                             \
            bool inside = y < dims[2] && x < dims[3];                                                                  \
            size_t at = item * strides[0] + channel * strides[1] + y * strides[2] + x * strides[3];                    \
            dst[i] = inside ? src[at] : T(0);                                                                          \
        }                                                                                                              \
    }
FOR_ALL(IM2COL)
