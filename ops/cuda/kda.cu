// Key-aware deformable attention: sampled keys decide how much of each sampled value is taken.
//     s_p = scale <query, k_p>,  alpha = softmax(s) over all K points,  out = sum_p alpha_p v_p
// k_p and v_p are samples (sampling.h). A point outside the map has k_p = 0, so s_p = 0: it keeps its share.
// With g = dLoss/dout:
//     da_p = <g, v_p>,  ds_p = alpha_p (da_p - sum_j alpha_j da_j),  dLoss/dquery = scale sum_p ds_p k_p
//     dLoss/dk_p = scale ds_p query,  dLoss/dv_p = alpha_p g; each is the vector w of sampling.h.
// Where key is value, k_p = v_p and the two vectors are added before they meet the pixels.
//
// Shapes, strides, alignment, launch and macros as in msda.cu, and -DSEPARATE_KEY=0 (key is value) or 1.
// Alignment of query, grad_query and key as of value.
//
// PASS 0: kda_forward(
//     const VALUE* query       (N, Lq, M, D)
//     const VALUE* key         (N, S, M, D); not read where SEPARATE_KEY is 0
//     const VALUE* value       (N, S, M, D)
//     const real* locations    (N, Lq, M, K, 2)
//     VALUE* output            (N, Lq, M, D)
//     real scale
//     int64 key_batch_stride, int64 batch_stride, int32 key_token_stride, int32 token_stride,
//     int32 key_head_stride, int32 head_stride
//     int32 queries, int32 heads, int32 points, Levels levels)
//
// PASS 1 and 2: kda_backward(
//     query, key, value, locations
//     const VALUE* grad_output    (N, Lq, M, D)
//     real* grad_query            (N, Lq, M, D), written
//     void* grad_key              (N, S, M, D), zeroed: real in PASS 1, int64 in PASS 2; not touched without a key
//     void* grad_value            (N, S, M, D), likewise; holds both sums where key is value
//     real* grad_locations        (N, Lq, M, K, 2), written; holds s_p and da_p in between
//     FixedPoint* fixed           PASS 2: 56 bytes prepared by fixed_point.cu; PASS 1: null
//     real scale, the six strides, int32 tokens, int32 queries, int32 heads, int32 points, Levels levels)
#include "weighted_sum.h"

#ifndef SEPARATE_KEY
#define SEPARATE_KEY 0
#endif

// Where the points of one pair lie, GROUP at a time, one per lane.
struct Walk {
    const real* __restrict__ locations;
    const Levels& levels;
    int points, lane;
    int level = 0;
    real broken = 0;

    __device__ inline Point place(int mine) {
        broken = 0;
        if (mine >= points) {
            return no_point();
        }
        while (mine >= levels.item[level].end) {
            ++level;
        }
        const Position place = position_at(locations, mine);
        const real x = place.x * static_cast<real>(levels.item[level].width) - real(0.5);
        const real y = place.y * static_cast<real>(levels.item[level].height) - real(0.5);
        broken = poison(x) + poison(y);
        return locate(x, y, levels.item[level]);
    }

    __device__ inline int count(int first) const { return points - first < GROUP ? points - first : GROUP; }
};

__device__ inline Channels sample(const Corners& corners, const Point& point) {
    Channels sum = same(0);
    add_sample(sum, 1, corners, point);
    return sum;
}

#if PASS == 0
extern "C" __global__ void __launch_bounds__(THREADS)
    kda_forward(const value_t* __restrict__ query, const value_t* __restrict__ key,
                const value_t* __restrict__ value, const real* __restrict__ locations, value_t* __restrict__ output,
                real scale, int64 key_batch_stride, int64 batch_stride, int key_token_stride, int token_stride,
                int key_head_stride, int head_stride, int queries, int heads, int points,
                const __grid_constant__ Levels levels) {
    const Pair pair = this_pair(queries, heads);
    const Map values = map_of(value, pair, batch_stride, token_stride, head_stride);
    const Map keys = map_of(key, pair, key_batch_stride, key_token_stride, key_head_stride);
    const Channels asked = load(query + pair.index * CHANNELS, pair.lane);
    Walk walk = {locations + pair.index * points * 2, levels, points, pair.lane};
    Channels sum = same(0);
    real broken = 0, highest = LOWEST, total = 0;
    for (int first = 0; first < points; first += GROUP) {
        const Point own = walk.place(first + pair.lane);
        broken += walk.broken;
#pragma unroll 1
        for (int other = 0; other < walk.count(first); ++other) {
            const Point point = from_lane(own, other);
            const Channels v = sample(read(values, point, pair.lane), point);
            const Channels k = SEPARATE_KEY ? sample(read(keys, point, pair.lane), point) : v;
            const real score = scale * group_sum(dot(asked, k));
            // Sums so far are relative to the highest score so far; a higher one scales them down.
            const real higher = score > highest ? score : highest;
            const real kept = exp(highest - higher);
            const real share = exp(score - higher);
            Channels next = same(0);
            add_scaled(next, kept, sum);
            add_scaled(next, share, v);
            sum = next;
            total = kept * total + share;
            highest = higher;
        }
    }
    Channels result = same(group_sum(broken));
    add_scaled(result, 1 / total, sum);
    if (pair.real_one) {
        store(output + pair.index * CHANNELS, pair.lane, result);
    }
}
#else
// What the softmax over all points needs, from the s_p and da_p that each lane has written for its own points.
struct Softmax {
    real highest, inverse_total, mean;  // mean = sum_p alpha_p da_p

    __device__ inline real alpha(real score) const { return exp(score - highest) * inverse_total; }
};

