// What the shared library exports: plain C functions, so that building it needs no headers of
// Python's, and one build serves every Python. library.py, their only caller, says what each takes;
// cpu.py keeps the tensors whose addresses it hands in, and has checked their shapes.
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>

#include "cold.hpp"

using namespace cold;

namespace {

const Isa* const kAll[] = {&avx512, &avx2, &portable};

// One layer's weights, ready to be multiplied: addresses that stay the same from call to call.
struct Layer {
    const Isa& isa;
    Rows rows;
    Biases biases;
    Activation activation;
    int64_t outputs;
};

// Of the last call of this thread that failed.
thread_local char message[256];

enum Outcome : int { kDone = 0, kInvalidArgument = 1, kOutOfMemory = 2, kOther = 3 };

Outcome failed(Outcome outcome, const char* why) {
    std::strncpy(message, why, sizeof message - 1);
    return outcome;
}

// No exception may pass through C.
template <class Call>
Outcome outcome_of(const Call& call) {
    try {
        call();
        return kDone;
    } catch (const std::invalid_argument& error) {
        return failed(kInvalidArgument, error.what());
    } catch (const std::bad_alloc&) {
        return failed(kOutOfMemory, "out of memory");
    } catch (const std::exception& error) {
        return failed(kOther, error.what());
    } catch (...) {
        return failed(kOther, "unknown error");
    }
}

// What one call is about, as library.py packs it: ctypes turns arguments one by one, and one packed
// argument takes half the time of fourteen. y is contiguous and of x's type.
struct Call {
    void* x;
    int64_t row_stride;
    int64_t column_stride;
    int64_t batch;
    const uint8_t* mask;
    int64_t mask_stride;
    const int64_t* indices;
    int64_t active;
    void* y;
    double threshold;
    int dtype;
    int thresholded;
    int threads;
};

Matrix input(const Call& call) {
    return {call.x, static_cast<Dtype>(call.dtype), call.row_stride, call.column_stride};
}

Matrix output(const Call& call, const Layer& layer) {
    return {call.y, static_cast<Dtype>(call.dtype), layer.outputs, 1};
}

// Beyond float32's largest number: infinity.
float threshold_of(const Call& call) { return static_cast<float>(call.threshold); }

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int cold_lanes() { return kLanes; }

EXPORTED int cold_call_size() { return sizeof(Call); }

EXPORTED int cold_has_openmp() {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

// The name of the instruction set at a place of the list of those that this processor runs, the
// best first; null after the last.
EXPORTED const char* cold_instruction_set(int place) {
    for (const Isa* each : kAll)
        if (each->supported() && place-- == 0) return each->name;
    return nullptr;
}

EXPORTED const char* cold_message() { return message; }

// Null where this processor does not run the instruction set. `cold_free` ends what this begins.
EXPORTED const Layer* cold_layer(const char* isa, const void* rows, int dtype, int matrices,
                                 int64_t count, int64_t padded, const float* scales,
                                 const float* gate_bias, const float* up_bias,
                                 const float* out_bias, int activation, int64_t outputs) {
    for (const Isa* each : kAll)
        if (!std::strcmp(isa, each->name) && each->supported())
            return new (std::nothrow)
                Layer{*each,
                      {rows, static_cast<Dtype>(dtype), count, padded, matrices, scales},
                      {gate_bias, up_bias, out_bias},
                      static_cast<Activation>(activation),
                      outputs};
    return nullptr;
}

EXPORTED void cold_free(const Layer* layer) { delete layer; }

// An Outcome, of which `cold_message` tells more.
EXPORTED int cold_ffn(const Layer* layer, const Call* call) {
    return outcome_of([&] {
        ffn(layer->isa, input(*call), call->batch, layer->outputs, layer->rows, layer->biases,
            layer->activation, {call->mask, call->mask_stride, call->indices, call->active},
            call->thresholded, threshold_of(*call), output(*call, *layer), call->threads);
    });
}

// As cold_ffn, by threshold; what the call says of masks and indices does not count.
EXPORTED int cold_linear(const Layer* layer, const Call* call) {
    return outcome_of([&] {
        linear(layer->isa, input(*call), call->batch, layer->outputs, layer->rows,
               layer->biases.out, threshold_of(*call), output(*call, *layer), call->threads);
    });
}
