// The Python module: addresses in, none kept. cpu.py, its only caller, owns the tensors and has
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

using Given = std::tuple<uintptr_t, int, int64_t, int64_t>;

Matrix matrix(const Given& given) {
    const auto& [data, dtype, rows, columns] = given;
    return {reinterpret_cast<void*>(data), static_cast<Dtype>(dtype), rows, columns};
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
    module.def("ffn", [](const std::string& isa, const Given& x, int64_t batch, int64_t d,
                         uintptr_t rows, int dtype, int64_t count, int64_t padded, int matrices,
                         uintptr_t scales, const std::tuple<uintptr_t, uintptr_t, uintptr_t>& biases,
                         int activation, uintptr_t mask, int64_t mask_stride, uintptr_t indices,
                         int64_t active, bool thresholded, float threshold, const Given& y,
                         int threads) {
        const Isa& set = named(isa);
        py::gil_scoped_release unlocked;
        ffn(set, matrix(x), batch, d,
            {at<void>(rows), static_cast<Dtype>(dtype), count, padded, matrices,
                    at<float>(scales)},
                   {at<float>(std::get<0>(biases)), at<float>(std::get<1>(biases)),
                    at<float>(std::get<2>(biases))},
                   static_cast<Activation>(activation),
                   {at<uint8_t>(mask), mask_stride, at<int64_t>(indices), active}, thresholded,
                   threshold, matrix(y), threads);
    });
    module.def("linear", [](const std::string& isa, const Given& x, int64_t batch, int64_t outputs,
                            uintptr_t rows, int dtype, int64_t count, int64_t padded,
                            uintptr_t scales, uintptr_t bias, float threshold, const Given& y,
                            int threads) {
        const Isa& set = named(isa);
        py::gil_scoped_release unlocked;
        linear(set, matrix(x), batch, outputs,
               {at<void>(rows), static_cast<Dtype>(dtype), count, padded, 1,
                       at<float>(scales)},
                      at<float>(bias), threshold, matrix(y), threads);
    });
}
