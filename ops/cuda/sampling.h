// The mathematics that all operators share: where a point lies, what it reads, what its gradients are.
//
// A point (u, v), in units of the level's size, of a level of W x H pixels whose centres lie at integers:
//     x = u W - 1/2,  y = v H - 1/2,  used only where -1 < x < W and -1 < y < H
//     x0 = floor(x),  X_0 = 1 - (x - x0),  X_1 = x - x0        (the same for y)
//     c_ij = pixel (x0 + i, y0 + j), or 0 outside the level    (i, j in {0, 1})
//     sample = sum_ij X_i Y_j c_ij
// With a vector w = dLoss / dsample and d_ij = <w, c_ij>:
//     <w, sample> = Y_0 (X_0 d_00 + X_1 d_10) + Y_1 (X_0 d_01 + X_1 d_11)
//     dLoss/dx    = Y_0 (d_10 - d_00) + Y_1 (d_11 - d_01)      dLoss/du = W dLoss/dx
//     dLoss/dy    = X_0 (d_01 - d_00) + X_1 (d_11 - d_10)      dLoss/dv = H dLoss/dy
//     dLoss/dpixel(x0 + i, y0 + j) += X_i Y_j w
#ifndef CAFFDET_SAMPLING_H
#define CAFFDET_SAMPLING_H

#include "accumulate.h"
#include "channels.h"

// `start`: token of the first pixel. `end`: number of points of this and all earlier levels.
struct Level {
    int height, width, start, end;
};

struct Levels {
    Level item[LEVEL_CAPACITY];
};

// Which (query, head) of which picture a group of lanes works on.
struct Pair {
    int batch, query, head, lane;
    int64 index;  // of the pair, in (batch, query, head) order
    bool real_one;
};

// Blocks run through the queries first, then the heads, then the batch: neighbours on one multiprocessor then read
// the same head of the same picture. A pair past the last query repeats that query, so that no lane leaves early.
__device__ inline Pair this_pair(int queries, int heads) {
    const unsigned query_blocks = (static_cast<unsigned>(queries) + PAIRS - 1) / PAIRS;
    const unsigned picture_and_head = blockIdx.x / query_blocks;
    Pair pair;
    pair.lane = static_cast<int>(threadIdx.x % GROUP);
    pair.query = static_cast<int>(blockIdx.x % query_blocks * PAIRS + threadIdx.x / GROUP);
    pair.head = static_cast<int>(picture_and_head % static_cast<unsigned>(heads));
    pair.batch = static_cast<int>(picture_and_head / static_cast<unsigned>(heads));
    pair.real_one = pair.query < queries;
    pair.query = pair.real_one ? pair.query : queries - 1;
    pair.index = (static_cast<int64>(pair.batch) * queries + pair.query) * heads + pair.head;
    return pair;
}

// One picture's pixels of one head, from the lane's first channel on. Strides in bytes: token times stride is then one
// instruction with a 64-bit result.
struct Map {
    int64 base;
    int token_bytes;
};

__device__ inline Map map_of(const value_t* pixels, const Pair& pair, int64 batch_stride, int token_stride,
                             int head_stride) {
    const value_t* own =
        pixels + pair.batch * batch_stride + static_cast<int64>(pair.head) * head_stride + pair.lane * VECTOR;
    return {reinterpret_cast<int64>(own), token_stride * static_cast<int>(sizeof(value_t))};
}

// A point that is ready to be read. `shape`: 16 width + bits of the corners inside: 1 (0, 0), 2 (1, 0), 4 (0, 1),
// 8 (1, 1). Packed, because each member costs one shuffle per point.
struct Point {
    real x_part, y_part;
    int token;  // of pixel (x0, y0), which may lie outside
    int shape;
};

__device__ inline Point no_point() { return {0, 0, 0, 0}; }

