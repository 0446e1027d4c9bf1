// From decoded pictures to a network's input: resize, place, normalise and reorder, in one pass.
//
// The arithmetic is that of the crate trt-imaging: two taps a side in fixed point, first down, then across, rounded to
// 8 bits in between; then a table for each channel. The host makes taps and tables, so the result is the same bit by bit.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

// From which pixels, with which weights, an output column or row is made. 16 bytes.
struct Tap {
    u32 start;
    int weights[3];
};

// A picture and its place. 64 bytes, written by the host.
struct Picture {
    u64 pixels;    // interleaved RGB
    u64 columns;   // taps
    u64 rows;      // taps
    u32 width, height;
    u32 inner_width, inner_height;
    u32 left, top;
    u32 column_bits, row_bits;  // weights are multiples of 2^-bits
    u64 unused;
};

__device__ u32 luma(const u8 *pixel) {
    return (9798u * pixel[0] + 19235u * pixel[1] + 3735u * pixel[2] + (1u << 14)) >> 15;
}

__device__ int rounded(int sum, u32 bits) { return min(max((sum + (1 << (bits - 1u))) >> bits, 0), 255); }

// One column of the picture at an output row: three channels, or luma in the first.
template <int CHANNELS>
__device__ __forceinline__ void down(const Picture &picture, const Tap &tap, u32 x, int *out) {
    int sum[3] = {0, 0, 0};
#pragma unroll
    for (u32 k = 0; k < 3u; ++k) {
        if (!tap.weights[k]) continue;
        const u8 *pixel = (const u8 *)picture.pixels + 3ull * ((u64)(tap.start + k) * picture.width + x);
        if (CHANNELS == 1) {
            sum[0] += tap.weights[k] * (int)luma(pixel);
        } else {
#pragma unroll
            for (int c = 0; c < 3; ++c) sum[c] += tap.weights[k] * (int)pixel[c];
        }
    }
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) out[c] = rounded(sum[c], picture.row_bits);
}

template <int CHANNELS>
__device__ __forceinline__ void run(const Picture *pictures, const float *tables, float *out, u32 width, u32 height, int swap,
                                    int nhwc, u32 pad) {
    u32 x = blockIdx.x * blockDim.x + threadIdx.x;
    u32 y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const Picture picture = pictures[blockIdx.z];
    int value[3] = {(int)pad, (int)pad, (int)pad};
    u32 column = x - picture.left, row = y - picture.top;
    // Left of or above the picture these wrap around.
    if (column < picture.inner_width && row < picture.inner_height) {
        Tap across = ((const Tap *)picture.columns)[column];
        Tap along = ((const Tap *)picture.rows)[row];
        int sum[3] = {0, 0, 0};
#pragma unroll
        for (u32 k = 0; k < 3u; ++k) {
            if (!across.weights[k]) continue;
            int part[3];
            down<CHANNELS>(picture, along, across.start + k, part);
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c) sum[c] += across.weights[k] * part[c];
        }
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) value[c] = rounded(sum[c], picture.column_bits);
    }
    u64 plane = (u64)width * height;
    float *image = out + blockIdx.z * CHANNELS * plane;
    u64 at = (u64)y * width + x;
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) {
        int from = CHANNELS == 3 && swap ? 2 - c : c;
        // Constant indices only: an array that is indexed at run time would lie in memory.
        int pixel = from == 0 ? value[0] : from == 1 ? value[1] : value[2];
        image[nhwc ? at * CHANNELS + c : c * plane + at] = tables[256 * c + pixel];
    }
}

// One thread for each pixel of the output, one layer of blocks for each picture.
extern "C" __global__ void preprocess_colour(const Picture *pictures, const float *tables, float *out, u32 width, u32 height,
                                             int swap, int nhwc, u32 pad) {
    run<3>(pictures, tables, out, width, height, swap, nhwc, pad);
}

extern "C" __global__ void preprocess_grey(const Picture *pictures, const float *tables, float *out, u32 width, u32 height,
                                           int swap, int nhwc, u32 pad) {
    run<1>(pictures, tables, out, width, height, swap, nhwc, pad);
}
