// Where a point samples: the mathematics that all operators share.
//
// A point at (u, v), fractions of the level's width W and height H, lies in pixels at
//     x = u W - 1/2,  y = v H - 1/2                         (pixel centres at integers)
// and is used if and only if -1 < x < W and -1 < y < H. With x0 = floor(x), fx = x - x0, y0 = floor(y), fy = y - y0 it
// reads the four corners c_ij = map[y0 + j, x0 + i], i and j in {0, 1}, zero where outside the map:
//     sample = sum_ij X_i Y_j c_ij,   X = (1 - fx, fx),  Y = (1 - fy, fy)
// If the loss changes by e_ij when corner ij of this point changes by one in the direction that matters, then
//     dloss/du = W [Y_0 (e_10 - e_00) + Y_1 (e_11 - e_01)],   dloss/dv = H [X_0 (e_01 - e_00) + X_1 (e_11 - e_10)]
// Corners are numbered i + 2 j. A location that is not finite is outside, and makes the `poison` of its query NaN.
#pragma once

#include "abi.h"
#include "lanes.h"
#include "parallel.h"

namespace {

constexpr int corners_of_a_point = 4;

// The levels, and per point the numbers of its level, padded to whole vectors.
template <class A>
struct Geometry {
    const int64_t* sizes;
    int64_t levels, points;
    int64_t* first_point;  // (L + 1)
    int64_t* first_token;  // (L + 1)
    A *width, *height;     // (K padded)
    Integer<A>*columns, *rows, *start;

    static int64_t bytes(const caffdet_problem& problem) {
        const int64_t count = padded<A>(problem.points) + lanes<A>;
        return 2 * Scratch::bytes<int64_t>(problem.levels + 1) + 2 * Scratch::bytes<A>(count) +
               3 * Scratch::bytes<Integer<A>>(count);
    }

    Geometry(const caffdet_problem& problem, Scratch& scratch)
        : sizes(problem.sizes), levels(problem.levels), points(problem.points) {
        const int64_t count = padded<A>(points) + lanes<A>;
        first_point = scratch.take<int64_t>(levels + 1);
        first_token = scratch.take<int64_t>(levels + 1);
        width = scratch.take<A>(count);
        height = scratch.take<A>(count);
        columns = scratch.take<Integer<A>>(count);
        rows = scratch.take<Integer<A>>(count);
        start = scratch.take<Integer<A>>(count);
        for (int64_t level = 0; level < levels; ++level) {
            const int64_t level_height = sizes[2 * level], level_width = sizes[2 * level + 1];
            first_point[level + 1] = first_point[level] + problem.level_points[level];
            first_token[level + 1] = first_token[level] + level_height * level_width;
            for (int64_t point = first_point[level]; point < first_point[level + 1]; ++point) {
                width[point] = A(level_width);
                height[point] = A(level_height);
                columns[point] = Integer<A>(level_width);
                rows[point] = Integer<A>(level_height);
                start[point] = Integer<A>(first_token[level]);
            }
        }
        // Lanes that are no points lie outside: no x is smaller than a width of -1.
        for (int64_t point = points; point < count; ++point) width[point] = height[point] = A(-1);
    }

    static int64_t down_bytes(const caffdet_problem& problem) {
        return Scratch::bytes<int64_t>(padded<A>(problem.points) + lanes<A>);
    }

    // Per point, how far apart two rows of its level are in a map whose tokens are `stride` apart.
    const int64_t* down(int64_t stride, Scratch& scratch) const {
        int64_t* steps = scratch.take<int64_t>(padded<A>(points) + lanes<A>);
        for (int64_t point = 0; point < points; ++point) steps[point] = int64_t(columns[point]) * stride;
        return steps;
    }
};

// The points of one query and head that belong to levels [first, last): the part of the work that is done at once.
struct LevelRange {
    int64_t first_level, last_level;
    int64_t first_point, points;

