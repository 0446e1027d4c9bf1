// Invented, for tools/tests: a tea kitchen in the shape of TensorRT's headers, with nothing of their content.
#pragma once
#include "NvInferVersion.h"

#include <cstdint>
#include <cuda_runtime_api.h>

namespace nvinfer1 {
// A value added at the end, and one in the middle.
enum class Tea : int32_t { kGREEN = 0, kBLACK = 1, kWHITE = 2 };
enum class Heat : int32_t { kLOW = 0, kMEDIUM = 1, kHIGH = 2 };

namespace apiv {
class VKitchen {
public:
    virtual ~VKitchen() noexcept = default;
};

class VKettle : public VKitchen {
public:
    virtual void fill(double litres) noexcept = 0;
    virtual bool isHot() const noexcept = 0;
    virtual void pour(int32_t cups) noexcept = 0;
    virtual void pour(double litres) noexcept = 0;
    virtual float temperature() const noexcept = 0;
};

class VTray : public VKitchen {
public:
    virtual bool isClean() const noexcept = 0;
    virtual int32_t cups() const noexcept = 0;
};
} // namespace apiv

class IGuest {
public:
    virtual void serve(Tea tea, cudaStream_t stream) noexcept = 0;

protected:
    virtual ~IGuest() {}
};

class ILateGuest : public IGuest {};
} // namespace nvinfer1
