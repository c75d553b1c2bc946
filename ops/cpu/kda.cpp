// Key-aware deformable attention: the weights of the points follow from what the points read (Lite-DETR).
//
// With k_p and v_p the key and value sampled at point p as in sampling.h, and q the query of the head:
//     s_p = scale <q, k_p>,   alpha = softmax of s over all K points,   output = sum_p alpha_p v_p
// A point off the map samples zeros: its s_p is 0, not minus infinity, and it keeps its share of the softmax.
// With g = dloss/doutput:
//     da_p = <g, v_p>,   ds_p = scale alpha_p (da_p - sum_j alpha_j da_j)
//     dq = sum_p ds_p k_p,   dk_p = ds_p q,   dv_p = alpha_p g
//     dloss/dc_ij += X_i Y_j dk_p in the key, X_i Y_j dv_p in the value; one map gets both where key is value
//     e_ij = ds_p <q, K_ij> + alpha_p <g, V_ij>   (dloss/d(u, v) follows as in sampling.h)
// Samples are kept for one query and head at a time, and only inputs are needed for the backward pass.

#include "points.h"
#include "softmax.h"

namespace {

// What a thread works with; for `queries` queries at once.
template <class A>
struct Workspace {
    Block<A>* places;   // (queries, blocks of K)
    A* logits;          // (queries, K), then the softmax
    A* samples;         // (queries, K, D)
    A* ones;            // (K)
    A* ds;              // (K)
    A* query;           // (D)
    A* grad;            // (D)
    A* row;             // (D)
    A* key_dots;        // (K, 4)
    A* value_dots;      // (K, 4)
    RowReader<A> location;

    static int64_t bytes(const caffdet_problem& problem, int64_t queries) {
        const int64_t points = padded<A>(problem.points), channels = padded<A>(problem.channels);
        return Scratch::bytes<Block<A>>(queries * blocks<A>(points)) + Scratch::bytes<A>(queries * points) +
               Scratch::bytes<A>(queries * points * problem.channels) + 2 * Scratch::bytes<A>(points) +
               3 * Scratch::bytes<A>(channels) + 2 * Scratch::bytes<A>(corners_of_a_point * points) +
               RowReader<A>::bytes(2 * points);
    }

    Workspace(const caffdet_problem& problem, int64_t queries, Scratch scratch)
        : places(scratch.take<Block<A>>(queries * blocks<A>(problem.points))),
          logits(scratch.take<A>(queries * padded<A>(problem.points))),
          samples(scratch.take<A>(queries * padded<A>(problem.points) * problem.channels)),
          ones(scratch.take<A>(padded<A>(problem.points))),
          ds(scratch.take<A>(padded<A>(problem.points))),
          query(scratch.take<A>(padded<A>(problem.channels))),
          grad(scratch.take<A>(padded<A>(problem.channels))),
          row(scratch.take<A>(padded<A>(problem.channels))),
          key_dots(scratch.take<A>(corners_of_a_point * padded<A>(problem.points))),
          value_dots(scratch.take<A>(corners_of_a_point * padded<A>(problem.points))),
          location(2 * problem.points, 2 * lanes<A>, scratch) {
        for (int64_t k = 0; k < problem.points; ++k) ones[k] = 1;
    }
};

template <class T, class R>
struct Forward {
    using A = Accumulator<T>;
    using V = Vector<A>;