    template <class A>
    LevelRange(const Geometry<A>& geometry, int64_t first, int64_t last)
        : first_level(first),
          last_level(last),
          first_point(geometry.first_point[first]),
          points(geometry.first_point[last] - geometry.first_point[first]) {}
};

// What is known of as many points as a vector has lanes. Those of one query and head are some blocks in a row, in which
// lanes that are no points come last.
template <class A>
struct alignas(64) Block {
    Integer<A> token[lanes<A>];  // of corner 0
    Integer<A> used[lanes<A>];   // bit c: corner c lies on the map; 0: the point is not used
    A fx[lanes<A>], fy[lanes<A>];
    A poison[lanes<A>];  // 0, or NaN where the location is not finite
    A weight[corners_of_a_point][lanes<A>];  // X_i Y_j, times whatever the operator multiplies a sample with
};

template <class A>
constexpr int64_t blocks(int64_t points) {
    return padded<A>(points) / lanes<A>;
}

// Fills the blocks but for `weight`. `locations` (points padded, 2) are those of the range.
template <class A>
CAFFDET_ONCE void place(const Geometry<A>& geometry, const LevelRange& range, const A* locations, Block<A>* block) {
    using V = Vector<A>;
    using I = Integers<A>;
    for (int64_t k = 0; k < range.points; k += lanes<A>, ++block) {
        const V pairs = load<V>(locations + 2 * k), more = load<V>(locations + 2 * k + lanes<A>);
        const V u = every_other<A, 0>(pairs, more, AllLanes<A>{}), v = every_other<A, 1>(pairs, more, AllLanes<A>{});
        const int64_t p = range.first_point + k;
        const V width = load<V>(geometry.width + p), height = load<V>(geometry.height + p);
        const I columns = load<I>(geometry.columns + p), rows = load<I>(geometry.rows + p);
        V x = u * width - A(0.5), y = v * height - A(0.5);
        // Bounds before the conversion to integers: huge and non-finite numbers have no integer.
        const I inside = (x > A(-1)) & (x < width) & (y > A(-1)) & (y < height);
        x = inside ? x : V{};
        y = inside ? y : V{};
        I x0 = __builtin_convertvector(x, I), y0 = __builtin_convertvector(y, I);
        x0 += __builtin_convertvector(x0, V) > x;  // the conversion rounds towards zero; true is -1
        y0 += __builtin_convertvector(y0, V) > y;
        const I left = x0 >= 0, right = x0 + 1 < columns, top = y0 >= 0, bottom = y0 + 1 < rows;
        store(block->fx, V(x - __builtin_convertvector(x0, V)));
        store(block->fy, V(y - __builtin_convertvector(y0, V)));
        store(block->poison, V((u - u) + (v - v)));
        store(block->token, I(load<I>(geometry.start + p) + y0 * columns + x0));
        store(block->used,
              I(inside & ((left & top & 1) | (right & top & 2) | (left & bottom & 4) | (right & bottom & 8))));
    }
}

// weight[i + 2 j] = X_i Y_j factor
template <class A>
CAFFDET_ONCE void weigh(const LevelRange& range, const A* factor, Block<A>* block) {
    using V = Vector<A>;
    for (int64_t k = 0; k < range.points; k += lanes<A>, ++block) {
        const V fx = load<V>(block->fx), fy = load<V>(block->fy), scaled = load<V>(factor + k);
        const V upper = (A(1) - fy) * scaled, lower = fy * scaled, left = A(1) - fx;
        store(block->weight[0], V(left * upper));
        store(block->weight[1], V(fx * upper));
        store(block->weight[2], V(left * lower));
        store(block->weight[3], V(fx * lower));
    }
}

// The sum of the poisons of all points, and of what makes the numbers in `factor` not finite.
template <class A>
CAFFDET_ONCE A poison_of(const LevelRange& range, const A* factor, const Block<A>* block) {
    Vector<A> total{};
    for (int64_t k = 0; k < range.points; k += lanes<A>, ++block) {
        const Vector<A> number = load<Vector<A>>(factor + k);
        total += load<Vector<A>>(block->poison) + (number - number);
    }
    return sum<A>(total);
}

// Writes dloss/d(u, v) of `points` points from the e_ij, which are in corner[i + 2 j].
template <class A>
CAFFDET_INLINE void store_location_gradient(const Geometry<A>& geometry, const LevelRange& range, int64_t k,
                                            const Block<A>& block, const Vector<A>* corner, A* gradient) {
    using V = Vector<A>;
    const V fx = load<V>(block.fx), fy = load<V>(block.fy), poison = load<V>(block.poison);
    const V upper = corner[1] - corner[0], lower = corner[3] - corner[2];
    const V left = corner[2] - corner[0], right = corner[3] - corner[1];
    const V width = load<V>(geometry.width + range.first_point + k);
    const V height = load<V>(geometry.height + range.first_point + k);
    const V du = width * (upper + fy * (lower - upper)) + poison, dv = height * (left + fx * (right - left)) + poison;
    const V pairs = in_turns<A, 0>(du, dv, AllLanes<A>{}), more = in_turns<A, 1>(du, dv, AllLanes<A>{});
    const int64_t left_over = 2 * (range.points - k);
    if (left_over >= 2 * lanes<A>) {
        store(gradient + 2 * k, pairs);
        store(gradient + 2 * k + lanes<A>, more);
    } else {
        A both[2 * lanes<A>];
        store(both, pairs);
        store(both + lanes<A>, more);
        memcpy(gradient + 2 * k, both, size_t(left_over) * sizeof(A));
    }
}

// Writes the lanes of one vector that are points.
template <class A>
CAFFDET_INLINE void store_points(int64_t points, int64_t k, const Vector<A>& numbers, A* to) {
    if (points - k >= lanes<A>) {
        store(to + k, numbers);
    } else {
        memcpy(to + k, &numbers, size_t(points - k) * sizeof(A));
    }
}

}  // namespace
