// Around a PASS 2 backward: a gradient that is summed in 64-bit integers, so that the order does not matter.
//
// Steps, on one stream, with a FixedPoint (56 bytes) and the int64 gradient set to 0 first:
//   1. fixed_point_maximum of each input below; infinite and NaN elements are passed over here, because only the
//      backward knows whether they are used
//   2. fixed_point_scale_msda or fixed_point_scale_kda
//   3. msda_backward, kda_backward or msda_fused_backward compiled with PASS 2
//   4. fixed_point_to_real for each gradient
// The scale is the largest power of two with which the magnitudes of all additions to one element sum to less than
// 2^62; each addition is rounded by at most half a unit. A NaN or infinite addition makes all of the gradient NaN.
//
// Compiled with -DVALUE= -DWEIGHT= -DCHANNELS=1. Kernels, block = 128 threads:
//   fixed_point_value_maximum (const VALUE* numbers, int64 count, FixedPoint* fixed, int32 which)
//   fixed_point_weight_maximum(const WEIGHT* numbers, int64 count, FixedPoint* fixed, int32 which)
//       any grid; `count` elements without gaps, in any order
//   fixed_point_scale_msda(FixedPoint* fixed, double additions, int32 shares)   grid 1
//       maximum[0] of grad_output; shares 0: maximum[1] of the weights, additions = Lq * K;
//       shares 1 (the weights of a query add up to 1: msda_fused): additions = Lq
//   fixed_point_scale_kda(FixedPoint* fixed, double queries, double channels, double scale, int32 separate_key)  grid 1
//       maximum[0] of grad_output, [1] of value, [2] of query
//   fixed_point_to_real(const int64* sums, real* gradient, int64 count, FixedPoint* fixed, int32 which)   any grid
//       which: 0 value gradient, 1 key gradient
#include "accumulate.h"

template <class T>
__device__ inline void raise_maximum(const T* __restrict__ numbers, int64 count, uint64* maximum) {
    const int64 step = static_cast<int64>(gridDim.x) * THREADS;
    double highest = 0;
    for (int64 i = static_cast<int64>(blockIdx.x) * THREADS + threadIdx.x; i < count; i += step) {
        const double size = fabs(static_cast<double>(widen(numbers[i])));
        highest = size - size == 0 && size > highest ? size : highest;
    }
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        const double other = __shfl_xor_sync(EVERY_LANE, highest, distance, WARP);
        highest = other > highest ? other : highest;
    }
    // Bits of numbers that are not negative are ordered like the numbers.
    if (threadIdx.x % WARP == 0) {
        atomicMax(maximum, double_bits(highest));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    fixed_point_value_maximum(const value_t* __restrict__ numbers, int64 count, FixedPoint* fixed, int which) {
    raise_maximum(numbers, count, &fixed->maximum[which]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    fixed_point_weight_maximum(const weight_t* __restrict__ numbers, int64 count, FixedPoint* fixed, int which) {
    raise_maximum(numbers, count, &fixed->maximum[which]);
}

// Largest 2^e with bound * 2^e < 2^62, as far as `real` can hold it.
__device__ inline double scale_for(double bound) {
    if (bound == 0) {
        return 1;
    }
    const int widest = sizeof(real) == 8 ? 1020 : 126;
    const int exponent = 61 - ilogb(bound);
    return ldexp(1.0, exponent > widest ? widest : exponent < -widest ? -widest : exponent);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    fixed_point_scale_msda(FixedPoint* fixed, double additions, int shares) {
    if (threadIdx.x == 0) {
        const double weight = shares ? 1.0 : bits_double(fixed->maximum[1]);
        fixed->scale[0] = scale_for(additions * bits_double(fixed->maximum[0]) * weight);
    }
}

// |dv_p| <= alpha_p max|g| and |dk_p| <= scale alpha_p 2 D max|g| max|v| max|q|, and the alpha of a query add up to 1.
extern "C" __global__ void __launch_bounds__(THREADS)
    fixed_point_scale_kda(FixedPoint* fixed, double queries, double channels, double scale, int separate_key) {
    if (threadIdx.x == 0) {
        const double value_bound = queries * bits_double(fixed->maximum[0]);
        const double key_bound = value_bound * 2 * channels * fabs(scale) * bits_double(fixed->maximum[1]) *
                                 bits_double(fixed->maximum[2]);
        fixed->scale[0] = scale_for(separate_key ? value_bound : value_bound + key_bound);
        fixed->scale[1] = scale_for(key_bound);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    fixed_point_to_real(const int64* __restrict__ sums, real* __restrict__ gradient, int64 count,
                        const FixedPoint* __restrict__ fixed, int which) {
    const int64 step = static_cast<int64>(gridDim.x) * THREADS;
    const double unit = fixed->broken ? bits_double(0x7ff8000000000000ull) : 1 / fixed->scale[which];
    for (int64 i = static_cast<int64>(blockIdx.x) * THREADS + threadIdx.x; i < count; i += step) {
        gradient[i] = static_cast<real>(static_cast<double>(sums[i]) * unit);
    }
}
