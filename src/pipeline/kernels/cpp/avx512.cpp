#include "cold.hpp"
#include "target.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

COLD_TARGET_BEGIN("avx512f")

namespace cold {
namespace on_avx512 {

struct Vec {
    using type = __m512;
    static constexpr int width = 16;
    static constexpr int registers = 32;
    static type zero() { return _mm512_setzero_ps(); }
    static type set(float v) { return _mm512_set1_ps(v); }
    static type load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, type v) { _mm512_storeu_ps(p, v); }
    static type add(type a, type b) { return _mm512_add_ps(a, b); }
    static type fma(type a, type b, type c) { return _mm512_fmadd_ps(a, b, c); }
    static type load_weights(const float* p) { return _mm512_loadu_ps(p); }
    static type load_weights(const Bf16* p) {
        const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    static type load_weights(const F16* p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static type load_weights(const int8_t* p) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
    }
    // Not _mm512_reduce_add_ps: GCC 12 warns of its own header there.
    static float sum(type v) {
        float lanes[width];
        _mm512_storeu_ps(lanes, v);
        for (int half = width / 2; half; half /= 2)
            for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
        return lanes[0];
    }
};

#include "loops.inc"

}  // namespace on_avx512
}  // namespace cold

COLD_TARGET_END

namespace cold {
static bool has_avx512() { return __builtin_cpu_supports("avx512f"); }
const Isa avx512 = [] {
    using namespace on_avx512;
    return Isa COLD_ISA("avx512", has_avx512);
}();
}  // namespace cold

#else
namespace cold {
const Isa avx512{"avx512", [] { return false; }, {}, {}};
}
#endif
