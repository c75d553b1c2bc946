// Multi-scale deformable attention from reference points or boxes, offsets and logits.
//
//     reference (x, y):         location = (x, y) + offset / (W_l, H_l)
//     reference (x, y, w, h):   location = (x, y) + offset (w, h) / (2 P_l)
//     weights = softmax of the logits over all K points
// With dl the gradient of a location and da that of a weight:
//     doffset = dl / (W_l, H_l)   or   dl (w, h) / (2 P_l)
//     d(x, y) = sum over heads and points of dl,   d(w, h) = sum of dl offset / (2 P_l)
//     dlogit_k = a_k (da_k - sum_j a_j da_j)

#include "msda_core.h"
#include "softmax.h"

namespace {

template <class T>
class FusedPoints {
public:
    using A = Accumulator<T>;

    FusedPoints(const caffdet_problem& problem, const void* references, const void* offsets, const void* logits)
        : problem_(problem),
          references_(static_cast<const A*>(references)),
          offsets_(static_cast<const A*>(offsets)),
          logits_(logits),
          wide_(problem.weights_dtype == CAFFDET_FLOAT32) {}

    static int64_t bytes(const caffdet_problem& problem) {
        return 2 * WeightReader<T>::bytes(problem.points) + RowReader<A>::bytes(2 * problem.points) +
               Scratch::bytes<A>(2 * padded<A>(problem.points) + 2 * lanes<A>);
    }

    class Reader {
    public:
        Reader(const FusedPoints& fused, const Geometry<A>& geometry, const LevelRange& range, Scratch& scratch)
            : fused_(fused),
              geometry_(geometry),
              range_(range),
              logit_(fused.logits_, fused.wide_, fused.problem_.points, scratch),
              weights_(scratch.take<A>(padded<A>(fused.problem_.points) + lanes<A>)),
              locations_(scratch.take<A>(2 * padded<A>(fused.problem_.points) + 2 * lanes<A>)) {}

        CAFFDET_INLINE Points<A> operator()(int64_t index) const {
            const int64_t points = fused_.problem_.points, heads = fused_.problem_.heads;
            const int64_t ahead = (index + queries_to_prefetch * heads) * points;
            prefetch(fused_.offsets_ + 2 * (ahead + range_.first_point), 2 * range_.points * int64_t(sizeof(A)));
            logit_.expect(ahead, points);
            return {locations(index), weights(index) + range_.first_point};
        }

        // The softmax of all points, also of those that are not in the range.
        CAFFDET_INLINE const A* weights(int64_t index) const {
            const int64_t points = fused_.problem_.points;
            memcpy(weights_, logit_(index * points), size_t(points) * sizeof(A));
            softmax(weights_, points);
            return weights_;
        }

    private:
        CAFFDET_INLINE const A* locations(int64_t index) const {
            const caffdet_problem& problem = fused_.problem_;
            const int64_t numbers = problem.box ? 4 : 2;
            const A* reference = fused_.references_ + index / problem.heads * problem.levels * numbers;
            const A* offset = fused_.offsets_ + 2 * (index * problem.points + range_.first_point);
            A* location = locations_;
            for (int64_t level = range_.first_level; level < range_.last_level; ++level) {
                const A* from = reference + level * numbers;
                const A x_scale = fused_.scale(geometry_, from, level, 0);
                const A y_scale = fused_.scale(geometry_, from, level, 1);
                for (int64_t k = 0; k < problem.level_points[level]; ++k, location += 2, offset += 2) {
                    location[0] = from[0] + offset[0] * x_scale;
                    location[1] = from[1] + offset[1] * y_scale;
                }
            }
            return locations_;
        }

        const FusedPoints& fused_;
        const Geometry<A>& geometry_;
        LevelRange range_;
        WeightReader<T> logit_;
        A *weights_, *locations_;
    };

    // What an offset along an axis is multiplied with; 0 is x.
    CAFFDET_INLINE A scale(const Geometry<A>& geometry, const A* reference, int64_t level, int axis) const {
        if (problem_.box) return reference[2 + axis] / A(2 * problem_.level_points[level]);
        return A(1) / A(geometry.sizes[2 * level + 1 - axis]);
    }