__device__ inline Softmax softmax_of(const real* scores, int points, int lane) {
    real highest = LOWEST;
    for (int mine = lane; mine < points; mine += GROUP) {
        highest = scores[2 * mine] > highest ? scores[2 * mine] : highest;
    }
    highest = group_maximum(highest);
    real total = 0, mean = 0;
    for (int mine = lane; mine < points; mine += GROUP) {
        const real share = exp(scores[2 * mine] - highest);
        total += share;
        mean += share * scores[2 * mine + 1];
    }
    const real inverse_total = 1 / group_sum(total);
    return {highest, inverse_total, group_sum(mean) * inverse_total};
}

extern "C" __global__ void __launch_bounds__(THREADS)
    kda_backward(const value_t* __restrict__ query, const value_t* __restrict__ key,
                 const value_t* __restrict__ value, const real* __restrict__ locations,
                 const value_t* __restrict__ grad_output, real* __restrict__ grad_query, void* __restrict__ grad_key,
                 void* __restrict__ grad_value, real* grad_locations, FixedPoint* fixed, real scale,
                 int64 key_batch_stride, int64 batch_stride, int key_token_stride, int token_stride,
                 int key_head_stride, int head_stride, int tokens, int queries, int heads, int points,
                 const __grid_constant__ Levels levels) {
    const Pair pair = this_pair(queries, heads);
    const int lane = pair.lane;
    const Map values = map_of(value, pair, batch_stride, token_stride, head_stride);
    const Map keys = map_of(key, pair, key_batch_stride, key_token_stride, key_head_stride);
    const GradientMap value_gradient =
        gradient_map(grad_value, pair.batch, pair.head, pair.lane, pair.real_one, tokens, heads, fixed, 0);
    const Channels asked = load(query + pair.index * CHANNELS, lane);
    const Channels gradient = load(grad_output + pair.index * CHANNELS, lane);
    const real* places = locations + pair.index * points * 2;
    real* const results = grad_locations + pair.index * points * 2;

    // First round: s_p and da_p. They stay in grad_locations, where the lane that needs them later has put them.
    Walk walk = {places, levels, points, lane};
    for (int first = 0; first < points; first += GROUP) {
        const Point own = walk.place(first + lane);
        real own_score = 0, own_share_gradient = 0;
#pragma unroll 1
        for (int other = 0; other < walk.count(first); ++other) {
            const Point point = from_lane(own, other);
            const Channels v = sample(read(values, point, lane), point);
            const Channels k = SEPARATE_KEY ? sample(read(keys, point, lane), point) : v;
            const real score = scale * group_sum(dot(asked, k));
            const real share_gradient = group_sum(dot(gradient, v));
            own_score = lane == other ? score : own_score;
            own_share_gradient = lane == other ? share_gradient : own_share_gradient;
        }
        if (first + lane < points && pair.real_one) {
            results[2 * (first + lane)] = own_score;
            results[2 * (first + lane) + 1] = own_share_gradient;
        }
    }
    const Softmax softmax = softmax_of(results, points, lane);

    // Second round: everything is known, the samples are read again and their gradients scattered.
    Channels query_gradient = same(0);
    real broken = 0;
    Walk again = {places, levels, points, lane};
    for (int first = 0; first < points; first += GROUP) {
        const int mine = first + lane;
        const Point own = again.place(mine);
        broken += again.broken;
        real own_alpha = 0, own_slope = 0;
        if (mine < points) {
            own_alpha = softmax.alpha(results[2 * mine]);
            own_slope = scale * own_alpha * (results[2 * mine + 1] - softmax.mean);
        }
        real own_x = 0, own_y = 0;
#pragma unroll 1
        for (int other = 0; other < again.count(first); ++other) {
            const Point point = from_lane(own, other);
            const real alpha = __shfl_sync(EVERY_LANE, own_alpha, other, GROUP);
            const real slope = __shfl_sync(EVERY_LANE, own_slope, other, GROUP);
            const Corners value_corners = read(values, point, lane);
            Channels toward_value = same(0);
            add_scaled(toward_value, alpha, gradient);
#if SEPARATE_KEY
            Channels toward_key = same(0);
            add_scaled(toward_key, slope, asked);
            const Corners key_corners = read(keys, point, lane);
            const PointGradient of_value = point_gradient(toward_value, value_corners, point);
            const PointGradient of_key = point_gradient(toward_key, key_corners, point);
            const real x = group_sum(of_value.x + of_key.x), y = group_sum(of_value.y + of_key.y);
            add_sample(query_gradient, slope, key_corners, point);
            const GradientMap key_gradient =
                gradient_map(grad_key, pair.batch, pair.head, pair.lane, pair.real_one, tokens, heads, fixed, 1);
            scatter(key_gradient, 1, toward_key, point, lane);
#else
            add_scaled(toward_value, slope, asked);
            const PointGradient part = point_gradient(toward_value, value_corners, point);
            const real x = group_sum(part.x), y = group_sum(part.y);
            add_sample(query_gradient, slope, value_corners, point);
#endif
            scatter(value_gradient, 1, toward_value, point, lane);
            own_x = lane == other ? x : own_x;
            own_y = lane == other ? y : own_y;
        }
        if (mine < points && pair.real_one) {
            const Level& level = levels.item[again.level];
            results[2 * mine] = own_x * static_cast<real>(level.width) + again.broken;
            results[2 * mine + 1] = own_y * static_cast<real>(level.height) + again.broken;
        }
    }
    add_scaled(query_gradient, 1, same(group_sum(broken)));
    if (pair.real_one) {
        store(grad_query + pair.index * CHANNELS, lane, query_gradient);
    }
}
#endif
