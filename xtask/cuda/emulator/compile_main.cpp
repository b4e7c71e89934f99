// Compiles a file of kernels to a library: compile SOURCE LIBRARY [-I… -D…].
#include "compile.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

int main(int count, char **words) {
    if (count < 3) {
        std::cerr << "usage: compile SOURCE LIBRARY [-IDIR] [-DNAME]\n";
        return 2;
    }
    emulated::Program program;
    std::stringstream text;
    text << std::ifstream(words[1]).rdbuf();
    program.source = text.str();
    program.name = words[1];
    program.flags.assign(words + 3, words + count);
    emulated::Compiled compiled = emulated::compile(program);
    std::cerr << compiled.log;
    if (!compiled.succeeded) return 1;
    std::filesystem::copy_file(compiled.path, words[2], std::filesystem::copy_options::overwrite_existing);
    return 0;
}