    // Turns the gradients of locations and weights of all heads of one query into those of offsets and logits, in their
    // place, and writes those of its references.
    void finish(const Geometry<A>& geometry, const Reader& reader, int64_t query, A* grad_offsets, A* grad_logits,
                A* grad_references) const {
        const int64_t heads = problem_.heads, points = problem_.points, numbers = problem_.box ? 4 : 2;
        A* grad_reference = grad_references + query * problem_.levels * numbers;
        memset(grad_reference, 0, size_t(problem_.levels * numbers) * sizeof(A));
        for (int64_t index = query * heads; index < (query + 1) * heads; ++index) {
            const A* weight = reader.weights(index);
            A* grad = grad_logits + index * points;
            A mean = 0;
            for (int64_t k = 0; k < points; ++k) mean += weight[k] * grad[k];
            for (int64_t k = 0; k < points; ++k) grad[k] = weight[k] * (grad[k] - mean);
            const A* offset = offsets_ + 2 * index * points;
            A* grad_offset = grad_offsets + 2 * index * points;
            for (int64_t level = 0; level < problem_.levels; ++level) {
                const A* reference = references_ + (query * problem_.levels + level) * numbers;
                const int64_t count = problem_.level_points[level];
                for (int axis = 0; axis < 2; ++axis) {
                    const A factor = scale(geometry, reference, level, axis);
                    A moved = 0, grown = 0;
                    for (int64_t k = axis; k < 2 * count; k += 2) {
                        moved += grad_offset[k];
                        grown += grad_offset[k] * offset[k];
                        grad_offset[k] *= factor;
                    }
                    grad_reference[level * numbers + axis] += moved;
                    if (problem_.box && count > 0) grad_reference[level * numbers + 2 + axis] += grown / A(2 * count);
                }
                offset += 2 * count;
                grad_offset += 2 * count;
            }
        }
    }

private:
    const caffdet_problem& problem_;
    const A *references_, *offsets_;
    const void* logits_;
    bool wide_;
};

template <class T, class R>
struct Forward {
    static int run(const caffdet_problem& problem, const void* value, const void* references, const void* offsets,
                   const void* logits, void* output) {
        return msda_forward<T, R>(problem, value, FusedPoints<T>(problem, references, offsets, logits), output);
    }
};

template <class T, class R>
struct Backward {
    using A = Accumulator<T>;

    static int run(const caffdet_problem& problem, const void* value, const void* references, const void* offsets,
                   const void* logits, const void* grad_output, void* grad_value, void* grad_references,
                   void* grad_offsets, void* grad_logits) {
        const FusedPoints<T> fused(problem, references, offsets, logits);
        A* const of_offsets = static_cast<A*>(grad_offsets);
        A* const of_logits = static_cast<A*>(grad_logits);
        const int failure =
            msda_backward<T, R>(problem, value, fused, grad_output, grad_value, of_offsets, of_logits);
        if (failure) return failure;

        const int64_t tasks = problem.batch * problem.queries, threads = threads_for(problem, tasks);
        const int64_t common = Geometry<A>::bytes(problem), each = FusedPoints<T>::bytes(problem);
        const Memory memory(common + threads * each);
        if (!memory) return CAFFDET_OUT_OF_MEMORY;
        Scratch scratch(memory.start());
        const Geometry<A> geometry(problem, scratch);
        const LevelRange range(geometry, 0, problem.levels);
        parallel_for(threads, tasks, [&](int64_t query, int64_t thread) {
            Scratch own(memory.start() + common + thread * each);
            const typename FusedPoints<T>::Reader reader(fused, geometry, range, own);
            fused.finish(geometry, reader, query, of_offsets, of_logits, static_cast<A*>(grad_references));
        });
        return CAFFDET_OK;
    }
};

}  // namespace

int caffdet_msda_fused_forward(const caffdet_problem* problem, const void* value, const void* references,
                               const void* offsets, const void* logits, void* output) {
    return dispatch<Forward>(*problem, value, references, offsets, logits, output);
}

int caffdet_msda_fused_backward(const caffdet_problem* problem, const void* value, const void* references,
                                const void* offsets, const void* logits, const void* grad_output, void* grad_value,
                                void* grad_references, void* grad_offsets, void* grad_logits) {
    return dispatch<Backward>(*problem, value, references, offsets, logits, grad_output, grad_value, grad_references,
                              grad_offsets, grad_logits);
}
