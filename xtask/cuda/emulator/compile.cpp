// Compiles CUDA C++ for the CPU with the system's C++ compiler. Knows no drivers and no threads.
//
// The source is preprocessed without the emulator's own names, so that CUDA's words are still in the text. There
// the kernels are found, shared arrays without a size are given the launch's memory, and `device.h` is put before it.
#include "compile.h"
#include "module.h"
#include "trace.h"

#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace emulated {
namespace {

struct Output {
    int status;
    std::string text;
};

std::string quoted(const std::string &word) {
    std::string all = "'";
    for (char letter : word) all += letter == '\'' ? "'\\''" : std::string(1, letter);
    return all + "'";
}

Output run(const std::vector<std::string> &words) {
    std::string line;
    for (const auto &word : words) line += quoted(word) + " ";
    FILE *pipe = popen((line + "2>&1").c_str(), "r");
    if (!pipe) return {-1, "no shell to run the C++ compiler with"};
    std::string text;
    char piece[4096];
    while (size_t length = fread(piece, 1, sizeof piece, pipe)) text.append(piece, length);
    int status = pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
}

std::string compiler() {
    const char *named = std::getenv("CXX");
    return named && *named ? named : "c++";
}

std::string read(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void write(const fs::path &path, const std::string &text) { std::ofstream(path, std::ios::binary) << text; }

// A folder of its own, removed at the end.
struct Scratch {
    fs::path path;
    explicit Scratch(const fs::path &parent) {
        std::string name = (parent / "building-XXXXXX").string();
        path = mkdtemp(name.data()) ? name : "";
    }
    ~Scratch() {
        std::error_code ignored;
        if (!path.empty()) fs::remove_all(path, ignored);
    }
};

fs::path cache() {
    const char *named = std::getenv("ARCFACE_EMULATOR_CACHE");
    fs::path folder = named && *named ? fs::path(named)
                                      : fs::temp_directory_path() / ("arcface-emulator-" + std::to_string(getuid()));
    fs::create_directories(folder);
    return folder;
}

// FNV-1a, which is the same in every process.
struct Digest {
    unsigned long long value = 14695981039346656037ull;
    void add(const std::string &text) {
        for (unsigned char byte : text) value = (value ^ byte) * 1099511628211ull;
        value = (value ^ text.size()) * 1099511628211ull;
    }
    std::string hex() const {
        char text[17];
        snprintf(text, sizeof text, "%016llx", value);
        return text;
    }
};

// Shared variables, and nothing else, are to lie where variables without a value do.
const std::vector<std::string> build_flags = {"-x",
                                              "c++",
                                              "-std=c++17",
                                              "-O2",
                                              "-w",
                                              "-shared",
                                              "-fPIC",
                                              "-nostdlib",
                                              "-nostartfiles",
                                              "-fvisibility=hidden",
                                              "-fno-gnu-unique",
                                              "-fno-threadsafe-statics",
                                              "-fno-strict-aliasing",
                                              "-fno-exceptions",
                                              "-fno-rtti",
                                              "-fno-asynchronous-unwind-tables",
                                              "-fno-zero-initialized-in-bss",
                                              "-fmax-errors=20",
                                              "-ftrack-macro-expansion=0"};

// Of a preprocessed source and all that it is compiled with.
std::string digest(const std::string &text) {
    Digest digest;
    digest.add(text);
    digest.add(compiler());
    for (const auto &flag : build_flags) digest.add(flag);
    for (const char *header : {"module.h", "device.h", "device_math.h", "device_memory.h"})
        digest.add(read(fs::path(toolkit()) / "include" / header));
    return digest.hex();
}

std::string without(std::string text, const std::string &part) {
    for (size_t at; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
    return text;
}

// `extern __shared__ float name[];` becomes a pointer to the memory that a launch gives a block.
std::string with_dynamic_shared(const std::string &text) {
    static const std::regex aligned(
        R"((__align__|alignas)\s*\(\s*\w+\s*\)|__attribute__\s*\(\(\s*_*aligned_*\s*\(\s*\w+\s*\)\s*\)\))");
    static const std::regex declared(
        R"(\bextern\s+((?:\w+\s*\([^()]*\)\s*)*)__shared__\b([^;\[\]=]*?)(\w+)\s*\[\s*\]\s*;)");
    std::string all;
    auto rest = text.cbegin();
    for (std::smatch found; std::regex_search(rest, text.cend(), found, declared); rest = found.suffix().first) {
        std::string type = std::regex_replace(found[2].str(), aligned, "");
        all += found.prefix().str() + "[[maybe_unused]] static " + type + "*const " + found[3].str() +
               " = reinterpret_cast<" + type + "*>(emulated::dynamic_shared);";
    }
    return all + std::string(rest, text.cend());
}

// Device variables without a value are zero. With one they do not lie among the shared ones.
std::string with_device_variables(const std::string &text) {
    static const std::regex declared(R"(\b(__device__|__managed__)\b([^;(){}=]*);)");
    return std::regex_replace(text, declared, "$1 $2 = {};");
}

// Names of the kernels that a driver can find: those with C linkage.
std::vector<std::string> kernels(const std::string &text) {
    static const std::string nested = R"(\([^()]*(?:\([^()]*\)[^()]*)*\))";
    static const std::regex declared(R"(\b__global__\b(?:\s|\b(?:static|inline|void)\b|\b__\w+__\s*)" + nested +
                                     R"()*\s(\w+)\s*\()");
    static const std::regex block(R"(\bextern\s*"C"\s*\{)"), linkage(R"(\bextern\s*"C")"), generic(R"(\btemplate\b)");
    std::smatch first_block;
    bool has_block = std::regex_search(text, first_block, block);
    std::set<std::string> seen;
    std::vector<std::string> names;
    for (std::sregex_iterator at(text.begin(), text.end(), declared), end; at != end; ++at) {
        size_t start = at->position(), before = text.find_last_of(";}", start);
        before = before == std::string::npos ? 0 : before + 1;
        std::string preceding = text.substr(before, start - before);
        bool in_block = has_block && size_t(first_block.position()) < start;
        if (std::regex_search(preceding, generic)) continue;
        if (!in_block && !std::regex_search(preceding, linkage)) continue;
        if (seen.insert((*at)[1]).second) names.push_back((*at)[1]);
    }
    return names;
}

std::string trampoline(const std::string &kernel) {
    return "extern \"C\" __attribute__((visibility(\"default\"))) void emulated_kernel_" + kernel +
           "(void **arguments) { emulated::run(&" + kernel + ", arguments); }\n";
}

Output preprocess(const Program &program, const Scratch &scratch) {
    fs::path source = scratch.path / "source.cu", output = scratch.path / "source.ii";
    write(source, "# 1 \"" + program.name + "\"\n" + program.source);
    for (const auto &[name, text] : program.headers) {
        fs::create_directories((scratch.path / "headers" / name).parent_path());
        write(scratch.path / "headers" / name, text);
    }
    std::vector<std::string> words = {compiler(),
                                      "-E",
                                      "-x",
                                      "c++",
                                      "-std=c++17",
                                      "-nostdinc",
                                      "-w",
                                      "-D__CUDACC__",
                                      "-D__CUDACC_RTC__",
                                      "-D__CUDACC_VER_MAJOR__=13",
                                      "-I" + (scratch.path / "headers").string()};
    words.insert(words.end(), program.flags.begin(), program.flags.end());
    words.insert(words.end(), {source.string(), "-o", output.string()});
    Output said = run(words);
    if (said.status == 0) said.text = read(output);
    return said;
}

Output build(const std::string &text, const fs::path &source, const fs::path &library) {
    write(source, text);
    std::vector<std::string> words = {compiler()};
    words.insert(words.end(), build_flags.begin(), build_flags.end());
    words.insert(words.end(),
                 {"-I" + toolkit() + "/include", "-o", library.string(), source.string(), "-lm", "-lc", "-lgcc"});
    return run(words);
}

} // namespace

std::string toolkit() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void *>(&toolkit), &info)) return ".";
    return fs::weakly_canonical(fs::absolute(info.dli_fname)).parent_path().parent_path().string();
}

