// Multi-scale deformable attention: out[n, q, m, :] = sum_k a_k sample_k (sampling.h), and its gradients.
//
// Shapes: N pictures, S tokens of all levels, Lq queries, M heads, D = CHANNELS, K points of all levels together.
// `real` is float, or double where VALUE is double. All tensors contiguous except value, whose channels have stride 1;
// its other strides are in elements, and the batch stride may be 0. Sizes fit into 32 bits: S, M * D * 8 and the token
// stride in bytes are below 2^31, a level is narrower than 2^27 pixels. Distances between pictures are 64-bit.
//
// Compiled by NVRTC with --std=c++17, --gpu-architecture=sm_XX of the device and -DVALUE= -DWEIGHT= -DCHANNELS= -DPASS=
// (numbers.h), all headers of this folder given by name; never with --use_fast_math, which drops NaN.
// Launch: VECTOR = largest power of two that divides D, at most 16 / sizeof(VALUE)
//         GROUP  = smallest power of two that is at least D / VECTOR, at most 32
//         grid   = N * M * ceil(Lq / (128 / GROUP)) blocks in x;  block = 128 threads;  no dynamic shared memory
// Alignment: value, output and grad_output to VECTOR elements (value's strides too), locations to one (x, y).
// Nothing is launched where N, Lq or M is 0, and K is at least 1. No scratch memory; results are written in full.
//
// PASS 0: msda_forward(
//     const VALUE* value        (N, S, M, D)
//     const real* locations     (N, Lq, M, K, 2), x then y, in units of the level's size
//     const WEIGHT* weights     (N, Lq, M, K)
//     VALUE* output             (N, Lq, M, D)
//     int64 batch_stride, int32 token_stride, int32 head_stride   of value
//     int32 queries, int32 heads, int32 points
//     Levels levels             by value: LEVEL_CAPACITY x int32 (height, width, first token, end of its points))
//
// PASS 1 and 2: msda_backward(
//     value, locations, weights   as above
//     const VALUE* grad_output    (N, Lq, M, D)
//     void* grad_value            (N, S, M, D), zeroed by the caller: real in PASS 1, int64 in PASS 2
//     real* grad_locations        (N, Lq, M, K, 2), written
//     real* grad_weights          (N, Lq, M, K), written
//     FixedPoint* fixed           PASS 2: 56 bytes prepared by fixed_point.cu; PASS 1: null
//     int64 batch_stride, int32 token_stride, int32 head_stride, int32 tokens, int32 queries, int32 heads,
//     int32 points, Levels levels)
#include "weighted_sum.h"

// Locations and weights as the caller gives them, of one pair.
struct Given {
    const real* __restrict__ locations;
    const weight_t* __restrict__ weights;
    const Levels& levels;

    __device__ inline Placed operator()(int point, int level) const {
        const Position place = position_at(locations, point);
        return {place.x * static_cast<real>(levels.item[level].width) - real(0.5),
                place.y * static_cast<real>(levels.item[level].height) - real(0.5), widen(weights[point])};
    }
};

#if PASS == 0
extern "C" __global__ void __launch_bounds__(THREADS)
    msda_forward(const value_t* __restrict__ value, const real* __restrict__ locations,
                 const weight_t* __restrict__ weights, value_t* __restrict__ output, int64 batch_stride,
                 int token_stride, int head_stride, int queries, int heads, int points,
                 const __grid_constant__ Levels levels) {
    const Pair pair = this_pair(queries, heads);
    const Given given = {locations + pair.index * points * 2, weights + pair.index * points, levels};
    const Map map = map_of(value, pair, batch_stride, token_stride, head_stride);
    const Channels sum = weighted_sum(given, map, levels, points, pair.lane);
    if (pair.real_one) {
        store(output + pair.index * CHANNELS, pair.lane, sum);
    }
}
#else
struct Gradients {
    real* __restrict__ locations;
    real* __restrict__ weights;
    const Levels& levels;

    __device__ inline void operator()(int point, int level, real share, real x, real y) const {
        locations[2 * point] = x * static_cast<real>(levels.item[level].width);
        locations[2 * point + 1] = y * static_cast<real>(levels.item[level].height);
        weights[point] = share;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS)
    msda_backward(const value_t* __restrict__ value, const real* __restrict__ locations,
                  const weight_t* __restrict__ weights, const value_t* __restrict__ grad_output,
                  void* __restrict__ grad_value, real* __restrict__ grad_locations, real* __restrict__ grad_weights,
                  FixedPoint* fixed, int64 batch_stride, int token_stride, int head_stride, int tokens, int queries,
                  int heads, int points, const __grid_constant__ Levels levels) {
    const Pair pair = this_pair(queries, heads);
    const int64 first = pair.index * points;
    const Given given = {locations + first * 2, weights + first, levels};
    const Gradients gradients = {grad_locations + first * 2, grad_weights + first, levels};
    const Map map = map_of(value, pair, batch_stride, token_stride, head_stride);
    const GradientMap map_gradient =
        gradient_map(grad_value, pair.batch, pair.head, pair.lane, pair.real_one, tokens, heads, fixed, 0);
    const Channels gradient = load(grad_output + pair.index * CHANNELS, pair.lane);
    weighted_sum_backward(given, gradients, gradient, map, map_gradient, levels, points, pair.lane);
}
#endif
