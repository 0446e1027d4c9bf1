// Invented, for tools/tests: a tea kitchen in the shape of TensorRT's headers, with nothing of their content.
#pragma once
#include "NvInferVersion.h"

#include <cstdint>
#include <cuda_runtime_api.h>

namespace nvinfer1 {
enum class Tea : int32_t { kGREEN = 0, kBLACK = 1 };
enum class Heat : int32_t { kLOW = 0, kHIGH = 1 };

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
};

class VTray : public VKitchen {
public:
    virtual int32_t cups() const noexcept = 0;
    virtual Tea tea() const noexcept = 0;
};
} // namespace apiv

// What the user implements. Its destructor comes last and is protected.
class IGuest {
public:
    virtual void serve(Tea tea, cudaStream_t stream) noexcept = 0;

protected:
    virtual ~IGuest() {}
};

// Inherits all that it has.
class ILateGuest : public IGuest {};

// No vtable: forwards to what it holds.
class IKettle {
public:
    void fill(double litres) noexcept { mImpl->fill(litres); }

protected:
    apiv::VKettle* mImpl;
};
} // namespace nvinfer1
