// What a compiled kernel library and the emulated driver know of each other. Knows no CUDA.
//
// No header of the system is included: `device.h` includes this one, and kernels are compiled without any.
#pragma once

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulated {

// What the threads of a block wait for together.
enum class Meeting { warp, shuffle, ballot };

// What kernel code asks of the driver. A call may put the thread to sleep and run others in between.
struct Runtime {
    // Ends the calling fiber's thread and begins another one; false when no thread is left to begin.
    bool (*next)();
    // Waits for the lanes of `mask`. A shuffle brings the value of lane `source`, a ballot the lanes that gave not 0.
    unsigned long long (*meet)(Meeting, unsigned mask, unsigned long long value, unsigned source);
    // Waits for the block; how many of its threads gave true.
    unsigned (*barrier)(bool);
    // Lanes of the caller's warp that have not returned.
    unsigned (*active)();
    // Ends the launch with an error.
    void (*fail)(const char *);
};

// The largest dynamic shared memory of a block on compute capability 9.0.
constexpr unsigned dynamic_shared_limit = 227 * 1024;

// The variables of one kernel library that a launch sets.
struct Module {
    uint3 *thread, *block;
    dim3 *block_size, *grid_size;
    unsigned char *dynamic_shared;
    // Where the library's `__shared__` variables are.
    unsigned char *shared_begin, *shared_end;
    const Runtime **runtime;
};

} // namespace emulated