Compiled compile(const Program &program) {
    fs::path folder = cache();
    Scratch scratch(folder);
    if (scratch.path.empty()) return {false, "", "no folder could be made in " + folder.string() + "\n"};
    Output expanded = preprocess(program, scratch);
    if (expanded.status != 0) return {false, "", expanded.text};

    std::string text = with_dynamic_shared(with_device_variables(expanded.text));
    std::vector<std::string> names = kernels(text);
    text = "#include \"device.h\"\n" + text + "\n# 1 \"trampolines\"\n";
    for (const auto &name : names) text += trampoline(name);

    // The preprocessed text holds what -I and -D brought in, and names the scratch folder.
    fs::path library = folder / (digest(without(text, scratch.path.string())) + ".so");
    if (fs::exists(library)) {
        trace("%s: found %s", program.name.c_str(), library.c_str());
        return {true, library.string(), ""};
    }
    trace("%s: compiling %zu kernels to %s", program.name.c_str(), names.size(), library.c_str());
    Output said = build(text, scratch.path / "kernels.cpp", scratch.path / "kernels.so");
    if (said.status != 0) return {false, "", said.text};
    // Another process may have been as far: the last one to come puts the same there.
    fs::rename(scratch.path / "kernels.so", library);
    return {true, library.string(), said.text};
}

} // namespace emulated
