// Histograms of activations, on the nested grid of the crate trt-calib: FINE bins over [0, 2^exponent).
//
// A batch is one launch of `count` for all tensors together, then `settle`, `count` and `settle` again:
//
//   count   counts with the exponent known so far, and takes the extremes at the same time
//   settle  adds the counts to the totals if the exponent held, which it does but for the first batches; if it did not,
//           it widens the totals and marks the tensor; if the batch is refused, it forgets the batch
//   count   counts the marked tensors again; all other blocks return at once
//   settle  adds those
//
// So the host need not look at anything in between, and a batch with a NaN leaves nothing behind.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define FINE 16384u
#define THREADS 512u
// A segment of so few values is counted in global memory at once: clearing and adding up 64 KiB would cost more.
#define DIRECT 4096u
#define NONE 0xffffffffu

// A part of a tensor that one block counts. 32 bytes, written by the host.
struct Segment {
    u64 address;  // of the tensor's first value
    u64 start;    // the first value of the part
    u32 len;      // values
    u32 tensor;   // its number
    u32 half;     // 1 if the values have 16 bits
    u32 unused;
};

// What a tensor has shown in this batch. All zero is nothing: the host clears it before each batch.
struct Seen {
    u64 nan;
    u64 infinite;
    u32 greatest;   // key of the greatest finite value
    u32 least;      // ~key of the least finite value
    u32 first_nan;  // ~position of the first NaN
    u32 unused;
};

// What a tensor has shown in all batches.
struct Totals {
    u64 nan;
    u64 infinite;
    u32 greatest;
    u32 least;
    int exponent;
    u32 recount;  // 1 between `settle` and `count` where the exponent did not hold
};

// What one thread has seen of a segment.
struct Local {
    float least, greatest;
    u32 zero;            // values of bin 0, among them all zeros: half of what a ReLU gives
    u32 hot, hot_count;  // a bin that many values of the warp fell into, such as a saturated ReLU6's
    u32 nan, infinite, first_nan;
};

