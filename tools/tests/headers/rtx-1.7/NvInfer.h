// Invented, for tools/tests: a tea kitchen in the shape of TensorRT's headers, with nothing of their content.
#pragma once
#include "NvInferVersion.h"

#include <cstdint>
#include <cuda_runtime_api.h>

namespace nvinfer1 {
enum class Tea : int32_t { kBLACK = 0, kWHITE = 1 };
enum class Heat : int32_t { kLOW = 0, kHIGH = 1 };

namespace apiv {
class VKitchen {
public:
    virtual ~VKitchen() noexcept = default;
};

class VKettle : public VKitchen {
public:
    virtual bool isHot() const noexcept = 0;
    virtual void fill(double litres) noexcept = 0;
};
} // namespace apiv

class IVersioned {
public:
    virtual int32_t version() const noexcept = 0;

protected:
    virtual ~IVersioned() noexcept = default;
};

// Now says its version first.
namespace v_1_0 {
class IGuest : public IVersioned {
public:
    virtual void serve(Tea tea, cudaStream_t stream) noexcept = 0;
};
} // namespace v_1_0
using IGuest = v_1_0::IGuest;
} // namespace nvinfer1
