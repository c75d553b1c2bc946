// Adding to the gradient of value or key, which many (query, head) pairs do at once.
//
// PASS 1 adds floating-point numbers with atomics, so the last bits depend on the order. PASS 2 adds 64-bit integers,
// contribution * scale rounded, and integer sums do not depend on the order; see fixed_point.cu.
#ifndef CAFFDET_ACCUMULATE_H
#define CAFFDET_ACCUMULATE_H

#include "channels.h"

// Kept in memory between the kernels of one PASS 2 backward; the caller sets all bytes to 0 first.
struct FixedPoint {
    uint64 maximum[4];  // bits of the largest finite magnitude of each input, as float64
    double scale[2];    // powers of two: of the value gradient, of the key gradient
    uint64 broken;      // not 0: an infinite or NaN contribution was met, the whole gradient is NaN
};

#if PASS > 0

#if PASS == 1
using gradient_t = real;
#else
using gradient_t = uint64;
#endif

// One picture's gradient of one head, (tokens, heads, CHANNELS), contiguous, from the lane's first channel on.
struct GradientMap {
    int64 base;
    int token_bytes;
    bool real_one;  // false: of a pair past the last query, which adds nothing
    real scale;
    uint64* broken;

    // gradient[token] += factor * w, if wanted
    __device__ inline void add(bool wanted, int token, real factor, const Channels& w, int lane) const {
        gradient_t* row = reinterpret_cast<gradient_t*>(row_address(base, token, token_bytes));
#pragma unroll
        for (int repeat = 0; repeat < REPEATS; ++repeat) {
            add_unit(wanted && real_one && owns(repeat, lane),
                     row + repeat * GROUP * VECTOR, factor, w.item + repeat * VECTOR);
        }
    }

#if PASS == 1
    __device__ inline void add_unit(bool wanted, float* target, float factor, const float* w) const {
        if constexpr (VECTOR >= 4) {
#pragma unroll
            for (int i = 0; i < VECTOR; i += 4) {
                add_four_if(wanted, target + i, factor * w[i], factor * w[i + 1], factor * w[i + 2],
                            factor * w[i + 3]);
            }
        } else if constexpr (VECTOR == 2) {
            add_two_if(wanted, target, factor * w[0], factor * w[1]);
        } else {
            add_if(wanted, target, factor * w[0]);
        }
    }

    __device__ inline void add_unit(bool wanted, double* target, double factor, const double* w) const {
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            add_if(wanted, target + i, factor * w[i]);
        }
    }
#else
    __device__ inline void add_unit(bool wanted, uint64* target, real factor, const real* w) const {
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            const real contribution = factor * w[i];
            const bool finite = contribution - contribution == 0;
            add_if(wanted && finite, target + i, static_cast<uint64>(to_integer(contribution * scale)));
            if (wanted && !finite) {
                *broken = 1;
            }
        }
    }

    __device__ static inline int64 to_integer(float number) { return __float2ll_rn(number); }
    __device__ static inline int64 to_integer(double number) { return __double2ll_rn(number); }
#endif
};

// `which` of FixedPoint::scale; `fixed` is not read in PASS 1.
__device__ inline GradientMap gradient_map(void* gradient, int batch, int head, int lane, bool real_one, int tokens,
                                           int heads, FixedPoint* fixed, int which) {
    GradientMap map;
    const int token_stride = heads * CHANNELS;
    map.token_bytes = token_stride * static_cast<int>(sizeof(gradient_t));
    map.base = reinterpret_cast<int64>(static_cast<gradient_t*>(gradient) +
                                       static_cast<int64>(batch) * tokens * token_stride +
                                       (head * CHANNELS + lane * VECTOR));
    map.real_one = real_one;
    map.scale = PASS == 2 ? static_cast<real>(fixed->scale[which]) : real(1);
    map.broken = PASS == 2 ? &fixed->broken : nullptr;
    return map;
}
#endif

#endif
