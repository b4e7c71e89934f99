// cuRAND without a device: the same numbers for the same seed, which are not those of a GPU.
#include "trace.h"

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace {

enum Status { success = 0, length_not_multiple = 105 };

// Splitmix64: number `i` of a seed is known without those before it.
struct Generator {
    uint64_t seed = 0, position = 0;

    uint64_t bits() {
        uint64_t x = seed + ++position * 0x9e3779b97f4a7c15ull;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ x >> 27) * 0x94d049bb133111ebull;
        return x ^ x >> 31;
    }
    // More than 0, and at most 1.
    double uniform() { return double((bits() >> 11) + 1) * 0x1p-53; }
    float uniform_float() { return float((bits() >> 40) + 1) * 0x1p-24f; }
    double normal() {
        double radius = std::sqrt(-2 * std::log(uniform())), angle = 6.283185307179586 * uniform();
        return radius * std::cos(angle);
    }
};

template <class T, class F> Status filled(T *to, size_t count, F value) {
    for (size_t i = 0; i < count; ++i) to[i] = T(value());
    return success;
}

// Normal numbers come in pairs on a GPU.
template <class T, class F> Status filled_in_pairs(T *to, size_t count, F value) {
    return count % 2 ? length_not_multiple : filled(to, count, value);
}

} // namespace

extern "C" {

Status curandCreateGenerator(Generator **generator, int) { return *generator = new Generator, success; }
Status curandDestroyGenerator(Generator *generator) { return delete generator, success; }
Status curandGetVersion(int *version) { return *version = 10400, success; }
Status curandSetStream(Generator *, void *) { return success; }
Status curandSetGeneratorOrdering(Generator *, int) { return success; }
Status curandSetPseudoRandomGeneratorSeed(Generator *generator, unsigned long long seed) {
    *generator = {seed, 0};
    return success;
}
Status curandSetGeneratorOffset(Generator *generator, unsigned long long offset) {
    return generator->position = offset, success;
}
Status curandGenerate(Generator *g, unsigned *to, size_t count) {
    return filled(to, count, [=] { return g->bits() >> 32; });
}
Status curandGenerateLongLong(Generator *g, unsigned long long *to, size_t count) {
    return filled(to, count, [=] { return g->bits(); });
}
Status curandGenerateUniform(Generator *g, float *to, size_t count) {
    return filled(to, count, [=] { return g->uniform_float(); });
}
Status curandGenerateUniformDouble(Generator *g, double *to, size_t count) {
    return filled(to, count, [=] { return g->uniform(); });
}
Status curandGenerateNormal(Generator *g, float *to, size_t count, float mean, float deviation) {
    return filled_in_pairs(to, count, [=] { return mean + deviation * g->normal(); });
}
Status curandGenerateNormalDouble(Generator *g, double *to, size_t count, double mean, double deviation) {
    return filled_in_pairs(to, count, [=] { return mean + deviation * g->normal(); });
}
Status curandGenerateLogNormal(Generator *g, float *to, size_t count, float mean, float deviation) {
    return filled_in_pairs(to, count, [=] { return std::exp(mean + deviation * g->normal()); });
}
Status curandGenerateLogNormalDouble(Generator *g, double *to, size_t count, double mean, double deviation) {
    return filled_in_pairs(to, count, [=] { return std::exp(mean + deviation * g->normal()); });
}

} // extern "C"
