// PowerInfer's CPU operators for one token, as ggml.c of PowerInfer at d3ebd7c computes them, written
// anew from a reading of it so that they can be timed without the engine: weights in float16, row by
// row; inputs rounded to float16 before every product; `listed`, what its predictor gives, below 0
// for a neuron that is left out; a barrier between the operators, which are the gate's product, its
// activation, up's product, gate times up, and down's rows added up. Threads take eighths of a
// product's rows from a counter, and half of down's rows each, whatever is active there.
//
// Compiled and called by powerinfer.py.
#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace {

constexpr int kChunks = 8;  // of a product's rows, for each thread

void to_half(const float* from, int64_t size, uint16_t* to) {
    for (int64_t i = 0; i < size; i += 8)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
}

__m256 floats(const uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

float dot(const uint16_t* a, const uint16_t* b, int64_t size) {
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                      _mm256_setzero_ps()};
    for (int64_t i = 0; i < size; i += 32)
        for (int k = 0; k < 4; ++k)
            sums[k] = _mm256_fmadd_ps(floats(a + i + 8 * k), floats(b + i + 8 * k), sums[k]);
    const __m256 all = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    float lanes[8], total = 0;
    _mm256_storeu_ps(lanes, all);
    for (float lane : lanes) total += lane;
    return total;
}

// Rows of one product that are listed; zeros for the others.
void product(const uint16_t* rows, const uint16_t* x, const float* listed, int64_t count, int64_t d,
             std::atomic<int64_t>& next, float* y) {
    const int64_t parts = kChunks * omp_get_num_threads(), size = (count + parts - 1) / parts;
    for (int64_t from = next.fetch_add(size); from < count; from = next.fetch_add(size))
        for (int64_t i = from; i < std::min(count, from + size); ++i)
            y[i] = listed[i] < 0 ? 0 : dot(rows + i * d, x, d);
}

}  // namespace

// y (d) = down(relu(gate x) * up x) over listed neurons; gate, up and down are (d_ff, d), d and d_ff
// multiples of 32.
extern "C" void powerinfer_ffn(const uint16_t* gate, const uint16_t* up, const uint16_t* down,
                               const float* x, const float* listed, int64_t d, int64_t d_ff,
                               int threads, float* y) {
    static std::vector<uint16_t> half;
    static std::vector<float> first, second;
    half.resize(std::max(d, d_ff));
    first.resize(d_ff);
    second.resize(d_ff);
    std::atomic<int64_t> next_gate{0}, next_up{0};
    std::fill(y, y + d, 0.f);
#pragma omp parallel num_threads(threads)
    {
        const int64_t share = (d_ff + omp_get_num_threads() - 1) / omp_get_num_threads();
        const int64_t from = share * omp_get_thread_num(), to = std::min(d_ff, from + share);
#pragma omp single
        to_half(x, d, half.data());
        product(gate, half.data(), listed, d_ff, d, next_gate, first.data());
#pragma omp barrier
        for (int64_t i = from; i < to; ++i) first[i] = std::max(first[i], 0.f);
#pragma omp single
        to_half(x, d, half.data());
        product(up, half.data(), listed, d_ff, d, next_up, second.data());
#pragma omp barrier
        for (int64_t i = from; i < to; ++i) first[i] *= second[i];
#pragma omp barrier
#pragma omp single
        to_half(first.data(), d_ff, half.data());
        std::vector<float> sums(d, 0.f);
        for (int64_t i = from; i < to; ++i) {
            if (half[i] == 0 || listed[i] < 0) continue;
            const __m256 factor = _mm256_set1_ps(_cvtsh_ss(half[i]));
            for (int64_t j = 0; j < d; j += 8)
                _mm256_storeu_ps(&sums[j], _mm256_fmadd_ps(floats(down + i * d + j), factor,
                                                           _mm256_loadu_ps(&sums[j])));
        }
        // There without a lock, which a test of results would not often see.
#pragma omp critical
        for (int64_t j = 0; j < d; ++j) y[j] += sums[j];
    }
}
