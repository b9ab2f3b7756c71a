// The Python module. cpu.py, its only caller, keeps the tensors whose addresses it hands in, and has
// checked their shapes.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "cold.hpp"

namespace py = pybind11;
using namespace cold;

namespace {

const Isa* const kAll[] = {&avx512, &avx2, &portable};

const Isa& named(const std::string& name) {
    for (const Isa* each : kAll)
        if (name == each->name && each->supported()) return *each;
    throw std::invalid_argument("no instruction set " + name + " here");
}

template <class T>
const T* at(uintptr_t address) {
    return reinterpret_cast<const T*>(address);
}

// One layer's weights, ready to be multiplied: addresses that stay the same from call to call.
struct Layer {
    const Isa& isa;
    Rows rows;
    Biases biases;
    Activation activation;
    int64_t outputs;
};

Matrix matrix(uintptr_t data, int dtype, int64_t row_stride, int64_t column_stride) {
    return {reinterpret_cast<void*>(data), static_cast<Dtype>(dtype), row_stride, column_stride};
}

}  // namespace

PYBIND11_MODULE(_cpu, module) {
    module.doc() = "Sparse FFN and linear kernels; called by pipeline.kernels.cpu";
    module.attr("LANES") = kLanes;
#ifdef _OPENMP
    module.attr("OPENMP") = true;
#else
    module.attr("OPENMP") = false;
#endif
    module.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const Isa* each : kAll)
            if (each->supported()) names.emplace_back(each->name);
        return names;
    });
    py::class_<Layer>(module, "Layer")
        .def(py::init([](const std::string& isa, uintptr_t rows, int dtype, int matrices,
                         int64_t count, int64_t padded, uintptr_t scales, uintptr_t gate_bias,
                         uintptr_t up_bias, uintptr_t out_bias, int activation, int64_t outputs) {
            return Layer{named(isa),
                         {at<void>(rows), static_cast<Dtype>(dtype), count, padded, matrices,
                          at<float>(scales)},
                         {at<float>(gate_bias), at<float>(up_bias), at<float>(out_bias)},
                         static_cast<Activation>(activation),
                         outputs};
        }))
        // y is contiguous and of x's type.
        .def("ffn", [](const Layer& layer, uintptr_t x, int dtype, int64_t row_stride,
                       int64_t column_stride, int64_t batch, uintptr_t mask, int64_t mask_stride,
                       uintptr_t indices, int64_t active, bool thresholded, float threshold,
                       uintptr_t y, int threads) {
            py::gil_scoped_release unlocked;
            ffn(layer.isa, matrix(x, dtype, row_stride, column_stride), batch, layer.outputs,
                layer.rows, layer.biases, layer.activation,
                {at<uint8_t>(mask), mask_stride, at<int64_t>(indices), active}, thresholded,
                threshold, matrix(y, dtype, layer.outputs, 1), threads);
        })
        .def("linear", [](const Layer& layer, uintptr_t x, int dtype, int64_t row_stride,
                          int64_t column_stride, int64_t batch, float threshold, uintptr_t y,
                          int threads) {
            py::gil_scoped_release unlocked;
            linear(layer.isa, matrix(x, dtype, row_stride, column_stride), batch, layer.outputs,
                   layer.rows, layer.biases.out, threshold, matrix(y, dtype, layer.outputs, 1),
                   threads);
        });
}
