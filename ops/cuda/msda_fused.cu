// Deformable attention that takes reference points, raw offsets and raw logits instead of locations and weights.
//     reference (r_x, r_y):            u = r_x + o_x / W,                v = r_y + o_y / H
//     reference (r_x, r_y, r_w, r_h):  u = r_x + o_x r_w / (2 P),        v = r_y + o_y r_h / (2 P)
//     a = softmax of the logits over all K points of all levels (P of them on this level); the rest as in msda.cu
// Gradients: do_x = du / W or du r_w / (2 P);  dr_x = sum over heads and points of du;
//     dr_w = sum of du o_x / (2 P);  dlogit_k = a_k (da_k - sum_j a_j da_j)
//
// Shapes, strides, alignment, launch and macros as in msda.cu; R is 2 or 4 and L the number of levels.
//
// PASS 0: msda_fused_forward(
//     const VALUE* value         (N, S, M, D)
//     const real* references     (N, Lq, L, R)
//     const real* offsets        (N, Lq, M, K, 2)
//     const WEIGHT* logits       (N, Lq, M, K)
//     VALUE* output              (N, Lq, M, D)
//     int64 batch_stride, int32 token_stride, int32 head_stride
//     int32 queries, int32 heads, int32 points, int32 level_count, int32 reference_size, Levels levels)
//
// PASS 1 and 2: msda_fused_backward(
//     value, references, offsets, logits
//     const VALUE* grad_output   (N, Lq, M, D)
//     void* grad_value           (N, S, M, D), zeroed: real in PASS 1, int64 in PASS 2
//     real* grad_offsets         (N, Lq, M, K, 2), written
//     real* grad_logits          (N, Lq, M, K), written
//     FixedPoint* fixed          PASS 2: 56 bytes prepared by fixed_point.cu; PASS 1: null
//     int64 batch_stride, int32 token_stride, int32 head_stride, int32 tokens, int32 queries, int32 heads,
//     int32 points, int32 level_count, int32 reference_size,
//     int32 locations_only       1: grad_offsets gets du, dv, which msda_fused_references then turns into offsets
//     Levels levels)
// and, after it, only where the references need a gradient (locations_only was 1):
// msda_fused_references(
//     const real* references, const real* offsets
//     real* grad_offsets         in: du, dv; out: the gradient
//     real* grad_references      (N, Lq, L, R), written
//     int64 batch_queries        N * Lq
//     int32 heads, int32 points, int32 level_count, int32 reference_size, Levels levels)
//     any grid (N * Lq * L / 128 blocks are enough), block 128
#include "weighted_sum.h"

// How far one unit of offset moves a point on a level, in units of the level's size.
__device__ inline Position offset_unit(const real* __restrict__ reference, int reference_size, const Levels& levels,
                                       int level) {
    if (reference_size == 2) {
        return {1 / static_cast<real>(levels.item[level].width), 1 / static_cast<real>(levels.item[level].height)};
    }
    const int count = levels.item[level].end - (level > 0 ? levels.item[level - 1].end : 0);
    const real share = real(0.5) / static_cast<real>(count);
    return {reference[2] * share, reference[3] * share};
}

// References, offsets and logits of one pair, and what its softmax needs.
struct Relative {
    const real* __restrict__ references;
    const real* __restrict__ offsets;
    const weight_t* __restrict__ logits;
    int reference_size;
    const Levels& levels;
    real highest, inverse_total;

    __device__ inline real share(int point) const { return exp(widen(logits[point]) - highest) * inverse_total; }

    __device__ inline Placed operator()(int point, int level) const {
        const real* __restrict__ reference = references + level * reference_size;
        const Position unit = offset_unit(reference, reference_size, levels, level);
        const Position offset = position_at(offsets, point);
        const real u = reference[0] + offset.x * unit.x;
        const real v = reference[1] + offset.y * unit.y;
        return {u * static_cast<real>(levels.item[level].width) - real(0.5),
                v * static_cast<real>(levels.item[level].height) - real(0.5), share(point)};
    }
};

__device__ inline Relative relative(const real* references, const real* offsets, const weight_t* logits,
                                    const Pair& pair, int heads, int points, int level_count, int reference_size,
                                    const Levels& levels) {
    const int64 first = pair.index * points;
    Relative source = {references + pair.index / heads * level_count * reference_size,
                       offsets + first * 2,
                       logits + first,
                       reference_size,
                       levels,
                       LOWEST,
                       1};
    real highest = LOWEST;
    for (int mine = pair.lane; mine < points; mine += GROUP) {
        const real logit = widen(source.logits[mine]);
        highest = logit > highest ? logit : highest;
    }
    source.highest = group_maximum(highest);
    real total = 0;
    for (int mine = pair.lane; mine < points; mine += GROUP) {
        total += source.share(mine);
    }
    source.inverse_total = 1 / group_sum(total);
    return source;
}

