// What the parts of the CPU kernels share: types, the table of one instruction set's functions, and
// the calls that the Python module makes.
#pragma once

#include <cstdint>

namespace cold {

// Numbers that weights, inputs and outputs are kept in. Python's module cpu.py lists them too.
enum class Dtype : int { f32 = 0, bf16 = 1, f16 = 2, i8 = 3 };

// Weights of 16 bits, as types of their own.
struct Bf16 {
    uint16_t bits;
};
struct F16 {
    uint16_t bits;
};

enum class Activation : int {
    identity = 0,
    relu = 1,
    relu2 = 2,
    silu = 3,
    gelu = 4,
    gelu_tanh = 5,
    relu6 = 6
};

// Rows are padded with zeros to a multiple of this many elements, so no loop has a tail.
constexpr int64_t kLanes = 64;
// Rows of x that go through together.
constexpr int kBatch = 16;
// Rows that go through a loop together: what they are multiplied with, or added to, is then read, and
// written, once for so many.
constexpr int kBlock = 4;

// The inner loops for one instruction set, by Dtype of the weights.
struct Isa {
    const char* name;
    bool (*supported)();
    // out[r * batch + b] = <rows[r], x[b]> for r < count <= kBlock; x and rows have n (padded) elements.
    // `next` are the rows of the call after this one, fetched meanwhile: they may lie anywhere, and
    // what a processor fetches by itself ends with a page.
    void (*dots[4])(const void* const* rows, const void* const* next, int count, const float* x,
                    int64_t x_stride, int batch, int64_t n, float* out);
    // y[b] += sum over c of h[c * batch + b] * rows[c], c < count <= kBlock. `on`, like h, says
    // which of them count; null: all. What does not count is not multiplied: it may hold infinities.
    void (*add[4])(const void* const* rows, const void* const* next, int count, const float* h,
                   const uint8_t* on, float* y, int64_t y_stride, int batch, int64_t n);
};

extern const Isa portable;
extern const Isa avx2;
extern const Isa avx512;

// A (batch, size) matrix that Python hands in or takes out; strides count elements.
struct Matrix {
    void* data;
    Dtype dtype;
    int64_t row_stride;
    int64_t column_stride;
};

// Weights in rows: neuron i's of matrix m starts at data + (m * count + i) * padded.
struct Rows {
    const void* data;
    Dtype dtype;
    int64_t count;     // neurons, or input channels
    int64_t padded;    // elements of a row
    int matrices;      // 3: gate, up, down; 2: up, down; 1: a linear layer's
    const float* scales;  // (matrices, count), or null
};

struct Biases {
    const float* gate;  // (count,), or null
    const float* up;    // (count,), or null
    const float* out;   // (outputs,), or null
};

// Which neurons take part: a mask (bool), or indices, or neither.
struct Active {
    const uint8_t* mask;
    int64_t mask_stride;  // between rows of x; 0: one mask for all
    const int64_t* indices;  // null when there are none, which is not to say that all are active
    int64_t count;           // of indices; -1: a mask is given, or nothing
};

// y = down(act(gate x) * up x) over the neurons that are active and, where `thresholded`, have
// |act(gate x)| > threshold. Any number of rows of x, kBatch at a time.
// Throws std::invalid_argument for an index outside or given twice.
void ffn(const Isa& isa, const Matrix& x, int64_t batch, int64_t d, const Rows& weights,
         const Biases& biases, Activation activation, const Active& active, bool thresholded,
         float threshold, const Matrix& y, int threads);

// y = W x over the channels with |x_i| > threshold; rows are W's columns. Batches as in ffn.
void linear(const Isa& isa, const Matrix& x, int64_t batch, int64_t outputs, const Rows& weights,
            const float* bias, float threshold, const Matrix& y, int threads);

float half_to_float(uint16_t bits);

}  // namespace cold
