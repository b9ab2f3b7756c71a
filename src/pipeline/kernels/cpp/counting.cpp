// What a profile counts of a tensor, in one pass over its values; exported to numerics/compiled.py,
// which has checked the tensors whose addresses it hands in. Four values at once, which every
// 64-bit processor can. A channel's sum is in the order of its tokens, so it has the same bits
// whatever a processor can besides.
#include <cmath>
#include <cstdint>
#include <cstring>

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

constexpr int64_t kLanes = 4;
// Tokens whose values are summed in float32, as in profiling/statistics.py.
constexpr int64_t kRun = 128;

typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(kLanes * sizeof(int32_t))));

// Where the four sums (of |x|, of its square, of those that are not 0, of those above), the largest
// and the number of non-finite values are added to.
struct Moments {
    double* sums;
    float* most;
    int64_t* nonfinite;
    int64_t channels;
};

// `width` neighbouring channels, kLanes at most, of up to kRun tokens.
inline void add(const float* values, int64_t tokens, int64_t width, const float* above,
                const Moments& to) {
    Floats absolute{}, square{}, most{}, least;
    Ints nonzero{}, counted{}, nonfinite{};
    for (int64_t k = 0; k < kLanes; ++k) least[k] = above && k < width ? above[k] : INFINITY;
    for (int64_t t = 0; t < tokens; ++t, values += to.channels) {
        Ints bits{};
        if (width == kLanes) {
            std::memcpy(&bits, values, sizeof bits);
        } else {
            std::memcpy(&bits, values, width * sizeof(float));
        }
        bits &= 0x7fffffff;
        const Ints lost = bits > 0x7f7fffff;
        bits &= ~lost;
        Floats magnitude;
        std::memcpy(&magnitude, &bits, sizeof magnitude);
        // What is true is -1.
        nonfinite -= lost;
        nonzero -= magnitude > 0.0f;
        counted -= magnitude > least;
        absolute += magnitude;
        square += magnitude * magnitude;
        most = magnitude > most ? magnitude : most;
    }
    for (int64_t k = 0; k < width; ++k) {
        to.sums[k] += absolute[k];
        to.sums[to.channels + k] += square[k];
        to.sums[2 * to.channels + k] += nonzero[k];
        to.sums[3 * to.channels + k] += counted[k];
        to.most[k] = std::fmax(to.most[k], most[k]);
        to.nonfinite[k] += nonfinite[k];
    }
}

}  // namespace

// Adds the values of some tokens, (tokens, channels), to sums, (4, channels), most and nonfinite,
// (channels,) each; `above` is (channels,) or null.
EXPORTED void cold_add_moments(const float* values, int64_t tokens, int64_t channels,
                               const float* above, double* sums, float* most, int64_t* nonfinite) {
    for (int64_t t = 0; t < tokens; t += kRun) {
        const int64_t run = tokens - t < kRun ? tokens - t : kRun;
        for (int64_t c = 0; c < channels; c += kLanes) {
            const int64_t width = channels - c < kLanes ? channels - c : kLanes;
            add(values + t * channels + c, run, width, above ? above + c : nullptr,
                {sums + c, most + c, nonfinite + c, channels});
        }
    }
}

// Adds to counts, two rows of 2^15, how many of n values fall into each of the bins of
// numerics/histograms.py: the first 15 bits of a float32, of which the sign's is turned round. The
// sum of both rows counts: neighbours are often in one bin, and would wait for one another's count.
EXPORTED void cold_count_bins(const float* values, int64_t n, int64_t* counts) {
    constexpr int64_t kBins = 1 << 15, kTogether = 8;
    const auto bin = [values](int64_t i) {
        uint32_t bits;
        std::memcpy(&bits, values + i, sizeof bits);
        return static_cast<uint16_t>((bits >> 17) ^ 0x4000u);
    };
    int64_t i = 0;
    for (; i + kTogether <= n; i += kTogether) {
        // First all bins, which the compiler finds by one instruction for many.
        uint16_t bins[kTogether];
        for (int64_t k = 0; k < kTogether; ++k) bins[k] = bin(i + k);
        for (int64_t k = 0; k < kTogether; ++k) ++counts[k % 2 * kBins + bins[k]];
    }
    for (; i < n; ++i) ++counts[bin(i)];
}
