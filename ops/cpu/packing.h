// Copies of the maps of one head, in which the channels of neighbouring tokens follow each other.
//
// In a tensor (N, S, M, D) a head's pixels are M * D numbers apart: they use a part of each page and few of the sets of
// a cache. Where pixels are read or added to many times it pays to copy the map of the head that is being worked on,
// and to copy its gradient back. A copy holds one picture and head of a tensor; each thread has its own.
#pragma once

#include "dispatch.h"

namespace {

// Queries of one head that are done before those of the next, so that what neighbours share stays in the cache.
constexpr int64_t queries_of_a_task = 16;

template <class T>
class Packing {
public:
    using A = Accumulator<T>;

    Packing() = default;  // copies nothing

    // Decides what is copied. `tensors` are those that are sampled: 1, or 2 for value and key. All copies of all
    // threads together take at most 1.2 times the memory of the value.
    Packing(const caffdet_problem& problem, int64_t threads, int64_t tensors, bool with_gradients)
        : map_(problem.tokens * problem.channels), channels_(problem.channels), tensors_(tensors) {
        if (problem.heads == 1 || threads > problem.batch * problem.heads) return;
        const int64_t values = problem.batch * problem.heads * map_ * int64_t(sizeof(T));
        const int64_t of_gradients = tensors * threads * Scratch::bytes<A>(map_);
        const int64_t of_maps = tensors * threads * Scratch::bytes<T>(map_);
        const int64_t limit = values + values / 5;
        gradients_ = with_gradients && of_gradients <= limit;
        const int64_t reads = problem.queries * problem.points * corners_of_a_point;
        const bool read_often = reads >= reads_that_pay * problem.tokens;
        maps_ = read_often && of_maps + (gradients_ ? of_gradients : 0) <= limit;
    }

    bool maps() const { return maps_; }
    bool gradients() const { return gradients_; }

    // Of one thread.
    int64_t bytes() const {
        return tensors_ * ((maps_ ? Scratch::bytes<T>(map_) : 0) + (gradients_ ? Scratch::bytes<A>(map_) : 0));
    }

    // The map, or its copy; `down` are the steps between the rows of a copied map.
    Map<const T> packed(const Map<const T>& map, const int64_t* down, Scratch& scratch) const {
        if (!maps_) return map;
        T* copy = scratch.take<T>(map_);
        const size_t row = size_t(channels_) * sizeof(T);
        for (int64_t at = 0, token = 0; at < map_; at += channels_, ++token)
            memcpy(copy + at, map.base + token * map.stride, row);
        return {copy, channels_, down};
    }

    // Zeros to add to: the gradient itself, or what finish() copies to it.
    Map<A> start(const Map<A>& gradient, int64_t first_token, int64_t last_token, const int64_t* down,
                 Scratch& scratch) const {
        if (!gradients_) {
            clear(gradient, first_token, last_token, channels_);
            return gradient;
        }
        A* copy = scratch.take<A>(map_);
        memset(copy, 0, size_t(map_) * sizeof(A));
        return {copy, channels_, down};
    }

    void finish(const Map<A>& copy, const Map<A>& gradient) const {
        if (!gradients_) return;
        const size_t row = size_t(channels_) * sizeof(A);
        for (int64_t at = 0, token = 0; at < map_; at += channels_, ++token)
            memcpy(gradient.base + token * gradient.stride, copy.base + at, row);
    }

private:
    static constexpr int64_t reads_that_pay = 8;  // of each pixel, on average

    int64_t map_ = 0, channels_ = 0, tensors_ = 0;
    bool maps_ = false, gradients_ = false;
};

// How a forward pass is divided: by picture and head if their maps are copied, otherwise by picture and queries.
template <class T>
struct Tasks {
    int64_t heads, queries, parts, count, threads;
    Packing<T> packing;

    Tasks(const caffdet_problem& problem, int64_t tensors)
        : heads(problem.heads),
          queries(problem.queries),
          parts((queries + queries_of_a_task - 1) / queries_of_a_task),
          count(problem.batch * heads),
          threads(threads_for(problem, count)),
          packing(problem, threads, tensors, false) {
        // Not if threads would wait for those that have one head more to do.
        if (packing.maps() && (count % threads == 0 || count >= 4 * threads) && threads == problem.threads) return;
        packing = Packing<T>();
        count = problem.batch * parts;
        threads = threads_for(problem, count);
    }

    // Calls body(picture, head, first query, end of the queries).
    template <class Body>
    CAFFDET_INLINE void each_head(int64_t task, const Body& body) const {
        if (packing.maps()) return body(task / heads, task % heads, int64_t(0), queries);
        const int64_t first = task % parts * queries_of_a_task, end = first + queries_of_a_task;
        for (int64_t head = 0; head < heads; ++head) body(task / parts, head, first, end < queries ? end : queries);
    }
};

}  // namespace
