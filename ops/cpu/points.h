// Reads the locations and weights of one query and head from the caller's tensors.
#pragma once

#include "packing.h"

namespace {

// Queries of the same head lie far from each other; the processor does not see them coming.
constexpr int64_t queries_to_prefetch = 8;

// Queries whose points are placed before the first of them is sampled: the processor need not wait for one to end
// before it can start to read the pixels of the next.
constexpr int64_t queries_at_once = 8;

CAFFDET_INLINE void prefetch(const void* from, int64_t bytes) {
    const char* start = static_cast<const char*>(from);
    for (int64_t at = 0; at < bytes; at += Scratch::line) __builtin_prefetch(start + at);
}

// Rows of `count` numbers that can be read to the next multiple of `group`: in their place where that reads nothing
// else, otherwise from a copy, in which zeros follow.
template <class A>
class RowReader {
public:
    static int64_t bytes(int64_t count) { return Scratch::bytes<A>(padded<A>(count) + lanes<A>); }

    RowReader(int64_t count, int64_t group, Scratch& scratch)
        : count_(count), in_place_(count % group == 0), copy_(scratch.take<A>(padded<A>(count) + lanes<A>)) {}

    template <class E>
    CAFFDET_INLINE const A* operator()(const E* row) const {
        if constexpr (std::is_same<E, A>::value) {
            if (__builtin_expect(in_place_, 1)) return row;
        }
        widen_row(row, copy_, count_);
        return copy_;
    }

private:
    int64_t count_;
    bool in_place_;
    A* copy_;
};

// Weights or logits, which have the type of the value or are float32.
template <class T>
class WeightReader {
public:
    using A = Accumulator<T>;

    static int64_t bytes(int64_t count) { return RowReader<A>::bytes(count); }

    WeightReader(const void* weights, bool wide, int64_t count, Scratch& scratch)
        : weights_(weights), wide_(wide), row_(count, lanes<A>, scratch) {}

    CAFFDET_INLINE const A* operator()(int64_t at) const {
        if (wide_) return row_(static_cast<const float*>(weights_) + at);
        return row_(static_cast<const T*>(weights_) + at);
    }

    CAFFDET_INLINE void expect(int64_t at, int64_t count) const {
        const int64_t size = wide_ ? int64_t(sizeof(float)) : int64_t(sizeof(T));
        prefetch(static_cast<const char*>(weights_) + at * size, count * size);
    }

private:
    const void* weights_;
    bool wide_;
    RowReader<A> row_;
};

// Locations (points, 2) and weights (points) of one query and head, readable in whole vectors.
template <class A>
struct Points {
    const A* locations;
    const A* weights;
};

// Locations (N, Q, M, K, 2) and weights (N, Q, M, K) as they are.
template <class T>
class GivenPoints {
public:
    using A = Accumulator<T>;

    GivenPoints(const caffdet_problem& problem, const void* locations, const void* weights)
        : heads_(problem.heads),
          points_(problem.points),
          locations_(static_cast<const A*>(locations)),
          weights_(weights),
          wide_(problem.weights_dtype == CAFFDET_FLOAT32) {}

    static int64_t bytes(const caffdet_problem& problem) {
        return RowReader<A>::bytes(2 * problem.points) + WeightReader<T>::bytes(problem.points);
    }

    // Reads the points of a range; one for each thread.
    class Reader {
    public:
        Reader(const GivenPoints& given, const Geometry<A>&, const LevelRange& range, Scratch& scratch)
            : given_(given),
              range_(range),
              location_(2 * range.points, 2 * lanes<A>, scratch),
              weight_(given.weights_, given.wide_, range.points, scratch) {}

        // `index` counts queries and heads: (picture * Q + query) * M + head.
        CAFFDET_INLINE Points<A> operator()(int64_t index) const {
            const int64_t at = index * given_.points_ + range_.first_point;
            const int64_t ahead = at + queries_to_prefetch * given_.heads_ * given_.points_;
            prefetch(given_.locations_ + 2 * ahead, 2 * range_.points * int64_t(sizeof(A)));
            weight_.expect(ahead, range_.points);
            return {location_(given_.locations_ + 2 * at), weight_(at)};
        }

    private:
        const GivenPoints& given_;
        LevelRange range_;
        RowReader<A> location_;
        WeightReader<T> weight_;
    };

private:
    int64_t heads_, points_;
    const A* locations_;
    const void* weights_;
    bool wide_;
};

}  // namespace
