// Runs the threads of a kernel, block after block, on one thread of the system. Knows no driver calls.
//
// A fiber runs threads one after another for as long as none of them waits, so a kernel without barriers is a plain
// loop. When a thread waits, its fiber waits with it, and another fiber goes on with the threads that have not begun.
// A thread that returns is missing at no meeting. Threads that wait for ones that never come end the launch.
#include "launch.h"
#include "fibers.h"
#include "trace.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

namespace emulated {
namespace {

// The order in which things that have none on a GPU are done here.
class Order {
  public:
    enum class Kind { forward, reverse, shuffled };

    Order(Kind kind, unsigned long long count, unsigned long long seed) : kind(kind), count(count) {
        if (kind != Kind::shuffled) return;
        // Steps of the golden ratio come to every place once and to neighbours late.
        step = std::max(1ull, (unsigned long long)(count * 0.618034));
        while (std::gcd(step, count) != 1) ++step;
        first = seed * 0x9e3779b97f4a7c15ull >> 20;
    }
    unsigned long long operator[](unsigned long long i) const {
        if (kind == Kind::forward) return i;
        if (kind == Kind::reverse) return count - 1 - i;
        return (first + (unsigned __int128)i * step) % count;
    }

    static Kind chosen() {
        const char *name = std::getenv("ARCFACE_EMULATOR_ORDER");
        if (!name || !*name || !std::strcmp(name, "forward")) return Kind::forward;
        if (!std::strcmp(name, "reverse")) return Kind::reverse;
        if (!std::strcmp(name, "shuffled")) return Kind::shuffled;
        complain("ARCFACE_EMULATOR_ORDER: expected forward, reverse or shuffled, got %s", name);
        std::abort();
    }