// Floats as integers in the same order. No finite value has key 0 or ~0.
__device__ u32 key_of(float x) {
    u32 bits = __float_as_uint(x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

__device__ float value_of(u32 key) { return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key); }

// 1 / (width of a bin), a power of two.
__device__ float inverse_width(int exponent) { return __uint_as_float((u32)(127 + 14 - exponent) << 23); }

__device__ float from_half(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

// Adds one value. The number of its bin, FINE or more if it has none.
//
// 2^23 + |x| * scale, rounded down, has floor(|x| * scale) in its low bits: exact, since the product has no more digits
// than x, and one rounding is the floor. What is too great, infinite or NaN comes out as FINE or more.
__device__ __forceinline__ u32 add(u32 *bins, Local &local, float scale, float x, u32 position) {
    float magnitude = fabsf(x);
    u32 bin = __float_as_uint(__fmaf_rd(magnitude, scale, 8388608.0f)) - 0x4b000000u;
    if (bin == 0u) {
        local.zero += 1u;
    } else if (bin == local.hot) {
        local.hot_count += 1u;
    } else if (bin < FINE) {
        atomicAdd(&bins[bin], 1u);
    }
    if (magnitude < __uint_as_float(0x7f800000u)) {
        local.least = fminf(local.least, x);
        local.greatest = fmaxf(local.greatest, x);
    } else if (x != x) {
        local.nan += 1u;
        local.first_nan = min(local.first_nan, position);
    } else {
        local.infinite += 1u;
    }
    return bin;
}

// Lets `hot` follow what the warp sees: a bin that 6 of its 32 values fell into would make them wait for each other.
__device__ __forceinline__ void follow(u32 *bins, Local &local, u32 bin, u32 lane) {
    u32 candidate = __shfl_sync(0xffffffffu, bin, lane);
    u32 votes = __popc(__ballot_sync(0xffffffffu, bin == candidate));
    if (votes >= 6u && candidate != local.hot && candidate - 1u < FINE - 1u) {
        if (local.hot_count) atomicAdd(&bins[local.hot], local.hot_count);
        local.hot = candidate;
        local.hot_count = 0u;
    }
}

// Counts a segment of 32-bit values. All threads of the block come here.
__device__ __forceinline__ void count_floats(u32 *bins, Local &local, float scale, const Segment &segment) {
    const float *values = (const float *)segment.address + segment.start;
    u32 position = (u32)segment.start;
    u32 len = segment.len;
    // Up to the first address that 16 divides.
    u32 head = min(len, (u32)((16u - (u32)((u64)values & 15u)) & 15u) / 4u);
    if (threadIdx.x < head) add(bins, local, scale, values[threadIdx.x], position + threadIdx.x);
    const float4 *quads = (const float4 *)(values + head);
    u32 count = (len - head) / 4u;
    position += head;
    u32 at = threadIdx.x;
    // Full rounds, in which all lanes take part.
    u32 full = count / (4u * THREADS);
    for (u32 round = 0; round < full; ++round) {
        float4 q[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) q[k] = __ldcs(quads + at + k * THREADS);
        u32 bin = 0u;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            u32 here = position + 4u * (at + k * THREADS);
            add(bins, local, scale, q[k].x, here);
            add(bins, local, scale, q[k].y, here + 1u);
            add(bins, local, scale, q[k].z, here + 2u);
            bin = add(bins, local, scale, q[k].w, here + 3u);
        }
        follow(bins, local, bin, round & 31u);
        at += 4u * THREADS;
    }
    for (; at < count; at += THREADS) {
        float4 q = __ldcs(quads + at);
        u32 here = position + 4u * at;
        add(bins, local, scale, q.x, here);
        add(bins, local, scale, q.y, here + 1u);
        add(bins, local, scale, q.z, here + 2u);
        add(bins, local, scale, q.w, here + 3u);
    }
    u32 done = head + 4u * count;
    if (threadIdx.x < len - done) {
        add(bins, local, scale, values[done + threadIdx.x], (u32)segment.start + done + threadIdx.x);
    }
}

// Counts a segment of 16-bit values.
__device__ __forceinline__ void count_halves(u32 *bins, Local &local, float scale, const Segment &segment) {
    const u16 *values = (const u16 *)segment.address + segment.start;
    u32 position = (u32)segment.start;
    u32 len = segment.len;
    u32 head = min(len, (u32)((16u - (u32)((u64)values & 15u)) & 15u) / 2u);
    if (threadIdx.x < head) add(bins, local, scale, from_half(values[threadIdx.x]), position + threadIdx.x);
    const uint4 *octets = (const uint4 *)(values + head);
    u32 count = (len - head) / 8u;
    position += head;
    u32 full = count / THREADS;
    u32 at = threadIdx.x;
    for (u32 round = 0; at < count; ++round, at += THREADS) {
        uint4 q = __ldcs(octets + at);
        u32 words[4] = {q.x, q.y, q.z, q.w};
        u32 bin = 0u;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            u32 here = position + 8u * at + 2u * k;
            add(bins, local, scale, from_half((u16)words[k]), here);
            bin = add(bins, local, scale, from_half((u16)(words[k] >> 16)), here + 1u);
        }
        if (round < full) follow(bins, local, bin, round & 31u);
    }
    u32 done = head + 8u * count;
    if (threadIdx.x < len - done) {
        u32 last = done + threadIdx.x;
        add(bins, local, scale, from_half(values[last]), (u32)segment.start + last);
    }
}

__device__ u32 sum_of_warp(u32 x) {
    for (int step = 16; step; step /= 2) x += __shfl_down_sync(0xffffffffu, x, step);
    return x;
}

__device__ u32 greatest_of_warp(u32 x) {
    for (int step = 16; step; step /= 2) x = max(x, __shfl_down_sync(0xffffffffu, x, step));
    return x;
}

