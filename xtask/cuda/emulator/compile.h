// From CUDA C++ to a library for the CPU.
#pragma once
#include <string>
#include <vector>

namespace emulated {

// A kernel source and what NVRTC is given along with it.
struct Program {
    std::string source;
    std::string name = "kernels.cu";
    // Text of headers that the source includes, by name.
    std::vector<std::pair<std::string, std::string>> headers;
    // Flags with a meaning on the CPU: -I and -D.
    std::vector<std::string> flags;
};

struct Compiled {
    bool succeeded;
    // Of the library.
    std::string path;
    // What the compiler said.
    std::string log;
};

// Compiles a program to a library in the cache, or finds it there.
Compiled compile(const Program &);

// The folder of the toolkit that this code is part of: it has `include` and `lib64`.
std::string toolkit();

} // namespace emulated