  private:
    Kind kind;
    unsigned long long count, step = 1, first = 0;
};

struct Thread {
    uint3 index;
    Fiber *fiber;
    // What it waits for, while it does.
    Meeting meeting;
    unsigned mask, source;
    unsigned long long value;
};

// 32 threads; one bit for each of them.
struct Warp {
    unsigned alive, waiting, ready;
};

constexpr unsigned warp_size = 32, most_threads = 1024;

// The launch that runs; `running` is held while there is one.
struct State {
    const Kernel *kernel;
    void **arguments;
    Thread threads[most_threads];
    Warp warps[most_threads / warp_size];
    unsigned count, alive;
    // In which order warps, and the threads of each, begin.
    std::vector<unsigned short> warp_order, order;
    // Where in `order` the threads of the warp that is being begun are.
    unsigned next, next_end;
    unsigned at_barrier, given_at_barrier, barrier_answer;
    std::string error;
    Fiber *self;
    Continuation scheduler;
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Fiber *> idle;
};

std::mutex running;
State state;

void to_scheduler() { state.self->place.leave_for(state.scheduler); }

[[noreturn]] void fail(const char *message) {
    const uint3 &thread = state.threads[state.self->thread].index;
    state.error = "thread (" + std::to_string(thread.x) + ", " + std::to_string(thread.y) + ", " +
                  std::to_string(thread.z) + "): " + message;
    to_scheduler();
    std::abort();
}

void resume(Fiber *fiber) {
    state.self = fiber;
    state.scheduler.leave_for(fiber->place);
}

// Lets the lanes of `mask` go on, if all of them that are alive have come.
bool complete(unsigned warp_number, unsigned mask) {
    Warp &warp = state.warps[warp_number];
    unsigned needed = mask & warp.alive, together = 0, given = 0;
    if (needed & ~warp.waiting) return false;
    Thread *lanes = state.threads + warp_number * warp_size;
    unsigned long long values[warp_size];
    for (unsigned lane = 0; lane < warp_size; ++lane) {
        if (!(needed >> lane & 1)) continue;
        if (lanes[lane].mask != mask) return false;
        values[lane] = lanes[lane].value;
        together |= 1u << lane;
        if (values[lane]) given |= 1u << lane;
    }
    for (unsigned lane = 0; lane < warp_size; ++lane) {
        if (!(together >> lane & 1)) continue;
        Thread &thread = lanes[lane];
        if (thread.meeting == Meeting::ballot) thread.value = given;
        // The value of a lane that does not take part is undefined.
        if (thread.meeting == Meeting::shuffle)
            thread.value = together >> thread.source & 1 ? values[thread.source] : ~0ull;
    }
    warp.waiting &= ~together;
    warp.ready |= together;
    return true;
}

void complete_barrier() {
    if (state.at_barrier == 0 || state.at_barrier < state.alive) return;
    state.barrier_answer = state.given_at_barrier;
    state.at_barrier = state.given_at_barrier = 0;
    for (unsigned warp = 0; warp * warp_size < state.count; ++warp) state.warps[warp].ready = state.warps[warp].alive;
}

void finish(unsigned thread) {
    unsigned number = thread / warp_size;
    Warp &warp = state.warps[number];
    warp.alive &= ~(1u << thread % warp_size);
    --state.alive;
    if (state.at_barrier) complete_barrier();
    for (unsigned left = warp.waiting; left;) {
        unsigned mask = state.threads[number * warp_size + __builtin_ctz(left)].mask;
        complete(number, mask);
        left &= ~mask;
    }
}

bool next() {
    Fiber *fiber = state.self;
    if (0 <= fiber->thread) finish(fiber->thread);
    fiber->thread = -1;
    if (state.next == state.next_end) return false;
    fiber->thread = state.order[state.next++];
    Thread &thread = state.threads[fiber->thread];
    thread.fiber = fiber;
    *state.kernel->module->thread = thread.index;
    return true;
}

// Takes one thread out of those that can go on, or waits until it is one of them.
void wait_until_ready(unsigned thread) {
    Warp &warp = state.warps[thread / warp_size];
    unsigned bit = 1u << thread % warp_size;
    if (warp.ready & bit)
        warp.ready &= ~bit;
    else
        to_scheduler();
}

unsigned long long meet(Meeting meeting, unsigned mask, unsigned long long value, unsigned source) {
    unsigned number = state.self->thread, warp = number / warp_size, bit = 1u << number % warp_size;
    Thread &thread = state.threads[number];
    if (!(mask & bit)) fail("a warp operation whose mask leaves out the lane that calls it");
    thread.meeting = meeting, thread.mask = mask, thread.value = value, thread.source = source;
    for (unsigned others = state.warps[warp].waiting & mask; others; others &= others - 1) {
        const Thread &other = state.threads[warp * warp_size + __builtin_ctz(others)];
        if (other.mask == mask && other.meeting != meeting)
            fail("lanes of one warp wait for each other at different warp operations");
    }
    state.warps[warp].waiting |= bit;
    complete(warp, mask);
    wait_until_ready(number);
    return thread.value;
}

unsigned barrier(bool given) {
    ++state.at_barrier;
    state.given_at_barrier += given;
    complete_barrier();
    wait_until_ready(state.self->thread);
    return state.barrier_answer;
}

unsigned active() { return state.warps[state.self->thread / warp_size].alive; }

const Runtime runtime = {next, meet, barrier, active, fail};

// Where fibers begin: they run threads, rest, and run threads again.
void fiber_entry() {
    for (;;) {
        state.kernel->entry(state.arguments);
        state.idle.push_back(state.self);
        to_scheduler();
    }
}

Fiber *idle_fiber() {
    if (state.idle.empty()) {
        state.fibers.push_back(std::make_unique<Fiber>(fiber_entry));
        state.idle.push_back(state.fibers.back().get());
    }
    Fiber *fiber = state.idle.back();
    state.idle.pop_back();
    return fiber;
}

// Runs lanes of a warp until none can go on; whether any could.
bool drain(unsigned number) {
    Warp &warp = state.warps[number];
    bool any = false;
    while (warp.ready && state.error.empty()) {
        unsigned lane = __builtin_ctz(warp.ready);
        warp.ready &= warp.ready - 1;
        resume(state.threads[number * warp_size + lane].fiber);
        any = true;
    }
    return any;
}

void begin(unsigned warp) {
    state.next = warp * warp_size;
    state.next_end = std::min(state.next + warp_size, state.count);
    while (state.next < state.next_end && state.error.empty()) resume(idle_fiber());
}

void describe_standstill() {
    unsigned waiting = 0, example = 0;
    for (unsigned thread = 0; thread < state.count; ++thread)
        if (state.warps[thread / warp_size].waiting >> thread % warp_size & 1) ++waiting, example = thread;
    state.error = std::to_string(state.at_barrier) + " threads wait at __syncthreads";
    if (!waiting) return;
    char mask[16];
    snprintf(mask, sizeof mask, "0x%08x", state.threads[example].mask);
    state.error += " and " + std::to_string(waiting) + " at warp operations (thread " + std::to_string(example) +
                   " for the lanes " + mask + ")";
    state.error += " that the others never come to";
}

void run_block(const Shape &shape) {
    const Module &module = *state.kernel->module;
    // Shared memory has no value yet: all bits set are NaN.
    std::memset(module.shared_begin, 0xff, module.shared_end - module.shared_begin);
    std::memset(module.dynamic_shared, 0xff, shape.dynamic_shared);
    unsigned warps = (state.count + warp_size - 1) / warp_size;
    for (unsigned warp = 0; warp < warps; ++warp) {
        unsigned lanes = std::min(warp_size, state.count - warp * warp_size);
        state.warps[warp] = {lanes == warp_size ? ~0u : (1u << lanes) - 1, 0, 0};
    }
    state.alive = state.count;
    state.at_barrier = state.given_at_barrier = 0;

    for (unsigned warp : state.warp_order) {
        if (!state.error.empty()) break;
        begin(warp);
        drain(warp);
    }
    while (state.alive && state.error.empty()) {
        bool any = false;
        for (unsigned warp = 0; warp < warps && state.error.empty(); ++warp) any |= drain(warp);
        if (!any && state.error.empty()) describe_standstill();
    }
}

// Threads change their order within their warp, so that a warp begins at once.
void prepare(const Kernel &kernel, const Shape &shape, void **arguments, Order::Kind kind, unsigned long long seed) {
    state.kernel = &kernel;
    state.arguments = arguments;
    state.count = shape.block.x * shape.block.y * shape.block.z;
    state.error.clear();
    unsigned warps = (state.count + warp_size - 1) / warp_size;
    Order warp_order(kind, warps, seed);
    state.warp_order.resize(warps);
    for (unsigned warp = 0; warp < warps; ++warp) state.warp_order[warp] = warp_order[warp];
    state.order.resize(state.count);
    for (unsigned thread = 0; thread < state.count; ++thread) {
        unsigned first = thread / warp_size * warp_size;
        Order order(kind, std::min(warp_size, state.count - first), seed);
        state.order[thread] = first + order[thread - first];
        state.threads[thread].index = {thread % shape.block.x, thread / shape.block.x % shape.block.y,
                                       thread / shape.block.x / shape.block.y};
    }
    *kernel.module->block_size = shape.block;
    *kernel.module->grid_size = shape.grid;
    *kernel.module->runtime = &runtime;
}

// Fibers that stopped in the middle of a thread begin anew.
void forget_fibers() {
    state.idle.clear();
    for (auto &fiber : state.fibers) {
        fiber->restart();
        state.idle.push_back(fiber.get());
    }
}

} // namespace

bool launch(const Kernel &kernel, const Shape &shape, void **arguments) {
    static const Order::Kind kind = Order::chosen();
    static unsigned long long launches = 0;
    std::lock_guard<std::mutex> lock(running);
    prepare(kernel, shape, arguments, kind, ++launches);
    unsigned long long rows = shape.grid.x, columns = shape.grid.y, blocks = rows * columns * shape.grid.z;
    Order order(kind, blocks, launches);
    for (unsigned long long i = 0; i < blocks; ++i) {
        unsigned long long block = order[i];
        uint3 index = {unsigned(block % rows), unsigned(block / rows % columns), unsigned(block / rows / columns)};
        *kernel.module->block = index;
        run_block(shape);
        if (state.error.empty()) continue;
        complain("kernel %s, block (%u, %u, %u): %s", kernel.name.c_str(), index.x, index.y, index.z,
                 state.error.c_str());
        forget_fibers();
        return false;
    }
    return true;
}

} // namespace emulated