// Brings what the threads have seen together: counts into `bins`, the rest into `seen`, unless this is a recount.
__device__ void gather(u32 *bins, const Local &local, Seen *seen, u64 *nan_of_batch, int again) {
    if (local.hot_count) atomicAdd(&bins[local.hot], local.hot_count);
    u32 zero = sum_of_warp(local.zero);
    u32 nan = sum_of_warp(local.nan);
    u32 infinite = sum_of_warp(local.infinite);
    u32 first_nan = greatest_of_warp(~local.first_nan);
    bool any = local.least <= local.greatest;
    u32 greatest = greatest_of_warp(any ? key_of(local.greatest) : 0u);
    u32 least = greatest_of_warp(any ? ~key_of(local.least) : 0u);
    if (threadIdx.x % 32u) return;
    if (zero) atomicAdd(&bins[0], zero);
    if (again) return;
    if (greatest) {
        atomicMax(&seen->greatest, greatest);
        atomicMax(&seen->least, least);
    }
    if (infinite) atomicAdd(&seen->infinite, (u64)infinite);
    if (nan) {
        atomicAdd(&seen->nan, (u64)nan);
        atomicMax(&seen->first_nan, first_nan);
        atomicAdd(nan_of_batch, (u64)nan);
    }
}

// Block b counts segments first[b] up to first[b + 1] into `scratch`: FINE counters for each tensor.
// Shared memory: FINE counters. `again`: only tensors that are marked.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
count(const Segment *segments, const u32 *first, const Totals *totals, u32 *scratch, Seen *seen, u64 *nan_of_batch, int again) {
    extern __shared__ u32 bins[];
    bool clear = false;
    u32 end = first[blockIdx.x + 1];
    for (u32 number = first[blockIdx.x]; number < end; ++number) {
        Segment segment = segments[number];
        Totals total = totals[segment.tensor];
        if (again && !total.recount) continue;
        u32 *target = scratch + (u64)segment.tensor * FINE;
        bool direct = segment.len <= DIRECT;
        if (!direct && !clear) {
            for (u32 at = threadIdx.x; at < FINE / 4u; at += THREADS) ((uint4 *)bins)[at] = make_uint4(0u, 0u, 0u, 0u);
            __syncthreads();
            clear = true;
        }
        Local local = {__uint_as_float(0x7f800000u), __uint_as_float(0xff800000u), 0u, NONE, 0u, 0u, 0u, NONE};
        float scale = inverse_width(total.exponent);
        if (direct) {
            // One value at a time: there are few.
            for (u32 at = threadIdx.x; at < segment.len; at += THREADS) {
                u64 position = segment.start + at;
                float x = segment.half ? from_half(((const u16 *)segment.address)[position])
                                       : ((const float *)segment.address)[position];
                add(target, local, scale, x, (u32)position);
            }
            gather(target, local, seen + segment.tensor, nan_of_batch, again);
            continue;
        }
        if (segment.half) {
            count_halves(bins, local, scale, segment);
        } else {
            count_floats(bins, local, scale, segment);
        }
        gather(bins, local, seen + segment.tensor, nan_of_batch, again);
        __syncthreads();
        // Blocks end at the same time: each begins elsewhere, or all would add to the same counters.
        u32 begin = blockIdx.x * (3u * THREADS) + threadIdx.x;
        for (u32 step = 0; step < FINE; step += THREADS) {
            u32 at = (begin + step) % FINE;
            u32 counted = bins[at];
            if (counted) {
                atomicAdd(&target[at], counted);
                bins[at] = 0u;
            }
        }
        __syncthreads();
    }
}

