// The CUDA driver without a device: contexts, streams, events and memory. Kernels are in `modules.cpp`.
//
// Every call does all of its work before it returns, so that streams and events have nothing to wait for.
#include "errors.h"
#include "memory.h"
#include "trace.h"

#include <chrono>

using namespace emulated;

namespace {

// The only context, pool and stream there are; others are told apart by their address alone.
int the_context, the_pool;
thread_local void *current_context = nullptr;

using Clock = std::chrono::steady_clock;
struct Event {
    Clock::time_point recorded;
};

Status allocated(void **to, size_t bytes) {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    *to = allocate(bytes);
    return *to ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

Status freed(void *memory) {
    if (!memory) return CUDA_SUCCESS;
    return release(memory) ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}

enum class Kind { to_device, to_host, on_device };

Status copy(void *to, const void *from, size_t bytes, Kind kind) {
    if (kind != Kind::to_host && !is_within(to, bytes, "copy to the device")) return CUDA_ERROR_INVALID_VALUE;
    if (kind != Kind::to_device && !is_within(from, bytes, "copy from the device")) return CUDA_ERROR_INVALID_VALUE;
    std::memmove(to, from, bytes);
    return CUDA_SUCCESS;
}

template <class T> Status fill(void *to, T value, size_t count) {
    if (!is_within(to, count * sizeof(T), "memset")) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) static_cast<T *>(to)[i] = value;
    return CUDA_SUCCESS;
}

int attribute(int which) {
    switch (which) {
    case 1: return 1024; // threads per block
    case 2:
    case 3: return 1024;       // block's x and y
    case 4: return 64;         // block's z
    case 5: return 2147483647; // grid's x
    case 6:
    case 7: return 65535;     // grid's y and z
    case 8: return 48 * 1024; // shared memory per block
    case 10: return 32;       // lanes of a warp
    case 12:
    case 82: return 65536;      // registers per block and multiprocessor
    case 13: return 1000000;    // clock rate in kHz
    case 16: return 132;        // multiprocessors
    case 31: return 1;          // concurrent kernels
    case 36: return 1000000;    // memory clock rate in kHz
    case 37: return 1024;       // memory bus width
    case 38: return 50 << 20;   // second-level cache
    case 39: return 2048;       // threads per multiprocessor
    case 41: return 1;          // unified addresses
    case 75: return 9;          // compute capability, major
    case 76: return 0;          // and minor
    case 78: return 1;          // stream priorities
    case 81: return 228 * 1024; // shared memory per multiprocessor
    case 83: return 1;          // managed memory
    case 95: return 1;          // cooperative launch
    case 97: return 227 * 1024; // shared memory per block that may be asked for
    case 106: return 32;        // blocks per multiprocessor
    case 115: return 1;         // memory pools
    default: return 0;
    }
}

struct Named {
    Status status;
    const char *name, *meaning;
};
const Named names[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected (or a call is not emulated)"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
};

Status text_of(int status, const char **text, const char *Named::*which) {
    for (const Named &named : names)
        if (named.status == status) {
            *text = named.*which;
            return CUDA_SUCCESS;
        }
    *text = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

} // namespace

extern "C" {

Status cuInit(unsigned) { return CUDA_SUCCESS; }
Status cuDriverGetVersion(int *version) { return *version = 13000, CUDA_SUCCESS; }
Status cuGetErrorName(int status, const char **text) { return text_of(status, text, &Named::name); }
Status cuGetErrorString(int status, const char **text) { return text_of(status, text, &Named::meaning); }

// Devices.

Status cuDeviceGetCount(int *count) { return *count = 1, CUDA_SUCCESS; }
Status cuDeviceGet(int *device, int ordinal) {
    *device = 0;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
Status cuDeviceGetName(char *name, int length, int) {
    std::snprintf(name, length, "emulated");
    return CUDA_SUCCESS;
}
Status cuDeviceGetUuid_v2(char *uuid, int) { return std::memcpy(uuid, "arcface emulated", 16), CUDA_SUCCESS; }
Status cuDeviceGetAttribute(int *value, int which, int) { return *value = attribute(which), CUDA_SUCCESS; }
Status cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = total_memory, CUDA_SUCCESS; }
Status cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &the_pool, CUDA_SUCCESS; }
Status cuDeviceGetMemPool(void **pool, int) { return *pool = &the_pool, CUDA_SUCCESS; }
Status cuDeviceSetMemPool(int, void *) { return CUDA_SUCCESS; }

// Contexts.

Status cuDevicePrimaryCtxRetain(void **context, int) { return *context = &the_context, CUDA_SUCCESS; }
Status cuDevicePrimaryCtxRelease_v2(int) { return CUDA_SUCCESS; }
Status cuDevicePrimaryCtxReset_v2(int) { return CUDA_SUCCESS; }
Status cuCtxCreate_v4(void **context, void *, unsigned, int) {
    return current_context = *context = &the_context, CUDA_SUCCESS;
}
Status cuCtxDestroy_v2(void *) { return CUDA_SUCCESS; }
Status cuCtxSetCurrent(void *context) { return current_context = context, CUDA_SUCCESS; }
Status cuCtxGetCurrent(void **context) { return *context = current_context, CUDA_SUCCESS; }
Status cuCtxGetDevice(int *device) { return *device = 0, CUDA_SUCCESS; }
Status cuCtxSetFlags(unsigned) { return CUDA_SUCCESS; }
Status cuCtxSynchronize() { return CUDA_SUCCESS; }
Status cuCtxGetLimit(size_t *value, int) { return *value = 0, CUDA_SUCCESS; }
Status cuCtxSetLimit(int, size_t) { return CUDA_SUCCESS; }
Status cuCtxGetCacheConfig(int *config) { return *config = 0, CUDA_SUCCESS; }
Status cuCtxSetCacheConfig(int) { return CUDA_SUCCESS; }
Status cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = 0, *greatest = -5, CUDA_SUCCESS; }
Status cuProfilerStart() { return CUDA_SUCCESS; }
Status cuProfilerStop() { return CUDA_SUCCESS; }

