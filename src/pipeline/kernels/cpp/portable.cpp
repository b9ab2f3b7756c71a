// Any processor: the compiler makes of these loops what its own instruction set has (NEON, SSE2).
#include "cold.hpp"

#include <cstring>

namespace cold {
namespace on_any {

struct Vec {
    static constexpr int width = 8;
    struct type {
        float lanes[width];
    };
    template <class Get>
    static type each(Get get) {
        type v;
        for (int i = 0; i < width; ++i) v.lanes[i] = get(i);
        return v;
    }
    static type set(float value) {
        return each([=](int) { return value; });
    }
    static type zero() { return set(0); }
    static type load(const float* p) {
        return each([=](int i) { return p[i]; });
    }
    static void store(float* p, const type& v) { std::memcpy(p, v.lanes, sizeof v.lanes); }
    static type add(const type& a, const type& b) {
        return each([&](int i) { return a.lanes[i] + b.lanes[i]; });
    }
    static type fma(const type& a, const type& b, const type& c) {
        return each([&](int i) { return a.lanes[i] * b.lanes[i] + c.lanes[i]; });
    }
    static type load_weights(const float* p) { return load(p); }
    static type load_weights(const Bf16* p) {
        return each([=](int i) {
            const uint32_t bits = static_cast<uint32_t>(p[i].bits) << 16;
            float value;
            std::memcpy(&value, &bits, sizeof value);
            return value;
        });
    }
    static type load_weights(const F16* p) {
        return each([=](int i) { return half_to_float(p[i].bits); });
    }
    static type load_weights(const int8_t* p) {
        return each([=](int i) { return static_cast<float>(p[i]); });
    }
    static float sum(const type& v) {
        float total = 0;
        for (int i = 0; i < width; ++i) total += v.lanes[i];
        return total;
    }
};

#include "loops.inc"

}  // namespace on_any

const Isa portable = [] {
    using namespace on_any;
    return Isa COLD_ISA("portable", [] { return true; });
}();

}  // namespace cold
