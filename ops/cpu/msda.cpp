// Multi-scale deformable attention: locations and weights as the caller computed them.

#include "msda_core.h"

namespace {

template <class T, class R>
struct Forward {
    static int run(const caffdet_problem& problem, const void* value, const void* locations, const void* weights,
                   void* output) {
        return msda_forward<T, R>(problem, value, GivenPoints<T>(problem, locations, weights), output);
    }
};

template <class T, class R>
struct Backward {
    using A = Accumulator<T>;

    static int run(const caffdet_problem& problem, const void* value, const void* locations, const void* weights,
                   const void* grad_output, void* grad_value, void* grad_locations, void* grad_weights) {
        return msda_backward<T, R>(problem, value, GivenPoints<T>(problem, locations, weights), grad_output,
                                   grad_value, static_cast<A*>(grad_locations), static_cast<A*>(grad_weights));
    }
};

}  // namespace

int64_t caffdet_abi_version(void) { return CAFFDET_ABI_VERSION; }

int caffdet_msda_forward(const caffdet_problem* problem, const void* value, const void* locations,
                         const void* weights, void* output) {
    return dispatch<Forward>(*problem, value, locations, weights, output);
}

int caffdet_msda_backward(const caffdet_problem* problem, const void* value, const void* locations,
                          const void* weights, const void* grad_output, void* grad_value, void* grad_locations,
                          void* grad_weights) {
    return dispatch<Backward>(*problem, value, locations, weights, grad_output, grad_value, grad_locations,
                              grad_weights);
}