    static int run(const caffdet_problem& problem, const void* query, const void* key, const void* value,
                   const void* locations, void* output) {
        const int64_t channels = problem.channels, heads = problem.heads;
        const Tasks<T> work(problem, key ? 2 : 1);
        const int64_t common =
            Geometry<A>::bytes(problem) + 3 * Geometry<A>::down_bytes(problem) + Scratch::bytes<T>(channels);
        const int64_t each = Workspace<A>::bytes(problem, queries_at_once);
        const Memory memory(common + work.threads * each), copies(work.threads * work.packing.bytes(), false);
        if (!memory || !copies) return CAFFDET_OUT_OF_MEMORY;
        Scratch scratch(memory.start());
        const Geometry<A> geometry(problem, scratch);
        const LevelRange range(geometry, 0, problem.levels);
        const Maps<const T> values(static_cast<const T*>(value), problem.value_strides, geometry, scratch);
        const Maps<const T> keys(static_cast<const T*>(key), problem.key_strides, geometry, scratch);
        const int64_t* packed_down = geometry.down(channels, scratch);
        const T* zeros = scratch.take<T>(channels);

        parallel_for(work.threads, work.count, [&](int64_t task, int64_t thread) {
            const Workspace<A> own(problem, queries_at_once, Scratch(memory.start() + common + thread * each));
            work.each_head(task, [&](int64_t picture, int64_t head, int64_t first_query, int64_t last_query) {
                Scratch copy(copies.start() + thread * work.packing.bytes());
                const Map<const T> value_map = work.packing.packed(values.of(picture, head), packed_down, copy);
                const Map<const T> key_map =
                    key ? work.packing.packed(keys.of(picture, head), packed_down, copy) : value_map;
                for (int64_t first = first_query; first < last_query; first += queries_at_once) {
                    const int64_t left = last_query - first, count = left < queries_at_once ? left : queries_at_once;
                    const int64_t index = (picture * problem.queries + first) * heads + head;
                    few(problem, geometry, range, own, key_map, value_map, zeros, query, key != nullptr, locations,
                        output, index, count);
                }
            });
        });
        return CAFFDET_OK;
    }

private:
    // The queries `index`, `index` + M, ... of one head.
    static void few(const caffdet_problem& problem, const Geometry<A>& geometry, const LevelRange& range,
                    const Workspace<A>& own, const Map<const T>& key_map, const Map<const T>& value_map,
                    const T* zeros, const void* query, bool has_key, const void* locations, void* output,
                    int64_t index, int64_t count) {
        const int64_t channels = problem.channels, heads = problem.heads, points = problem.points;
        const int64_t stride = padded<A>(points);
        A poison[queries_at_once];
        for (int64_t i = 0; i < count; ++i) {
            const A* location = static_cast<const A*>(locations) + 2 * (index + i * heads) * points;
            prefetch(location + 2 * queries_to_prefetch * heads * points, 2 * points * int64_t(sizeof(A)));
            Block<A>* const mine = own.places + i * blocks<A>(points);
            place(geometry, range, own.location(location), mine);
            weigh(range, own.ones, mine);
            poison[i] = poison_of(range, own.ones, mine);
        }
        for (int64_t i = 0; i < count; ++i) {
            const T* row = static_cast<const T*>(query) + (index + i * heads) * channels;
            prefetch(row + queries_to_prefetch * heads * channels, channels * int64_t(sizeof(T)));
            widen_row(row, own.query, channels);
            R::sample_dots(points, own.places + i * blocks<A>(points), key_map, zeros, own.query,
                           own.samples + i * stride * channels, own.logits + i * stride, channels);
        }
        for (int64_t i = 0; i < count; ++i) {
            A* logits = own.logits + i * stride;
            for (int64_t k = 0; k < points; k += lanes<A>)
                store(logits + k, V(load<V>(logits + k) * A(problem.scale)));
            softmax(logits, points);
        }
        for (int64_t i = 0; i < count; ++i) {
            const A* alpha = own.logits + i * stride;
            T* out = static_cast<T*>(output) + (index + i * heads) * channels;
            if (has_key) {
                Block<A>* const mine = own.places + i * blocks<A>(points);
                weigh(range, alpha, mine);
                R::gather(points, mine, value_map, zeros, poison[i], out, channels, own.row);
            } else {
                R::mix(points, own.samples + i * stride * channels, alpha, poison[i], out, channels, own.row);
            }
        }
    }
};

// Fills ds and, in `logits`, alpha; writes the gradient of the locations.
template <class A>
CAFFDET_ONCE void point_gradients(const caffdet_problem& problem, const Geometry<A>& geometry, const LevelRange& range,
                                  const Workspace<A>& own, A* gradient) {
    using V = Vector<A>;
    const A scale = A(problem.scale);
    A* const alpha = own.logits;
    for (int64_t k = 0; k < range.points; k += lanes<A>) {
        const Block<A>& block = own.places[k / lanes<A>];
        V of_key[corners_of_a_point], of_value[corners_of_a_point];
        by_corner<A>(own.key_dots + corners_of_a_point * k, of_key);
        by_corner<A>(own.value_dots + corners_of_a_point * k, of_value);
        store(alpha + k, V(bilinear(block, of_key) * scale + load<V>(block.poison)));
        store(own.ds + k, bilinear(block, of_value));
    }
    softmax(alpha, range.points);
    V total{};
    for (int64_t k = 0; k < range.points; k += lanes<A>) total += load<V>(alpha + k) * load<V>(own.ds + k);
    const A mean = sum<A>(total);
    for (int64_t k = 0; k < range.points; k += lanes<A>) {
        const V share = load<V>(alpha + k), ds = scale * share * (load<V>(own.ds + k) - mean);
        store(own.ds + k, ds);
        V of_key[corners_of_a_point], corner[corners_of_a_point];
        by_corner<A>(own.key_dots + corners_of_a_point * k, of_key);
        by_corner<A>(own.value_dots + corners_of_a_point * k, corner);
        for (int c = 0; c < corners_of_a_point; ++c) corner[c] = ds * of_key[c] + share * corner[c];
        store_location_gradient<A>(geometry, range, k, own.places[k / lanes<A>], corner, gradient);
    }
}

template <class T, class R>
struct Backward {
    using A = Accumulator<T>;

