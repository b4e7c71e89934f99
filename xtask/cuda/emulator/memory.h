// Memory that poses as the device's.
#pragma once
#include <cstddef>

namespace emulated {

constexpr size_t total_memory = size_t(16) << 30;

// Memory whose bits are all set, which reads as NaN. Null if there is not as much.
void *allocate(size_t bytes);

// False if there is no such allocation, or if something wrote behind its end; this is then printed.
bool release(void *);

// Whether the bytes lie within one allocation; if not, this is printed.
bool is_within(const void *, size_t bytes, const char *what);

size_t free_memory();

} // namespace emulated