// Block t settles tensor t: see the top. `refuse`: a batch with a NaN is forgotten. `last`: after the recount.
extern "C" __global__ void __launch_bounds__(THREADS)
settle(Totals *totals, u64 *bins, u32 *scratch, const Seen *seen, const u64 *nan_of_batch, int refuse, int last) {
    u32 tensor = blockIdx.x;
    Totals total = totals[tensor];
    uint4 *counted = (uint4 *)(scratch + (u64)tensor * FINE);
    u64 *own = bins + (u64)tensor * FINE;
    if (last && !total.recount) return;
    Seen now = seen[tensor];
    bool nothing = !now.greatest && !now.nan && !now.infinite;
    if (nothing) return;
    bool refused = refuse && *nan_of_batch;
    u32 greatest = max(total.greatest, now.greatest);
    u32 least = max(total.least, now.least);
    int exponent = total.exponent;
    if (greatest) {
        u32 amax = __float_as_uint(fmaxf(fabsf(value_of(greatest)), fabsf(value_of(~least))));
        exponent = max((int)(amax >> 23) - 126, exponent);
    }
    bool grows = !last && !refused && exponent != total.exponent;
    bool adds = !refused && !grows;
    // Nobody reads what is written below before the launch ends, but for this block's own threads.
    __syncthreads();
    uint4 fours[FINE / 4u / THREADS];
#pragma unroll
    for (u32 round = 0; round < FINE / 4u / THREADS; ++round) fours[round] = counted[round * THREADS + threadIdx.x];
#pragma unroll
    for (u32 round = 0; round < FINE / 4u / THREADS; ++round) {
        u32 at = round * THREADS + threadIdx.x;
        uint4 four = fours[round];
        if (!(four.x | four.y | four.z | four.w)) continue;
        counted[at] = make_uint4(0u, 0u, 0u, 0u);
        if (adds) {
            ulonglong2 *pair = (ulonglong2 *)own + 2u * at;
            ulonglong2 low = pair[0], high = pair[1];
            low.x += four.x;
            low.y += four.y;
            high.x += four.z;
            high.y += four.w;
            pair[0] = low;
            pair[1] = high;
        }
    }
    if (grows && total.greatest) {
        // Neighbours are added up: in ascending order, bins are read before they are written.
        u32 shift = (u32)min(exponent - total.exponent, 14);
        for (u32 start = 0; start < FINE; start += THREADS) {
            u32 bin = start + threadIdx.x;
            u64 sum = 0;
            if (bin < FINE >> shift) {
                for (u32 from = bin << shift; from < (bin + 1u) << shift; ++from) sum += own[from];
            }
            __syncthreads();
            own[bin] = sum;
            __syncthreads();
        }
    }
    if (threadIdx.x) return;
    if (last) {
        totals[tensor].recount = 0u;
    } else if (!refused) {
        total.nan += now.nan;
        total.infinite += now.infinite;
        total.greatest = greatest;
        total.least = least;
        total.exponent = exponent;
        total.recount = grows;
        totals[tensor] = total;
    }
}

// The greatest magnitude of finite and infinite values, as the bits of a float; 0 before. A read-only reduction.
extern "C" __global__ void __launch_bounds__(THREADS)
greatest_magnitude(const float4 *quads, u64 count, u32 *result) {
    u64 stride = (u64)gridDim.x * THREADS;
    u64 at = (u64)blockIdx.x * THREADS + threadIdx.x;
    float most = 0.0f;
    for (; at + 3u * stride < count; at += 4u * stride) {
        float4 q[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) q[k] = __ldcs(quads + at + k * stride);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            most = fmaxf(most, fmaxf(fmaxf(fabsf(q[k].x), fabsf(q[k].y)), fmaxf(fabsf(q[k].z), fabsf(q[k].w))));
        }
    }
    for (; at < count; at += stride) {
        float4 q = __ldcs(quads + at);
        most = fmaxf(most, fmaxf(fmaxf(fabsf(q.x), fabsf(q.y)), fmaxf(fabsf(q.z), fabsf(q.w))));
    }
    u32 bits = greatest_of_warp(__float_as_uint(most));
    if (threadIdx.x % 32u == 0u) atomicMax(result, bits);
}