#if PASS == 0
extern "C" __global__ void __launch_bounds__(THREADS)
    msda_fused_forward(const value_t* __restrict__ value, const real* __restrict__ references,
                       const real* __restrict__ offsets, const weight_t* __restrict__ logits,
                       value_t* __restrict__ output, int64 batch_stride, int token_stride, int head_stride,
                       int queries, int heads, int points, int level_count, int reference_size,
                       const __grid_constant__ Levels levels) {
    const Pair pair = this_pair(queries, heads);
    const Relative source =
        relative(references, offsets, logits, pair, heads, points, level_count, reference_size, levels);
    const Map map = map_of(value, pair, batch_stride, token_stride, head_stride);
    const Channels sum = weighted_sum(source, map, levels, points, pair.lane);
    if (pair.real_one) {
        store(output + pair.index * CHANNELS, pair.lane, sum);
    }
}
#else
// dLoss/da stays in grad_logits until the sum over all points is known.
struct RelativeGradients {
    real* offsets;
    real* logits;
    const Relative& source;
    bool locations_only;

    __device__ inline void operator()(int point, int level, real share, real x, real y) const {
        const Level& here = source.levels.item[level];
        real u = x * static_cast<real>(here.width);
        real v = y * static_cast<real>(here.height);
        if (!locations_only) {
            const Position unit = offset_unit(source.references + level * source.reference_size,
                                              source.reference_size, source.levels, level);
            u *= unit.x;
            v *= unit.y;
        }
        offsets[2 * point] = u;
        offsets[2 * point + 1] = v;
        logits[point] = share;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS)
    msda_fused_backward(const value_t* __restrict__ value, const real* __restrict__ references,
                        const real* __restrict__ offsets, const weight_t* __restrict__ logits,
                        const value_t* __restrict__ grad_output, void* __restrict__ grad_value, real* grad_offsets,
                        real* grad_logits, FixedPoint* fixed, int64 batch_stride, int token_stride, int head_stride,
                        int tokens, int queries, int heads, int points, int level_count, int reference_size,
                        int locations_only, const __grid_constant__ Levels levels) {
    const Pair pair = this_pair(queries, heads);
    const Relative source =
        relative(references, offsets, logits, pair, heads, points, level_count, reference_size, levels);
    real* const share_gradients = grad_logits + pair.index * points;
    const RelativeGradients gradients = {grad_offsets + pair.index * points * 2, share_gradients, source,
                                         locations_only != 0};
    const Map map = map_of(value, pair, batch_stride, token_stride, head_stride);
    const GradientMap map_gradient =
        gradient_map(grad_value, pair.batch, pair.head, pair.lane, pair.real_one, tokens, heads, fixed, 0);
    const Channels gradient = load(grad_output + pair.index * CHANNELS, pair.lane);
    weighted_sum_backward(source, gradients, gradient, map, map_gradient, levels, points, pair.lane);

    real mean = 0;
    for (int mine = pair.lane; mine < points; mine += GROUP) {
        mean += source.share(mine) * share_gradients[mine];
    }
    mean = group_sum(mean);
    if (pair.real_one) {
        for (int mine = pair.lane; mine < points; mine += GROUP) {
            share_gradients[mine] = source.share(mine) * (share_gradients[mine] - mean);
        }
    }
}

// One thread per reference: heads and points are added in a fixed order, without atomics.
extern "C" __global__ void __launch_bounds__(THREADS)
    msda_fused_references(const real* __restrict__ references, const real* __restrict__ offsets, real* grad_offsets,
                          real* __restrict__ grad_references, int64 batch_queries, int heads, int points,
                          int level_count, int reference_size, const __grid_constant__ Levels levels) {
    const int64 step = static_cast<int64>(gridDim.x) * THREADS;
    for (int64 i = static_cast<int64>(blockIdx.x) * THREADS + threadIdx.x; i < batch_queries * level_count; i += step) {
        const int level = static_cast<int>(i % level_count);
        const int first = level > 0 ? levels.item[level - 1].end : 0;
        const int last = levels.item[level].end;
        const Position unit = offset_unit(references + i * reference_size, reference_size, levels, level);
        const real share = real(0.5) / static_cast<real>(last - first > 0 ? last - first : 1);
        real sum_u = 0, sum_v = 0, sum_width = 0, sum_height = 0;
        for (int head = 0; head < heads; ++head) {
            for (int point = first; point < last; ++point) {
                const int64 at = (i / level_count * heads + head) * points + point;
                const Position offset = position_at(offsets, at);
                const real u = grad_offsets[2 * at], v = grad_offsets[2 * at + 1];
                sum_u += u;
                sum_v += v;
                sum_width += u * offset.x * share;
                sum_height += v * offset.y * share;
                grad_offsets[2 * at] = u * unit.x;
                grad_offsets[2 * at + 1] = v * unit.y;
            }
        }
        grad_references[i * reference_size] = sum_u;
        grad_references[i * reference_size + 1] = sum_v;
        if (reference_size == 4) {
            grad_references[i * reference_size + 2] = sum_width;
            grad_references[i * reference_size + 3] = sum_height;
        }
    }
}
#endif
