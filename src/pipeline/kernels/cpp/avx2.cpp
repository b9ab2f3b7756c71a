#include "cold.hpp"
#include "target.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

COLD_TARGET_BEGIN("avx2,fma,f16c")

namespace cold {
namespace on_avx2 {

struct Vec {
    using type = __m256;
    static constexpr int width = 8;
    static constexpr int registers = 16;
    static type zero() { return _mm256_setzero_ps(); }
    static type set(float v) { return _mm256_set1_ps(v); }
    static type load(const float* p) { return _mm256_loadu_ps(p); }
    static void store(float* p, type v) { _mm256_storeu_ps(p, v); }
    static type add(type a, type b) { return _mm256_add_ps(a, b); }
    static type fma(type a, type b, type c) { return _mm256_fmadd_ps(a, b, c); }
    static type load_weights(const float* p) { return _mm256_loadu_ps(p); }
    static type load_weights(const Bf16* p) {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
    static type load_weights(const F16* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static type load_weights(const int8_t* p) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    }
    static float sum(type v) {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
    }
};

#include "loops.inc"

}  // namespace on_avx2
}  // namespace cold

COLD_TARGET_END

namespace cold {
static bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
}
const Isa avx2 = [] {
    using namespace on_avx2;
    return Isa COLD_ISA("avx2", has_avx2);
}();
}  // namespace cold

#else
namespace cold {
const Isa avx2{"avx2", [] { return false; }, {}, {}};
}
#endif
