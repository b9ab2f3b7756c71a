// Any processor: the compiler makes of these vectors what its own instruction set has (NEON, SSE2).
#include "cold.hpp"

#include <cstring>

namespace cold {
namespace on_any {

struct Vec {
    static constexpr int width = 4;
    static constexpr int registers = 16;
    // Vectors as GCC and Clang know them, with the operators of their elements.
    typedef float type __attribute__((vector_size(width * sizeof(float))));
    typedef uint32_t bits __attribute__((vector_size(width * sizeof(uint32_t))));
    typedef uint16_t halves __attribute__((vector_size(width * sizeof(uint16_t))));
    typedef int8_t bytes __attribute__((vector_size(width)));

    template <class To>
    static To read(const void* p) {
        To v;
        std::memcpy(&v, p, sizeof v);
        return v;
    }
    template <class To, class From>
    static To as(const From& v) {
        return read<To>(&v);
    }
    static type set(float value) { return type{} + value; }
    static type zero() { return type{}; }
    static type load(const float* p) { return read<type>(p); }
    static void store(float* p, const type& v) { std::memcpy(p, &v, sizeof v); }
    static type add(const type& a, const type& b) { return a + b; }
    static type fma(const type& a, const type& b, const type& c) { return a * b + c; }
    static type load_weights(const float* p) { return load(p); }
    static type load_weights(const Bf16* p) {
        return as<type>(__builtin_convertvector(read<halves>(p), bits) << 16);
    }
    static type load_weights(const F16* p) {
        const bits half = __builtin_convertvector(read<halves>(p), bits);
        const bits size = (half & 0x7fff) << 13, exponent = size & 0x0f800000;
        // The exponent starts 112 lower; of infinities and NaN it is the largest here too.
        const bits largest = exponent == 0x0f800000, least = exponent == 0;
        bits value = size + 0x38000000 + (largest & 0x38000000);
        // Denormals: what the mantissa adds to 2^-14.
        const type small = as<type>(value + (1 << 23)) - as<type>(bits{} + 0x38800000);
        value = (least & as<bits>(small)) | (~least & value);
        return as<type>(value | (half & 0x8000) << 16);
    }
    static type load_weights(const int8_t* p) {
        return __builtin_convertvector(read<bytes>(p), type);
    }
    static float sum(const type& v) {
        float total = 0;
        for (int i = 0; i < width; ++i) total += v[i];
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
