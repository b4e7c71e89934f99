// NVRTC: compiles kernels while the program runs. Its PTX is a text with the path of a library for the CPU.
#include "compile.h"
#include "trace.h"

#include <cstring>

namespace {

enum Status { success = 0, invalid_input = 3, invalid_program = 4, compilation = 6 };

struct Handle {
    emulated::Program program;
    std::string log, image;
};

bool starts_with(const std::string &text, const char *start) { return text.rfind(start, 0) == 0; }

// Options of NVRTC that choose a GPU or tune it are dropped.
void take_options(emulated::Program &program, int count, const char *const *options) {
    for (int i = 0; i < count; ++i) {
        std::string option = options[i];
        for (const auto &[name, flag] : {std::pair{"--include-path=", "-I"}, {"-I=", "-I"}, {"--define-macro=", "-D"}})
            if (starts_with(option, name)) option = flag + option.substr(strlen(name));
        bool apart = option == "-I" || option == "-D" || option == "--include-path" || option == "--define-macro";
        if (apart && i + 1 < count)
            option = (option.back() == 'D' || option == "--define-macro" ? "-D" : "-I") + std::string(options[++i]);
        if (starts_with(option, "-I") || starts_with(option, "-D")) program.flags.push_back(option);
    }
}

int copy(const std::string &text, char *to) {
    std::memcpy(to, text.c_str(), text.size() + 1);
    return success;
}

} // namespace

extern "C" {

const char *nvrtcGetErrorString(int status) {
    switch (status) {
    case success: return "NVRTC_SUCCESS";
    case invalid_input: return "NVRTC_ERROR_INVALID_INPUT";
    case invalid_program: return "NVRTC_ERROR_INVALID_PROGRAM";
    case compilation: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR unknown";
    }
}

int nvrtcVersion(int *major, int *minor) {
    *major = 13, *minor = 0;
    return success;
}

int nvrtcGetNumSupportedArchs(int *count) {
    *count = 1;
    return success;
}

int nvrtcGetSupportedArchs(int *archs) {
    *archs = 90;
    return success;
}

int nvrtcCreateProgram(Handle **handle, const char *source, const char *name, int headers, const char *const *texts,
                       const char *const *names) {
    *handle = new Handle{};
    (*handle)->program.source = source;
    if (name && *name) (*handle)->program.name = name;
    for (int i = 0; i < headers; ++i) (*handle)->program.headers.push_back({names[i], texts[i]});
    return success;
}

int nvrtcDestroyProgram(Handle **handle) {
    delete *handle;
    *handle = nullptr;
    return success;
}

int nvrtcCompileProgram(Handle *handle, int count, const char *const *options) {
    take_options(handle->program, count, options);
    emulated::Compiled compiled = emulated::compile(handle->program);
    handle->log = compiled.log;
    if (!compiled.succeeded) return compilation;
    handle->image = "//emulated " + compiled.path + "\n";
    return success;
}

int nvrtcGetProgramLogSize(Handle *handle, size_t *size) {
    *size = handle->log.size() + 1;
    return success;
}

int nvrtcGetProgramLog(Handle *handle, char *log) { return copy(handle->log, log); }

int nvrtcGetPTXSize(Handle *handle, size_t *size) {
    *size = handle->image.size() + 1;
    return handle->image.empty() ? invalid_program : success;
}

int nvrtcGetPTX(Handle *handle, char *image) { return copy(handle->image, image); }

int nvrtcGetCUBINSize(Handle *handle, size_t *size) { return nvrtcGetPTXSize(handle, size); }

int nvrtcGetCUBIN(Handle *handle, char *image) { return copy(handle->image, image); }

int nvrtcAddNameExpression(Handle *, const char *) { return success; }

// Kernels with C linkage have no other name than their own.
int nvrtcGetLoweredName(Handle *, const char *name, const char **lowered) {
    *lowered = name;
    return success;
}

} // extern "C"
