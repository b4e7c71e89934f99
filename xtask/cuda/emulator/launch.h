// Runs kernels of compiled libraries.
#pragma once
#include "module.h"
#include <string>

namespace emulated {

struct Kernel {
    std::string name;
    // Runs threads one after another until none is left.
    void (*entry)(void **arguments);
    Module *module;
    // What a launch may ask for; more than the first needs to be allowed by an attribute.
    unsigned dynamic_shared_limit = 48 * 1024;
};

struct Shape {
    dim3 grid, block;
    unsigned dynamic_shared;
};

// Runs a kernel to its end. False if its threads failed or can never meet; what went wrong is then printed.
bool launch(const Kernel &, const Shape &, void **arguments);

} // namespace emulated
