// The CUDA driver without a device: modules, their functions and launches.
//
// A module is a library that `compile.cpp` made: the one named in NVRTC's text, and for any other PTX the one with
// candle's kernels. It stays loaded until the program ends.
#include "compile.h"
#include "errors.h"
#include "launch.h"
#include "trace.h"

#include <dlfcn.h>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>

using namespace emulated;

namespace {

struct Library {
    void *handle;
    Module *module;
    std::map<std::string, std::unique_ptr<Kernel>> kernels;
};

std::mutex guard;
std::map<std::string, Library> libraries;

std::string path_of(const char *image) {
    static const std::string mark = "//emulated ";
    std::string text = image;
    if (text.rfind(mark, 0) != 0) return toolkit() + "/lib64/candle.so";
    return text.substr(mark.size(), text.find('\n') - mark.size());
}

Status load(Library **module, const char *image) {
    std::lock_guard<std::mutex> lock(guard);
    std::string path = path_of(image);
    Library &library = libraries[path];
    if (!library.handle) {
        library.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library.handle) {
            complain("%s", dlerror());
            return CUDA_ERROR_INVALID_PTX;
        }
        library.module = static_cast<Module *>(dlsym(library.handle, "emulated_module"));
    }
    *module = &library;
    return CUDA_SUCCESS;
}

Status find(Kernel **kernel, Library *library, const char *name) {
    std::lock_guard<std::mutex> lock(guard);
    auto &found = library->kernels[name];
    if (!found) {
        auto entry = reinterpret_cast<void (*)(void **)>(
            dlsym(library->handle, (std::string("emulated_kernel_") + name).c_str()));
        if (!entry) {
            complain("kernel %s is not emulated", name);
            library->kernels.erase(name);
            return CUDA_ERROR_NOT_FOUND;
        }
        found.reset(new Kernel{name, entry, library->module});
    }
    *kernel = found.get();
    return CUDA_SUCCESS;
}

bool is_possible(const Kernel &kernel, const Shape &shape) {
    auto [grid, block, shared] = shape;
    bool some = grid.x && grid.y && grid.z && block.x && block.y && block.z;
    bool grid_fits = grid.x <= 2147483647u && grid.y <= 65535 && grid.z <= 65535;
    bool block_fits = block.x <= 1024 && block.y <= 1024 && block.z <= 64 && block.x * block.y * block.z <= 1024;
    return some && grid_fits && block_fits && shared <= kernel.dynamic_shared_limit;
}

Status launch_checked(Kernel *kernel, const Shape &shape, void **arguments) {
    const auto &[grid, block, shared] = shape;
    trace("launch %s, grid (%u, %u, %u), block (%u, %u, %u), %u bytes shared", kernel->name.c_str(), grid.x, grid.y,
          grid.z, block.x, block.y, block.z, shared);
    if (!is_possible(*kernel, shape)) {
        complain("kernel %s: no GPU runs grid (%u, %u, %u), block (%u, %u, %u) with %u bytes of shared memory",
                 kernel->name.c_str(), grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
        return CUDA_ERROR_INVALID_VALUE;
    }
    return launch(*kernel, shape, arguments) ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
}

} // namespace

extern "C" {

Status cuModuleLoadData(Library **module, const void *image) { return load(module, static_cast<const char *>(image)); }

Status cuModuleLoadDataEx(Library **module, const void *image, unsigned, int *, void **) {
    return cuModuleLoadData(module, image);
}

Status cuModuleLoad(Library **module, const char *path) {
    std::ifstream file(path);
    if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
    std::stringstream text;
    text << file.rdbuf();
    return load(module, text.str().c_str());
}

Status cuModuleUnload(Library *) { return CUDA_SUCCESS; }

Status cuModuleGetFunction(Kernel **kernel, Library *library, const char *name) { return find(kernel, library, name); }

Status cuFuncGetAttribute(int *value, int which, Kernel *kernel) {
    switch (which) {
    case 0: *value = 1024; break; // threads per block
    case 4: *value = 32; break;   // registers
    case 5:
    case 6: *value = 90; break;                           // PTX and binary version
    case 8: *value = kernel->dynamic_shared_limit; break; // dynamic shared memory
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}

Status cuFuncSetAttribute(Kernel *kernel, int which, int value) {
    if (which != 8) return CUDA_SUCCESS;
    if (value < 0 || int(dynamic_shared_limit) < value) return CUDA_ERROR_INVALID_VALUE;
    kernel->dynamic_shared_limit = value;
    return CUDA_SUCCESS;
}

Status cuFuncSetCacheConfig(Kernel *, int) { return CUDA_SUCCESS; }

Status cuLaunchKernel(Kernel *kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                      unsigned block_y, unsigned block_z, unsigned shared, void *, void **arguments, void **) {
    return launch_checked(kernel, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared}, arguments);
}

// Blocks run one after another here, so a kernel whose blocks wait for each other cannot run.
Status cuLaunchCooperativeKernel(Kernel *kernel, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                 void *, void **) {
    complain("kernel %s: cooperative launches are not emulated", kernel->name.c_str());
    return CUDA_ERROR_NOT_SUPPORTED;
}

Status cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, Kernel *, int block_size, size_t) {
    *blocks = block_size < 64 ? 32 : 2048 / block_size;
    return CUDA_SUCCESS;
}

Status cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, Kernel *kernel, int block_size, size_t shared,
                                                            unsigned) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, block_size, shared);
}

Status cuOccupancyMaxPotentialBlockSize(int *grid, int *block, Kernel *, void *, size_t, int limit) {
    *block = limit ? std::min(limit, 1024) : 1024;
    *grid = 132 * (2048 / *block);
    return CUDA_SUCCESS;
}

Status cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, Kernel *kernel, void *shared, size_t bytes,
                                                 int limit, unsigned) {
    return cuOccupancyMaxPotentialBlockSize(grid, block, kernel, shared, bytes, limit);
}

Status cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, Kernel *kernel, int, int) {
    *bytes = kernel->dynamic_shared_limit;
    return CUDA_SUCCESS;
}

} // extern "C"