// The bounds are tested before anything becomes an integer: NaN, infinite and huge positions are outside.
__device__ inline Point locate(real x, real y, const Level& level) {
    if (!(x > -1 && x < static_cast<real>(level.width) && y > -1 && y < static_cast<real>(level.height))) {
        return no_point();
    }
    const real left = floor(x);
    const real top = floor(y);
    const int column = static_cast<int>(left);
    const int row = static_cast<int>(top);
    const int columns = (column >= 0 ? 1 : 0) | (column + 1 < level.width ? 2 : 0);
    const int corners = (row >= 0 ? columns : 0) | (row + 1 < level.height ? columns << 2 : 0);
    return {x - left, y - top, level.start + row * level.width + column, level.width << 4 | corners};
}

// 0 for finite numbers and NaN otherwise: added to a result, it keeps a broken input visible.
__device__ inline real poison(real number) { return number - number; }

__device__ inline Point from_lane(const Point& point, int lane) {
    return {__shfl_sync(EVERY_LANE, point.x_part, lane, GROUP), __shfl_sync(EVERY_LANE, point.y_part, lane, GROUP),
            __shfl_sync(EVERY_LANE, point.token, lane, GROUP), __shfl_sync(EVERY_LANE, point.shape, lane, GROUP)};
}

// Number of a corner's token relative to `Point::token`; corner = i + 2 j.
__device__ inline int corner_token(const Point& point, int corner) {
    return point.token + (corner & 1) + (corner & 2 ? point.shape >> 4 : 0);
}

struct Corners {
    Pixel item[4];
};

__device__ inline Pixel read_corner(const Map& map, const Point& point, int corner, int lane) {
    const int64 row = row_address(map.base, corner_token(point, corner), map.token_bytes);
    return load_pixel(reinterpret_cast<const value_t*>(row), lane);
}

// A corner outside is 0 without being read: memory that is not sampled may hold anything. Most points have all corners
// inside; without a condition on each, their reads are issued together instead of one after the other.
__device__ inline Corners read(const Map& map, const Point& point, int lane) {
    Corners corners;
    if ((point.shape & 15) == 15) {
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
            corners.item[corner] = read_corner(map, point, corner, lane);
        }
        return corners;
    }
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
        corners.item[corner] = {};
        if (point.shape & 1 << corner) {
            corners.item[corner] = read_corner(map, point, corner, lane);
        }
    }
    return corners;
}

__device__ inline real corner_share(const Point& point, int corner) {
    const real across = corner & 1 ? point.x_part : 1 - point.x_part;
    const real down = corner & 2 ? point.y_part : 1 - point.y_part;
    return across * down;
}

// sum += factor * sample
__device__ inline void add_sample(Channels& sum, real factor, const Corners& corners, const Point& point) {
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
        add_scaled(sum, factor * corner_share(point, corner), widen(corners.item[corner]));
    }
}

// What a point's gradients are made of; x and y in pixels.
struct PointGradient {
    real along;  // <w, sample>
    real x, y;
};

// A lane's part; `complete` sums it over the group.
__device__ inline PointGradient point_gradient(const Channels& w, const Corners& corners, const Point& point) {
    real d[4];
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
        d[corner] = dot(w, widen(corners.item[corner]));
    }
    const real x1 = point.x_part, x0 = 1 - x1, y1 = point.y_part, y0 = 1 - y1;
    return {y0 * (x0 * d[0] + x1 * d[1]) + y1 * (x0 * d[2] + x1 * d[3]), y0 * (d[1] - d[0]) + y1 * (d[3] - d[2]),
            x0 * (d[2] - d[0]) + x1 * (d[3] - d[1])};
}

__device__ inline PointGradient complete(const PointGradient& part) {
    return {group_sum(part.along), group_sum(part.x), group_sum(part.y)};
}

#if PASS > 0
// pixel gradient += factor X_i Y_j w
__device__ inline void scatter(const GradientMap& map, real factor, const Channels& w, const Point& point, int lane) {
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
        map.add((point.shape & 1 << corner) != 0, corner_token(point, corner),
                factor * corner_share(point, corner), w, lane);
    }
}
#endif

#endif