// Streams. A graph would record calls instead of doing them, which is refused.

Status cuStreamCreate(void **stream, unsigned) { return *stream = new char, CUDA_SUCCESS; }
Status cuStreamCreateWithPriority(void **stream, unsigned, int) { return *stream = new char, CUDA_SUCCESS; }
Status cuStreamDestroy_v2(void *stream) { return delete static_cast<char *>(stream), CUDA_SUCCESS; }
Status cuStreamSynchronize(void *) { return CUDA_SUCCESS; }
Status cuStreamQuery(void *) { return CUDA_SUCCESS; }
Status cuStreamWaitEvent(void *, void *, unsigned) { return CUDA_SUCCESS; }
Status cuStreamIsCapturing(void *, int *status) { return *status = 0, CUDA_SUCCESS; }
Status cuStreamBeginCapture_v2(void *, int) { return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; }
Status cuStreamEndCapture(void *, void **) { return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; }
Status cuStreamAttachMemAsync(void *, void *, size_t, unsigned) { return CUDA_SUCCESS; }
Status cuLaunchHostFunc(void *, void (*function)(void *), void *data) { return function(data), CUDA_SUCCESS; }

// Events.

Status cuEventCreate(void **event, unsigned) { return *event = new Event{Clock::now()}, CUDA_SUCCESS; }
Status cuEventDestroy_v2(void *event) { return delete static_cast<Event *>(event), CUDA_SUCCESS; }
Status cuEventRecord(void *event, void *) { return static_cast<Event *>(event)->recorded = Clock::now(), CUDA_SUCCESS; }
Status cuEventQuery(void *) { return CUDA_SUCCESS; }
Status cuEventSynchronize(void *) { return CUDA_SUCCESS; }
Status cuEventElapsedTime_v2(float *milliseconds, void *start, void *end) {
    auto passed = static_cast<Event *>(end)->recorded - static_cast<Event *>(start)->recorded;
    *milliseconds = std::chrono::duration<float, std::milli>(passed).count();
    return CUDA_SUCCESS;
}

