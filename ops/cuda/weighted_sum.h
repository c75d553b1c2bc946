// The loops over the points of one (query, head), shared by msda.cu and msda_fused.cu: out = sum_k a_k sample_k.
//
// The points are taken GROUP at a time. Each lane places one of them, then all lanes read all of them together, each
// its own channels. A Source says where point k lies (pixels) and what it weighs; a Sink takes its gradients.
#ifndef CAFFDET_WEIGHTED_SUM_H
#define CAFFDET_WEIGHTED_SUM_H

#include "sampling.h"

struct Placed {
    real x, y, share;
};

struct Position {
    real x, y;
};

__device__ inline Position position_at(const real* __restrict__ pairs, int64 index) {
    struct alignas(2 * sizeof(real)) Both {
        real x, y;
    };
    const Both both = *reinterpret_cast<const Both*>(pairs + 2 * index);
    return {both.x, both.y};
}

#if PASS == 0
template <class Source>
__device__ inline Channels weighted_sum(const Source& source, const Map& map, const Levels& levels, int points,
                                        int lane) {
    Channels sum = same(0);
    real broken = 0;
    int level = 0;
    for (int first = 0; first < points; first += GROUP) {
        const int mine = first + lane;
        Point own = no_point();
        real own_share = 0;
        if (mine < points) {
            while (mine >= levels.item[level].end) {
                ++level;
            }
            const Placed placed = source(mine, level);
            own = locate(placed.x, placed.y, levels.item[level]);
            own_share = placed.share;
            broken += poison(placed.x) + poison(placed.y) + poison(placed.share);
        }
        const int count = points - first < GROUP ? points - first : GROUP;
#pragma unroll REPEATS * VECTOR > 4 ? 1 : 2
        for (int other = 0; other < count; ++other) {
            const Point point = from_lane(own, other);
            const real share = __shfl_sync(EVERY_LANE, own_share, other, GROUP);
            add_sample(sum, share, read(map, point, lane), point);
        }
    }
    add_scaled(sum, 1, same(group_sum(broken)));
    return sum;
}
#else
// `gradient` is dLoss / dout. The Sink gets dLoss/da and dLoss/dx, dLoss/dy of each point, in the lane that placed it.
template <class Source, class Sink>
__device__ inline void weighted_sum_backward(const Source& source, const Sink& sink, const Channels& gradient,
                                             const Map& map, const GradientMap& map_gradient, const Levels& levels,
                                             int points, int lane) {
    int level = 0;
    for (int first = 0; first < points; first += GROUP) {
        const int mine = first + lane;
        Point own = no_point();
        real own_share = 0;
        real broken = 0;
        if (mine < points) {
            while (mine >= levels.item[level].end) {
                ++level;
            }
            const Placed placed = source(mine, level);
            own = locate(placed.x, placed.y, levels.item[level]);
            own_share = placed.share;
            broken = poison(placed.x) + poison(placed.y) + poison(placed.share);
        }
        PointGradient own_gradient = {0, 0, 0};
        const int count = points - first < GROUP ? points - first : GROUP;
#pragma unroll 1
        for (int other = 0; other < count; ++other) {
            const Point point = from_lane(own, other);
            const real share = __shfl_sync(EVERY_LANE, own_share, other, GROUP);
            const PointGradient whole = complete(point_gradient(gradient, read(map, point, lane), point));
            scatter(map_gradient, share, gradient, point, lane);
            own_gradient = lane == other ? whole : own_gradient;
        }
        if (mine < points && map_gradient.real_one) {
            sink(mine, level, own_gradient.along + broken, own_share * own_gradient.x + broken,
                 own_share * own_gradient.y + broken);
        }
    }
}
#endif

#endif
