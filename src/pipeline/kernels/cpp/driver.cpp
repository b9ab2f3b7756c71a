// What happens around the inner loops: which rows are read, by which thread, in which order.
//
// Every sum is made in an order that the sizes and the active set decide, never the number of
// threads, so a result's bits do not depend on it.
#include "cold.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace cold {
namespace {

// Outputs that one task adds to, at most, over all rows of x: as many as stay in the first cache
// beside a block of rows; but no fewer of one row than are worth a walk.
constexpr int64_t kTile = 4096, kLeast = 512;
// Tasks that adding is divided into, about: by tiles of outputs, and by groups of the active rows,
// whose sums are added to one another in order.
constexpr int64_t kTasks = 16;
// Outputs whose parts one task adds together.
constexpr int64_t kPart = 1024;
// Fewer rows than this make no part of their own.
constexpr int64_t kRowsOfGroup = 32;
// Bytes of weights below which another thread costs more than it saves.
constexpr int64_t kBytesOfThread = 64 << 10;

// Memory that calls use again: a thread's own, so that two threads may call at once. It grows to
// the largest call and stays.
struct Workspace {
    std::vector<float> x, h, sums;
    std::vector<uint8_t> on, seen;
    std::vector<int64_t> active;

    template <class T>
    static T* room(std::vector<T>& held, int64_t size) {
#if defined(__SANITIZE_ADDRESS__)
        // No more than was asked for, so that what lies beyond is found out.
        if (static_cast<int64_t>(held.size()) != size) {
            std::vector<T> exact(held.begin(),
                                 held.begin() + std::min<int64_t>(size, held.size()));
            exact.resize(size);
            exact.shrink_to_fit();
            held.swap(exact);
        }
#endif
        if (static_cast<int64_t>(held.size()) < size) held.resize(size);
        return held.data();
    }
};
thread_local Workspace space;

float bf16_to_float(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// to[i] = one row of x, as float32.
void read(const Matrix& x, int row, int64_t size, float* to) {
    const int64_t step = x.column_stride;
    const auto* wide = static_cast<const float*>(x.data) + row * x.row_stride;
    const auto* half = static_cast<const uint16_t*>(x.data) + row * x.row_stride;
    if (x.dtype == Dtype::f32)
        for (int64_t i = 0; i < size; ++i) to[i] = wide[i * step];
    else if (x.dtype == Dtype::bf16)
        for (int64_t i = 0; i < size; ++i) to[i] = bf16_to_float(half[i * step]);
    else
        for (int64_t i = 0; i < size; ++i) to[i] = half_to_float(half[i * step]);
}

uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Nearest, ties to even, as torch rounds; a NaN stays one.
uint16_t to_bf16(float value) {
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

uint16_t to_half(float value) {
    const uint32_t bits = bits_of(value);
    const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
    const uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;
    if (size >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
    if (size < 0x38800000) {                       // below 2^-14: the format's denormals
        if (size < 0x33000000) return sign;        // below 2^-25
        const int shift = 126 - static_cast<int>(size >> 23);
        const uint32_t mantissa = (size & 0x7fffff) | 0x800000;
        const uint32_t half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
        uint32_t result = mantissa >> shift;
        if (rest > half || (rest == half && (result & 1))) ++result;
        return sign | static_cast<uint16_t>(result);
    }
    const uint32_t rounded = size - 0x38000000 + 0xfff + ((size >> 13) & 1);
    return sign | static_cast<uint16_t>(rounded >> 13);
}

// A part of one row of y, from float32.
void write(const Matrix& y, int row, int64_t from, int64_t to, const float* values) {
    const int64_t step = y.column_stride;
    auto* wide = static_cast<float*>(y.data) + row * y.row_stride;
    auto* half = static_cast<uint16_t*>(y.data) + row * y.row_stride;
    if (y.dtype == Dtype::f32)
        for (int64_t i = from; i < to; ++i) wide[i * step] = values[i];
    else if (y.dtype == Dtype::bf16)
        for (int64_t i = from; i < to; ++i) half[i * step] = to_bf16(values[i]);
    else
        for (int64_t i = from; i < to; ++i) half[i * step] = to_half(values[i]);
}

int64_t bytes_of(Dtype dtype) { return dtype == Dtype::f32 ? 4 : dtype == Dtype::i8 ? 1 : 2; }

float activated(Activation activation, float v) {
    switch (activation) {
        // A comparison that NaN fails keeps NaN.
        case Activation::relu: return v <= 0 ? 0 : v;
        case Activation::relu2: return v <= 0 ? 0 : v * v;
        case Activation::relu6: return v <= 0 ? 0 : v > 6 ? 6 : v;
        case Activation::silu: return v / (1 + std::exp(-v));
        case Activation::gelu: return 0.5f * v * (1 + std::erf(v * 0.70710678118654752f));
        case Activation::gelu_tanh:
            return 0.5f * v * (1 + std::tanh(0.79788456080286536f * (v + 0.044715f * v * v * v)));
        default: return v;
    }
}

const void* row(const Rows& w, int64_t i, int matrix) {
    return static_cast<const char*>(w.data) +
           (matrix * w.count + i) * w.padded * bytes_of(w.dtype);
}

const void* part_of(const Rows& w, int64_t i, int matrix, int64_t from) {
    return static_cast<const char*>(row(w, i, matrix)) + from * bytes_of(w.dtype);
}

float scale(const Rows& w, int64_t i, int matrix) {
    return w.scales ? w.scales[matrix * w.count + i] : 1;
}

int threads_for(const Rows& w, int64_t rows, int matrices, int threads) {
    const int64_t bytes = rows * matrices * w.padded * bytes_of(w.dtype);
    return static_cast<int>(std::clamp<int64_t>(bytes / kBytesOfThread, 1, threads));
}

// x as float32 rows of `padded` elements, the rest zeros.
const float* unpacked(const Matrix& x, int batch, int64_t size, int64_t padded) {
    float* to = Workspace::room(space.x, batch * padded);
    for (int b = 0; b < batch; ++b) {
        read(x, b, size, to + b * padded);
        std::fill(to + b * padded + size, to + (b + 1) * padded, 0.f);
    }
    return to;
}

// The list of neurons that any row of x needs; `on`, filled per (place in the list, row), where
// rows differ.
int64_t listed(const Active& active, int64_t count, int batch, bool& differ) {
    int64_t* list = Workspace::room(space.active, count);
    differ = false;
    if (active.count >= 0) {
        uint8_t* seen = Workspace::room(space.seen, count);
        std::fill(seen, seen + count, uint8_t{0});
        for (int64_t p = 0; p < active.count; ++p) {
            const int64_t i = active.indices[p];
            if (i < 0 || i >= count)
                throw std::invalid_argument("active: index " + std::to_string(i) +
                                            " is outside of 0 to " + std::to_string(count - 1));
            if (seen[i]++)
                throw std::invalid_argument("active: index " + std::to_string(i) +
                                            " is given twice (a mask is a bool tensor)");
            list[p] = i;
        }
        return active.count;
    }
    int64_t found = 0;
    if (!active.mask) {
        for (; found < count; ++found) list[found] = found;
        return found;
    }
    if (!active.mask_stride || batch == 1) {
        // Without a branch: a random mask would mislead every other one.
        for (int64_t i = 0; i < count; ++i) {
            list[found] = i;
            found += active.mask[i] != 0;
        }
        return found;
    }
    differ = true;
    uint8_t* on = Workspace::room(space.on, count * batch);
    for (int64_t i = 0; i < count; ++i) {
        uint8_t any = 0;
        for (int b = 0; b < batch; ++b)
            any |= on[found * batch + b] = active.mask[b * active.mask_stride + i] != 0;
        list[found] = i;
        found += any;
    }
    return found;
}

// Rows of a block, and of the one after it, neuron by neuron.
struct Block {
    const void *rows[kBlock], *next[kBlock];
};

// `count` neurons from place p of the list on, `matrices` rows of each from `matrix` on.
Block block_of(const Rows& w, const int64_t* list, int64_t p, int count, int64_t found, int matrix,
             int matrices) {
    Block near;
    for (int c = 0; c < count; ++c)
        for (int m = 0; m < matrices; ++m) {
            near.rows[c * matrices + m] = row(w, list[p + c], matrix + m);
            near.next[c * matrices + m] =
                row(w, list[std::min(p + count + c, found - 1)], matrix + m);
        }
    return near;
}

// y = bias + sum over listed rows of h * row, h being (rows, batch).
void add_up(const Isa& isa, const Rows& w, int matrix, const int64_t* list, int64_t found,
            const float* h, const uint8_t* on, int batch, int64_t outputs, const float* bias,
            const Matrix& y, int threads) {
    const int64_t most = std::max(kLeast, kTile / batch);
    const int64_t tiles = (w.padded + most - 1) / most;
    const int64_t tile = (w.padded / kLanes + tiles - 1) / tiles * kLanes;
    const int64_t groups =
        std::clamp<int64_t>(found / kRowsOfGroup, 1, std::max<int64_t>(1, kTasks / tiles));
    float* sums = Workspace::room(space.sums, groups * batch * w.padded);
    const auto add = isa.add[static_cast<int>(w.dtype)];
    const int team = threads_for(w, found, 1, threads);
    (void)team;
#pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
    for (int64_t task = 0; task < groups * tiles; ++task) {
        const int64_t group = task % groups, from = task / groups * tile;
        const int64_t size = std::min(tile, w.padded - from);
        if (size <= 0) continue;
        const int64_t last = found * (group + 1) / groups;
        float* part = sums + group * batch * w.padded + from;
        for (int b = 0; b < batch; ++b) std::fill_n(part + b * w.padded, size, 0.f);
        for (int64_t p = found * group / groups; p < last; p += kBlock) {
            const int count = static_cast<int>(std::min<int64_t>(kBlock, last - p));
            const void *rows[kBlock], *next[kBlock];
            for (int c = 0; c < count; ++c) rows[c] = part_of(w, list[p + c], matrix, from);
            for (int c = 0; c < kBlock; ++c)
                next[c] = part_of(w, list[std::min(p + kBlock + c, last - 1)], matrix, from);
            add(rows, next, count, h + p * batch, on ? on + p * batch : nullptr, part, w.padded, batch,
                size);
        }
    }
    const int64_t parts = (outputs + kPart - 1) / kPart;
#pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
    for (int64_t task = 0; task < batch * parts; ++task) {
        const int b = static_cast<int>(task / parts);
        const int64_t first = task % parts * kPart, end = std::min(outputs, first + kPart);
        float* total = sums + b * w.padded;
        for (int64_t group = 1; group < groups; ++group) {
            const float* part = total + group * batch * w.padded;
            for (int64_t i = first; i < end; ++i) total[i] += part[i];
        }
        if (bias)
            for (int64_t i = first; i < end; ++i) total[i] += bias[i];
        write(y, b, first, end, total);
    }
}

// Rows of x that go through together, those from `first` on.
Matrix rows_from(const Matrix& all, int64_t first) {
    Matrix found = all;
    found.data = static_cast<char*>(all.data) + first * all.row_stride * bytes_of(all.dtype);
    return found;
}

void ffn_together(const Isa& isa, const Matrix& x, int batch, int64_t d, const Rows& w,
                  const Biases& biases, Activation activation, const Active& active,
                  bool thresholded, float threshold, const Matrix& y, int threads) {
    const float* input = unpacked(x, batch, d, w.padded);
    const bool gated = w.matrices == 3;
    const int up = gated ? 1 : 0, down = w.matrices - 1;
    bool differ;
    int64_t found = listed(active, w.count, batch, differ);
    int64_t* list = space.active.data();
    const auto dots = isa.dots[static_cast<int>(w.dtype)];
    float* h = Workspace::room(space.h, found * batch);
    const auto first = [&](float dot, int64_t i) {
        const float bias = gated ? (biases.gate ? biases.gate[i] : 0) : (biases.up ? biases.up[i] : 0);
        return activated(activation, dot * scale(w, i, 0) + bias);
    };
    const auto second = [&](float dot, int64_t i) {
        return dot * scale(w, i, up) + (biases.up ? biases.up[i] : 0);
    };
    const auto weighed = [&](float value, int64_t i) { return value * scale(w, i, down); };

    if (thresholded) {
        // The first matrix of all that may take part, then the rest of what is above.
        const int64_t blocks = (found + kBlock - 1) / kBlock;
        const int team = threads_for(w, found, 1, threads);
        (void)team;
#pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t p = block * kBlock;
            const int count = static_cast<int>(std::min<int64_t>(kBlock, found - p));
            const Block near = block_of(w, list, p, count, found, 0, 1);
            dots(near.rows, near.next, count, input, w.padded, batch, w.padded, h + p * batch);
            for (int c = 0; c < count; ++c)
                for (int b = 0; b < batch; ++b) {
                    float& value = h[(p + c) * batch + b];
                    value = first(value, list[p + c]);
                }
        }
        uint8_t* on = Workspace::room(space.on, found * batch);
        int64_t kept = 0;
        for (int64_t p = 0; p < found; ++p) {
            uint8_t any = 0;
            for (int b = 0; b < batch; ++b) {
                // A comparison that NaN fails keeps NaN.
                const bool above = !(std::fabs(h[p * batch + b]) <= threshold);
                const bool counts = above && (!differ || on[p * batch + b]);
                on[kept * batch + b] = counts;
                h[kept * batch + b] = h[p * batch + b];
                any |= counts;
            }
            list[kept] = list[p];
            kept += any;
        }
        found = kept;
        differ = batch > 1;
    }
    // What is still to be read of a neuron before its last row: gate and up, or one, or nothing.
    const int matrices = w.matrices - 1 - (thresholded ? 1 : 0);
    const int together = kBlock / std::max(matrices, 1);
    const int64_t blocks = (found + together - 1) / together;
    const int team = threads_for(w, found, std::max(matrices, 1), threads);
    (void)team;
#pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
    for (int64_t block = 0; block < blocks; ++block) {
        const int64_t p = block * together;
        const int count = static_cast<int>(std::min<int64_t>(together, found - p));
        float values[kBlock * kBatch];
        if (matrices) {
            const Block near = block_of(w, list, p, count, found, thresholded ? up : 0, matrices);
            dots(near.rows, near.next, count * matrices, input, w.padded, batch, w.padded, values);
        }
        for (int c = 0; c < count; ++c) {
            const int64_t i = list[p + c];
            const float* of = values + c * matrices * batch;
            float* to = h + (p + c) * batch;
            for (int b = 0; b < batch; ++b) {
                float value = thresholded ? to[b] : first(of[b], i);
                if (gated) value *= second(of[(thresholded ? 0 : batch) + b], i);
                to[b] = weighed(value, i);
            }
        }
    }
    add_up(isa, w, down, list, found, h, differ ? space.on.data() : nullptr, batch, d, biases.out, y,
           threads);
}

void linear_together(const Isa& isa, const Matrix& x, int batch, int64_t outputs, const Rows& w,
                     const float* bias, float threshold, const Matrix& y, int threads) {
    int64_t* list = Workspace::room(space.active, w.count);
    float* h = Workspace::room(space.h, w.count * batch);
    uint8_t* on = Workspace::room(space.on, w.count * batch);
    const float* input = unpacked(x, batch, w.count, w.count);
    int64_t found = 0;
    for (int64_t i = 0; i < w.count; ++i) {
        uint8_t any = 0;
        for (int b = 0; b < batch; ++b) {
            const float value = input[b * w.count + i];
            const bool counts = !(std::fabs(value) <= threshold);
            on[found * batch + b] = counts;
            h[found * batch + b] = value * scale(w, i, 0);
            any |= counts;
        }
        list[found] = i;
        found += any;
    }
    add_up(isa, w, 0, list, found, h, batch > 1 ? on : nullptr, batch, outputs, bias, y, threads);
}

}  // namespace

float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t exponent = (half >> 10) & 0x1f, mantissa = half & 0x3ff;
    uint32_t bits;
    if (exponent == 0x1f) {
        bits = sign | 0x7f800000 | (mantissa << 13);
    } else if (exponent) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else {
        // Denormals: mantissa times 2^-24, exact in float32.
        const float value = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
        return sign ? -value : value;
    }
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

void ffn(const Isa& isa, const Matrix& x, int64_t batch, int64_t d, const Rows& w,
         const Biases& biases, Activation activation, const Active& active, bool thresholded,
         float threshold, const Matrix& y, int threads) {
    for (int64_t row = 0; row < batch; row += kBatch) {
        Active own = active;
        if (own.mask) own.mask += row * own.mask_stride;
        const int together = static_cast<int>(std::min<int64_t>(kBatch, batch - row));
        ffn_together(isa, rows_from(x, row), together, d, w, biases, activation, own, thresholded,
                     threshold, rows_from(y, row), threads);
    }
}

void linear(const Isa& isa, const Matrix& x, int64_t batch, int64_t outputs, const Rows& w,
            const float* bias, float threshold, const Matrix& y, int threads) {
    for (int64_t row = 0; row < batch; row += kBatch) {
        const int together = static_cast<int>(std::min<int64_t>(kBatch, batch - row));
        linear_together(isa, rows_from(x, row), together, outputs, w, bias, threshold, rows_from(y, row),
                        threads);
    }
}

}  // namespace cold