    // A slice of the gradients, that of one picture and head, gets its additions in the order of the queries, whoever
    // does it: the result does not depend on the number of threads.
    static int run(const caffdet_problem& problem, const void* query_rows, const void* key, const void* value,
                   const void* locations, const void* grad_output, void* grad_query, void* grad_key, void* grad_value,
                   void* grad_locations) {
        const int64_t channels = problem.channels, heads = problem.heads, points = problem.points;
        const int64_t tasks = problem.batch * heads, threads = threads_for(problem, tasks);
        const int64_t common =
            Geometry<A>::bytes(problem) + 5 * Geometry<A>::down_bytes(problem) + Scratch::bytes<T>(channels);
        const int64_t each = Workspace<A>::bytes(problem, 1);
        const Packing<T> packing(problem, threads, key ? 2 : 1, true);
        const Memory memory(common + threads * each), copies(threads * packing.bytes(), false);
        if (!memory || !copies) return CAFFDET_OUT_OF_MEMORY;
        Scratch scratch(memory.start());
        const Geometry<A> geometry(problem, scratch);
        const LevelRange range(geometry, 0, problem.levels);
        const Maps<const T> values(static_cast<const T*>(value), problem.value_strides, geometry, scratch);
        const Maps<const T> keys(static_cast<const T*>(key), problem.key_strides, geometry, scratch);
        const Maps<A> value_gradients = gradient_maps<A>(grad_value, problem, geometry, scratch);
        const Maps<A> key_gradients = gradient_maps<A>(grad_key, problem, geometry, scratch);
        const int64_t* packed_down = geometry.down(channels, scratch);
        const T* zeros = scratch.take<T>(channels);

        parallel_for(threads, tasks, [&](int64_t task, int64_t thread) {
            const Workspace<A> own(problem, 1, Scratch(memory.start() + common + thread * each));
            const int64_t picture = task / heads, head = task % heads;
            Scratch copy(copies.start() + thread * packing.bytes());
            const Map<const T> value_map = packing.packed(values.of(picture, head), packed_down, copy);
            const Map<const T> key_map = key ? packing.packed(keys.of(picture, head), packed_down, copy) : value_map;
            const Map<A> value_whole = value_gradients.of(picture, head), key_whole = key_gradients.of(picture, head);
            const Map<A> value_gradient = packing.start(value_whole, 0, problem.tokens, packed_down, copy);
            const Map<A> key_gradient =
                key ? packing.start(key_whole, 0, problem.tokens, packed_down, copy) : value_gradient;
            for (int64_t query = 0; query < problem.queries; ++query) {
                const int64_t index = (picture * problem.queries + query) * heads + head;
                const A* location = static_cast<const A*>(locations) + 2 * index * points;
                const T* query_row = static_cast<const T*>(query_rows) + index * channels;
                const T* grad = static_cast<const T*>(grad_output) + index * channels;
                prefetch(location + 2 * queries_to_prefetch * heads * points, 2 * points * int64_t(sizeof(A)));
                prefetch(query_row + queries_to_prefetch * heads * channels, channels * int64_t(sizeof(T)));
                prefetch(grad + queries_to_prefetch * heads * channels, channels * int64_t(sizeof(T)));
                widen_row(query_row, own.query, channels);
                widen_row(grad, own.grad, channels);
                place(geometry, range, own.location(location), own.places);
                R::corner_dots(points, own.places, key_map, zeros, own.query, own.key_dots, channels);
                R::corner_dots(points, own.places, value_map, zeros, own.grad, own.value_dots, channels);
                point_gradients(problem, geometry, range, own, static_cast<A*>(grad_locations) + 2 * index * points);
                weigh(range, own.ds, own.places);
                R::gather(points, own.places, key_map, zeros, A(0), static_cast<A*>(grad_query) + index * channels,
                          channels, own.row);
                if (key) {
                    R::scatter(points, own.places, key_gradient, own.query, channels);
                    weigh(range, own.logits, own.places);
                    R::scatter(points, own.places, value_gradient, own.grad, channels);
                } else {
                    weigh(range, own.ones, own.places);
                    R::scatter_two(points, own.places, value_gradient, own.query, own.ds, own.grad, own.logits,
                                   channels, own.row);
                }
            }
            packing.finish(value_gradient, value_whole);
            if (key) packing.finish(key_gradient, key_whole);
        });
        return CAFFDET_OK;
    }
};

}  // namespace

int caffdet_kda_forward(const caffdet_problem* problem, const void* query, const void* key, const void* value,
                        const void* locations, void* output) {
    return dispatch<Forward>(*problem, query, key, value, locations, output);
}

int caffdet_kda_backward(const caffdet_problem* problem, const void* query, const void* key, const void* value,
                         const void* locations, const void* grad_output, void* grad_query, void* grad_key,
                         void* grad_value, void* grad_locations) {
    return dispatch<Backward>(*problem, query, key, value, locations, grad_output, grad_query, grad_key, grad_value,
                              grad_locations);
}