// Memory.

Status cuMemGetInfo_v2(size_t *unused, size_t *total) {
    *unused = free_memory(), *total = total_memory;
    return CUDA_SUCCESS;
}
Status cuMemAlloc_v2(void **memory, size_t bytes) { return allocated(memory, bytes); }
Status cuMemAllocAsync(void **memory, size_t bytes, void *) { return allocated(memory, bytes); }
Status cuMemAllocFromPoolAsync(void **memory, size_t bytes, void *, void *) { return allocated(memory, bytes); }
Status cuMemAllocManaged(void **memory, size_t bytes, unsigned) { return allocated(memory, bytes); }
Status cuMemHostAlloc(void **memory, size_t bytes, unsigned) { return allocated(memory, bytes); }
Status cuMemAllocHost_v2(void **memory, size_t bytes) { return allocated(memory, bytes); }
Status cuMemFree_v2(void *memory) { return freed(memory); }
Status cuMemFreeAsync(void *memory, void *) { return freed(memory); }
Status cuMemFreeHost(void *memory) { return freed(memory); }
Status cuMemHostRegister_v2(void *, size_t, unsigned) { return CUDA_SUCCESS; }
Status cuMemHostUnregister(void *) { return CUDA_SUCCESS; }
Status cuMemHostGetDevicePointer_v2(void **device, void *host, unsigned) { return *device = host, CUDA_SUCCESS; }
Status cuMemPrefetchAsync_v2(void *, size_t, long long, unsigned, void *) { return CUDA_SUCCESS; }
Status cuMemAdvise_v2(void *, size_t, int, long long) { return CUDA_SUCCESS; }

Status cuMemPoolCreate(void **pool, const void *) { return *pool = &the_pool, CUDA_SUCCESS; }
Status cuMemPoolDestroy(void *) { return CUDA_SUCCESS; }
Status cuMemPoolTrimTo(void *, size_t) { return CUDA_SUCCESS; }
Status cuMemPoolSetAttribute(void *, int, void *) { return CUDA_SUCCESS; }
// The first three attributes are switches, the others are numbers of bytes.
Status cuMemPoolGetAttribute(void *, int which, void *value) {
    return std::memset(value, 0, which <= 3 ? 4 : 8), CUDA_SUCCESS;
}

Status cuMemcpyHtoD_v2(void *to, const void *from, size_t bytes) { return copy(to, from, bytes, Kind::to_device); }
Status cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *) {
    return copy(to, from, bytes, Kind::to_device);
}
Status cuMemcpyDtoH_v2(void *to, const void *from, size_t bytes) { return copy(to, from, bytes, Kind::to_host); }
Status cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *) {
    return copy(to, from, bytes, Kind::to_host);
}
Status cuMemcpyDtoD_v2(void *to, const void *from, size_t bytes) { return copy(to, from, bytes, Kind::on_device); }
Status cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t bytes, void *) {
    return copy(to, from, bytes, Kind::on_device);
}
Status cuMemcpyPeerAsync(void *to, void *, const void *from, void *, size_t bytes, void *) {
    return copy(to, from, bytes, Kind::on_device);
}
Status cuMemcpy(void *to, const void *from, size_t bytes) { return std::memmove(to, from, bytes), CUDA_SUCCESS; }
Status cuMemcpyAsync(void *to, const void *from, size_t bytes, void *) { return cuMemcpy(to, from, bytes); }

Status cuMemsetD8_v2(void *to, unsigned char value, size_t count) { return fill(to, value, count); }
Status cuMemsetD8Async(void *to, unsigned char value, size_t count, void *) { return fill(to, value, count); }
Status cuMemsetD16_v2(void *to, unsigned short value, size_t count) { return fill(to, value, count); }
Status cuMemsetD16Async(void *to, unsigned short value, size_t count, void *) { return fill(to, value, count); }
Status cuMemsetD32_v2(void *to, unsigned value, size_t count) { return fill(to, value, count); }
Status cuMemsetD32Async(void *to, unsigned value, size_t count, void *) { return fill(to, value, count); }

} // extern "C"
