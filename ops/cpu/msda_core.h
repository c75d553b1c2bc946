// Forward and backward of multi-scale deformable attention for any source of locations and weights.
//
// With a_k the weight of point k and g = dloss/doutput of the query and head:
//     output = sum_k a_k sample_k
//     e_ij = a_k <g, c_ij>   (dloss/d(u, v) follows as in sampling.h)
//     dloss/da_k = sum_ij X_i Y_j <g, c_ij>
//     dloss/dc_ij += a_k X_i Y_j g
#pragma once

#include "points.h"

namespace {

template <class T, class R, class Source>
int msda_forward(const caffdet_problem& problem, const void* value, const Source& source, void* output) {
    using A = Accumulator<T>;
    const int64_t channels = problem.channels, heads = problem.heads, points = problem.points;
    const Tasks<T> work(problem, 1);
    const int64_t common =
        Geometry<A>::bytes(problem) + 2 * Geometry<A>::down_bytes(problem) + Scratch::bytes<T>(channels);
    const int64_t each = Scratch::bytes<Block<A>>(queries_at_once * blocks<A>(points)) + Source::bytes(problem) +
                         Scratch::bytes<A>(channels);
    const Memory memory(common + work.threads * each), copies(work.threads * work.packing.bytes(), false);
    if (!memory || !copies) return CAFFDET_OUT_OF_MEMORY;
    Scratch scratch(memory.start());
    const Geometry<A> geometry(problem, scratch);
    const LevelRange range(geometry, 0, problem.levels);
    const Maps<const T> values(static_cast<const T*>(value), problem.value_strides, geometry, scratch);
    const int64_t* packed_down = geometry.down(channels, scratch);
    const T* zeros = scratch.take<T>(channels);

    parallel_for(work.threads, work.count, [&](int64_t task, int64_t thread) {
        Scratch own(memory.start() + common + thread * each);
        Block<A>* places = own.take<Block<A>>(queries_at_once * blocks<A>(points));
        const typename Source::Reader points_of(source, geometry, range, own);
        A* row = own.take<A>(channels);
        A poison[queries_at_once];
        work.each_head(task, [&](int64_t picture, int64_t head, int64_t first_query, int64_t last_query) {
            Scratch copy(copies.start() + thread * work.packing.bytes());
            const Map<const T> map = work.packing.packed(values.of(picture, head), packed_down, copy);
            for (int64_t first = first_query; first < last_query; first += queries_at_once) {
                const int64_t left = last_query - first, count = left < queries_at_once ? left : queries_at_once;
                const int64_t index = (picture * problem.queries + first) * heads + head;
                for (int64_t i = 0; i < count; ++i) {
                    Block<A>* const mine = places + i * blocks<A>(points);
                    const Points<A> point = points_of(index + i * heads);
                    place(geometry, range, point.locations, mine);
                    weigh(range, point.weights, mine);
                    poison[i] = poison_of(range, point.weights, mine);
                }
                for (int64_t i = 0; i < count; ++i)
                    R::gather(points, places + i * blocks<A>(points), map, zeros, poison[i],
                              static_cast<T*>(output) + (index + i * heads) * channels, channels, row);
            }
        });
    });
    return CAFFDET_OK;
}

// Gradients of the locations (points, 2) and weights (points) of one query and head from the <g, c_ij> in `dots`.
template <class A>
CAFFDET_ONCE void point_gradients(const Geometry<A>& geometry, const LevelRange& range, const Block<A>* block,
                                    const A* weights, const A* dots, A* grad_locations, A* grad_weights) {
    using V = Vector<A>;
    for (int64_t k = 0; k < range.points; k += lanes<A>, ++block) {
        V corner[corners_of_a_point];
        by_corner<A>(dots + corners_of_a_point * k, corner);
        store_points<A>(range.points, k, V(bilinear(*block, corner) + load<V>(block->poison)), grad_weights);
        const V factor = load<V>(weights + k);
        for (V& dot : corner) dot *= factor;
        store_location_gradient<A>(geometry, range, k, *block, corner, grad_locations);
    }
}

// A slice of the gradient of value, that of one picture, head and level, gets its additions in the order of the
// queries, whoever does it: the result does not depend on the number of threads.
template <class T, class R, class Source>
int msda_backward(const caffdet_problem& problem, const void* value, const Source& source, const void* grad_output,
                  void* grad_value, Accumulator<T>* grad_locations, Accumulator<T>* grad_weights) {
    using A = Accumulator<T>;
    const int64_t channels = problem.channels, heads = problem.heads, queries = problem.queries;
    const int64_t slices = problem.batch * heads, parts = slices < problem.threads ? problem.levels : 1;
    const int64_t tasks = slices * parts, threads = threads_for(problem, tasks);
    const int64_t most_points = padded<A>(problem.points);
    const int64_t common =
        Geometry<A>::bytes(problem) + 3 * Geometry<A>::down_bytes(problem) + Scratch::bytes<T>(channels);
    const int64_t each = Scratch::bytes<Block<A>>(blocks<A>(most_points)) + Source::bytes(problem) +
                         Scratch::bytes<A>(corners_of_a_point * most_points) + Scratch::bytes<A>(channels);
    const Packing<T> packing(problem, threads, 1, true);
    const Memory memory(common + threads * each), copies(threads * packing.bytes(), false);
    if (!memory || !copies) return CAFFDET_OUT_OF_MEMORY;
    Scratch scratch(memory.start());
    const Geometry<A> geometry(problem, scratch);
    const Maps<const T> values(static_cast<const T*>(value), problem.value_strides, geometry, scratch);
    const Maps<A> gradients = gradient_maps<A>(grad_value, problem, geometry, scratch);
    const int64_t* packed_down = geometry.down(channels, scratch);
    const T* zeros = scratch.take<T>(channels);

    parallel_for(threads, tasks, [&](int64_t task, int64_t thread) {
        // The largest level is the first one in most models, and its tasks start first.
        const int64_t part = task / slices, picture = task % slices / heads, head = task % slices % heads;
        const LevelRange range(geometry, parts == 1 ? 0 : part, parts == 1 ? problem.levels : part + 1);
        Scratch own(memory.start() + common + thread * each);
        Block<A>* places = own.take<Block<A>>(blocks<A>(most_points));
        const typename Source::Reader points_of(source, geometry, range, own);
        A* dots = own.take<A>(corners_of_a_point * most_points);
        A* row = own.take<A>(channels);
        Scratch copy(copies.start() + thread * packing.bytes());
        const Map<const T> map = packing.packed(values.of(picture, head, range.first_point), packed_down, copy);
        const Map<A> whole = gradients.of(picture, head, range.first_point);
        const Map<A> gradient = packing.start(whole, geometry.first_token[range.first_level],
                                              geometry.first_token[range.last_level], packed_down, copy);
        for (int64_t query = 0; query < queries; ++query) {
            const int64_t index = (picture * queries + query) * heads + head;
            const int64_t at = index * problem.points + range.first_point;
            const T* grad = static_cast<const T*>(grad_output) + index * channels;
            prefetch(grad + queries_to_prefetch * heads * channels, channels * int64_t(sizeof(T)));
            widen_row(grad, row, channels);
            const Points<A> point = points_of(index);
            place(geometry, range, point.locations, places);
            weigh(range, point.weights, places);
            R::corner_dots(range.points, places, map, zeros, row, dots, channels);
            point_gradients(geometry, range, places, point.weights, dots, grad_locations + 2 * at, grad_weights + at);
            R::scatter(range.points, places, gradient, row, channels);
        }
        packing.finish(gradient, whole);
    });
    return CAFFDET_OK;
}

}  // namespace
