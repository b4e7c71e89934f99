// Memory that poses as the device's, and watches over its ends. Knows no streams: a call is done when it returns.
#include "memory.h"
#include "trace.h"

#include <algorithm>
#include <map>
#include <mutex>

namespace emulated {
namespace {

// Behind each allocation.
constexpr size_t margin = 256;
constexpr unsigned char margin_value = 0xa5;

std::mutex guard;
std::map<char *, size_t> allocations;
size_t used = 0;

// The allocation that an address lies in or just behind.
std::map<char *, size_t>::iterator containing(char *address) {
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return allocations.end();
    auto found = std::prev(after);
    return found->first + found->second < address ? allocations.end() : found;
}

} // namespace

void *allocate(size_t bytes) {
    std::lock_guard<std::mutex> lock(guard);
    if (total_memory < bytes || total_memory - bytes < used) return nullptr;
    size_t rounded = (bytes + margin + 255) / 256 * 256;
    char *memory = static_cast<char *>(std::aligned_alloc(256, rounded));
    if (!memory) return nullptr;
    std::memset(memory, 0xff, bytes);
    std::memset(memory + bytes, margin_value, margin);
    allocations[memory] = bytes;
    used += bytes;
    return memory;
}

bool release(void *address) {
    std::lock_guard<std::mutex> lock(guard);
    auto found = allocations.find(static_cast<char *>(address));
    if (found == allocations.end()) {
        complain("%p is freed, which is no allocation of the device", address);
        return false;
    }
    auto [memory, bytes] = *found;
    char *end = memory + bytes;
    bool whole = std::all_of(end, end + margin, [](char value) { return (unsigned char)value == margin_value; });
    if (!whole) complain("something wrote behind the end of an allocation of %zu bytes", bytes);
    allocations.erase(found);
    used -= bytes;
    std::memset(memory, 0xff, bytes);
    std::free(memory);
    return whole;
}

bool is_within(const void *address, size_t bytes, const char *what) {
    if (bytes == 0) return true;
    std::lock_guard<std::mutex> lock(guard);
    char *first = const_cast<char *>(static_cast<const char *>(address));
    auto found = containing(first);
    if (found != allocations.end() && bytes <= size_t(found->first + found->second - first)) return true;
    complain("%s: %zu bytes at %p are not within one allocation of the device", what, bytes, address);
    return false;
}

size_t free_memory() {
    std::lock_guard<std::mutex> lock(guard);
    return total_memory - used;
}

} // namespace emulated
