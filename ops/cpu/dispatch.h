// From the problem's numbers to the template that is made for them.
#pragma once

#include "rows.h"

namespace {

inline int64_t threads_for(const caffdet_problem& problem, int64_t tasks) {
    const int64_t threads = problem.threads < tasks ? problem.threads : tasks;
    return threads < 1 ? 1 : threads;
}

// All maps of a tensor (N, S, M, D): `of` is the one of a picture and head.
template <class E>
struct Maps {
    E* base;
    int64_t picture_stride, token_stride, head_stride;
    const int64_t* down;

    template <class A>
    Maps(E* tensor, const int64_t* strides, const Geometry<A>& geometry, Scratch& scratch)
        : base(tensor),
          picture_stride(strides[0]),
          token_stride(strides[1]),
          head_stride(strides[2]),
          down(geometry.down(strides[1], scratch)) {}

    // Only points from `first_point` on are asked for.
    Map<E> of(int64_t picture, int64_t head, int64_t first_point = 0) const {
        return {base + picture * picture_stride + head * head_stride, token_stride, down + first_point};
    }
};

// The maps of a gradient, which is contiguous.
template <class A>
Maps<A> gradient_maps(void* tensor, const caffdet_problem& problem, const Geometry<A>& geometry, Scratch& scratch) {
    const int64_t row = problem.heads * problem.channels;
    const int64_t strides[] = {problem.tokens * row, row, problem.channels};
    return Maps<A>(static_cast<A*>(tensor), strides, geometry, scratch);
}

template <class A>
void clear(const Map<A>& gradient, int64_t first_token, int64_t last_token, int64_t channels) {
    for (int64_t token = first_token; token < last_token; ++token)
        memset(gradient.base + token * gradient.stride, 0, size_t(channels) * sizeof(A));
}

// Calls Operator<T, Row>::run(problem, arguments...).
template <template <class, class> class Operator, class... Arguments>
int dispatch(const caffdet_problem& problem, Arguments... arguments) {
    if (problem.version != CAFFDET_ABI_VERSION) return CAFFDET_WRONG_VERSION;
    switch (problem.dtype) {
        case CAFFDET_FLOAT32:
            switch (problem.channels) {
                case 16: return Operator<float, Row<float, 16>>::run(problem, arguments...);
                case 32: return Operator<float, Row<float, 32>>::run(problem, arguments...);
                case 64: return Operator<float, Row<float, 64>>::run(problem, arguments...);
                default: return Operator<float, Row<float, 0>>::run(problem, arguments...);
            }
        case CAFFDET_FLOAT64: return Operator<double, Row<double, 0>>::run(problem, arguments...);
        case CAFFDET_FLOAT16:
            if (problem.channels == 32) return Operator<float16, Row<float16, 32>>::run(problem, arguments...);
            return Operator<float16, Row<float16, 0>>::run(problem, arguments...);
        case CAFFDET_BFLOAT16:
            if (problem.channels == 32) return Operator<bfloat16, Row<bfloat16, 32>>::run(problem, arguments...);
            return Operator<bfloat16, Row<bfloat16, 0>>::run(problem, arguments...);
        default: return CAFFDET_WRONG_TYPE;
    }
}

}  // namespace
