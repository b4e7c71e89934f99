// Stacks that take turns on one thread of the system. Knows no kernels.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace emulated {

#if defined(__x86_64__)

// Puts the registers that a call keeps on the stack, leaves that stack in `*from` and goes on with `to`.
asm(R"(
.text
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    retq
.size emulated_switch, . - emulated_switch
)");
extern "C" void emulated_switch(void **from, void *to);

// One place to go on from.
class Continuation {
  public:
    void begin(void *stack, size_t size, void (*entry)()) {
        void **top = reinterpret_cast<void **>(static_cast<char *>(stack) + size);
        // A function begins with its return address on the stack; this one has none.
        *--top = nullptr;
        *--top = reinterpret_cast<void *>(entry);
        for (int kept = 0; kept < 6; ++kept) *--top = nullptr;
        at = top;
    }
    void leave_for(Continuation &next) { emulated_switch(&at, next.at); }

  private:
    void *at = nullptr;
};

#else

class Continuation {
  public:
    void begin(void *stack, size_t size, void (*entry)()) {
        getcontext(&at);
        at.uc_stack.ss_sp = stack;
        at.uc_stack.ss_size = size;
        at.uc_link = nullptr;
        makecontext(&at, entry, 0);
    }
    void leave_for(Continuation &next) { swapcontext(&at, &next.at); }

  private:
    ucontext_t at{};
};

#endif

// A stack of its own with a page below it that faults.
class Fiber {
  public:
    Continuation place;
    // Number of the kernel's thread that runs here, or -1.
    int thread = -1;

    explicit Fiber(void (*entry)()) : entry(entry) {
        size_t page = sysconf(_SC_PAGESIZE);
        void *memory =
            mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        mprotect(memory, page, PROT_NONE);
        stack = static_cast<char *>(memory) + page;
        restart();
    }
    Fiber(const Fiber &) = delete;

    // Forgets what ran here.
    void restart() {
        thread = -1;
        place.begin(stack, size, entry);
    }

  private:
    static constexpr size_t size = 256 * 1024;
    void (*entry)();
    void *stack;
};

} // namespace emulated
