// The C interface of the operators for the CPU: plain functions and one plain structure, called through ctypes.
//
// Letters: N pictures, S tokens of all levels, Q queries, M heads, D channels per head, L levels, K points of one query
// and head on all levels together, those of level 0 first. "Accumulator" is float64 for float64 and float32 for all
// others. Every tensor is contiguous except value and key, whose channel stride is 1.
//
// Gradients of value and key are (N, S, M, D) in the accumulator type; all outputs are written completely and need no
// preparation. No function keeps anything between two calls, and all may be called from several threads at once.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define CAFFDET_API extern "C" __declspec(dllexport)
#else
#define CAFFDET_API extern "C" __attribute__((visibility("default")))
#endif

enum : int64_t { CAFFDET_ABI_VERSION = 1 };
enum : int64_t { CAFFDET_FLOAT32 = 0, CAFFDET_FLOAT64 = 1, CAFFDET_FLOAT16 = 2, CAFFDET_BFLOAT16 = 3 };
enum : int { CAFFDET_OK = 0, CAFFDET_OUT_OF_MEMORY = 1, CAFFDET_WRONG_VERSION = 2, CAFFDET_WRONG_TYPE = 3 };

struct caffdet_problem {
    int64_t version;  // CAFFDET_ABI_VERSION of the caller
    int64_t batch, tokens, queries, heads, channels, levels, points;
    int64_t value_strides[3];     // of picture, token and head, in elements; that of the picture may be 0
    int64_t key_strides[3];       // the same for a key of its own, otherwise unused
    const int64_t* sizes;         // (L, 2) height and width
    const int64_t* level_points;  // (L) points of each level; they add up to `points`
    int64_t dtype;                // of value, key, query, grad_output and output
    int64_t weights_dtype;        // of weights and logits: `dtype` or CAFFDET_FLOAT32
    int64_t threads;              // at most this many
    double scale;                 // kda: factor of the dot product
    int64_t box;                  // msda_fused: references are boxes (4 numbers), not points (2 numbers)
};

CAFFDET_API int64_t caffdet_abi_version(void);

// locations (N, Q, M, K, 2) in the accumulator type, weights (N, Q, M, K), output (N, Q, M * D).
CAFFDET_API int caffdet_msda_forward(const caffdet_problem* problem, const void* value, const void* locations,
                                     const void* weights, void* output);

// grad_locations and grad_weights in the accumulator type.
CAFFDET_API int caffdet_msda_backward(const caffdet_problem* problem, const void* value, const void* locations,
                                      const void* weights, const void* grad_output, void* grad_value,
                                      void* grad_locations, void* grad_weights);

// references (N, Q, L, 2 or 4) and offsets (N, Q, M, K, 2) in the accumulator type, logits (N, Q, M, K).
CAFFDET_API int caffdet_msda_fused_forward(const caffdet_problem* problem, const void* value, const void* references,
                                           const void* offsets, const void* logits, void* output);

// grad_references, grad_offsets and grad_logits in the accumulator type.
CAFFDET_API int caffdet_msda_fused_backward(const caffdet_problem* problem, const void* value, const void* references,
                                            const void* offsets, const void* logits, const void* grad_output,
                                            void* grad_value, void* grad_references, void* grad_offsets,
                                            void* grad_logits);

// query (N, Q, M, D); key NULL: the key is the value.
CAFFDET_API int caffdet_kda_forward(const caffdet_problem* problem, const void* query, const void* key,
                                    const void* value, const void* locations, void* output);

// grad_query and grad_locations in the accumulator type; grad_key is not touched when key is NULL.
CAFFDET_API int caffdet_kda_backward(const caffdet_problem* problem, const void* query, const void* key,
                                     const void* value, const void* locations, const void* grad_output,
                                     void* grad_query, void* grad_key, void* grad_value, void* grad_locations);
