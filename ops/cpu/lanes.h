// Vectors of the widest kind the target has, written with the vector extension that gcc and clang share.
#pragma once

#include "half.h"

#include <type_traits>
#include <utility>

#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define CAFFDET_VECTOR_BYTES 64
#define CAFFDET_VECTOR_REGISTERS 32
#elif defined(__AVX__)
#define CAFFDET_VECTOR_BYTES 32
#define CAFFDET_VECTOR_REGISTERS 16
#elif defined(__aarch64__)
#define CAFFDET_VECTOR_BYTES 16
#define CAFFDET_VECTOR_REGISTERS 32
#else
#define CAFFDET_VECTOR_BYTES 16
#define CAFFDET_VECTOR_REGISTERS 16
#endif

namespace {

template <class A>
struct LanesOf;
template <>
struct LanesOf<float> {
    typedef float Vector __attribute__((vector_size(CAFFDET_VECTOR_BYTES)));
    typedef int32_t Integers __attribute__((vector_size(CAFFDET_VECTOR_BYTES)));
    typedef uint32_t Unsigned __attribute__((vector_size(CAFFDET_VECTOR_BYTES)));
    typedef uint16_t Halves __attribute__((vector_size(CAFFDET_VECTOR_BYTES / 2)));
    using Integer = int32_t;
};
template <>
struct LanesOf<double> {
    typedef double Vector __attribute__((vector_size(CAFFDET_VECTOR_BYTES)));
    typedef int64_t Integers __attribute__((vector_size(CAFFDET_VECTOR_BYTES)));
    using Integer = int64_t;
};

template <class A>
using Vector = typename LanesOf<A>::Vector;
template <class A>
using Integers = typename LanesOf<A>::Integers;
template <class A>
using Integer = typename LanesOf<A>::Integer;
template <class A>
constexpr int lanes = CAFFDET_VECTOR_BYTES / int(sizeof(A));

template <class A>
constexpr int64_t padded(int64_t count) {
    return (count + lanes<A> - 1) / lanes<A> * lanes<A>;
}

template <class V, class E>
CAFFDET_INLINE V load(const E* from) {
    V vector;
    memcpy(&vector, from, sizeof(vector));
    return vector;
}
template <class V, class E>
CAFFDET_INLINE void store(E* to, const V& vector) {
    memcpy(to, &vector, sizeof(vector));
}

CAFFDET_INLINE Vector<float> load_row(const float* from) { return load<Vector<float>>(from); }
CAFFDET_INLINE Vector<double> load_row(const double* from) { return load<Vector<double>>(from); }
CAFFDET_INLINE void store_row(float* to, const Vector<float>& row) { store(to, row); }
CAFFDET_INLINE void store_row(double* to, const Vector<double>& row) { store(to, row); }

using Halves = LanesOf<float>::Halves;
using Unsigned = LanesOf<float>::Unsigned;

CAFFDET_INLINE Vector<float> load_row(const bfloat16* from) {
    return widen_bfloat16<Vector<float>, Unsigned>(__builtin_convertvector(load<Halves>(from), Unsigned));
}
CAFFDET_INLINE void store_row(bfloat16* to, const Vector<float>& row) {
    store(to, __builtin_convertvector(narrow_bfloat16<Vector<float>, Unsigned>(row), Halves));
}

CAFFDET_INLINE Vector<float> load_row(const float16* from) {
#if defined(__AVX512F__)
    return Vector<float>(_mm512_maskz_cvtph_ps(-1, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
#elif defined(__F16C__)
    return Vector<float>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
    return widen_float16<Vector<float>, Unsigned>(__builtin_convertvector(load<Halves>(from), Unsigned));
#endif
}
CAFFDET_INLINE void store_row(float16* to, const Vector<float>& row) {
#if defined(__AVX512F__)
    const __m256i halves = _mm512_maskz_cvtps_ph(-1, __m512(row), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), halves);
#elif defined(__F16C__)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(__m256(row), _MM_FROUND_TO_NEAREST_INT));
#else
    store(to, __builtin_convertvector(narrow_float16<Vector<float>, Unsigned>(row), Halves));
#endif
}

// Lanes of `a` and `b` in any order: numbers from `lanes` on mean `b`.
#if defined(__clang__)
#define CAFFDET_SHUFFLE(A, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define CAFFDET_SHUFFLE(A, a, b, ...) __builtin_shuffle(a, b, Integers<A>{__VA_ARGS__})
#endif

// Of 2 * lanes interleaved numbers the first (second) of each pair.
template <class A, int second, int... lane>
CAFFDET_INLINE Vector<A> every_other(const Vector<A>& a, const Vector<A>& b, std::integer_sequence<int, lane...>) {
    return CAFFDET_SHUFFLE(A, a, b, (2 * lane + second)...);
}

// The lower (upper) half of the numbers of `a` and `b` in turns.
template <class A, int upper, int... lane>
CAFFDET_INLINE Vector<A> in_turns(const Vector<A>& a, const Vector<A>& b, std::integer_sequence<int, lane...>) {
    return CAFFDET_SHUFFLE(A, a, b, (lane / 2 + upper * lanes<A> / 2 + lane % 2 * lanes<A>)...);
}

template <class A>
using AllLanes = std::make_integer_sequence<int, lanes<A>>;

// Lane i: a[i] + a[i ^ bit] where `bit` is clear in i, otherwise b[i] + b[i ^ bit].
template <class A, int bit, int... lane>
CAFFDET_INLINE Vector<A> fold(const Vector<A>& a, const Vector<A>& b, std::integer_sequence<int, lane...>) {
    const Vector<A> own = CAFFDET_SHUFFLE(A, a, b, (lane + (lane & bit ? lanes<A> : 0))...);
    const Vector<A> other = CAFFDET_SHUFFLE(A, a, b, ((lane ^ bit) + (lane & bit ? lanes<A> : 0))...);
    return own + other;
}

// Lane i of the result is the sum of all lanes of rows[i]: one shuffle, one blend and one addition a row.
template <class A, int count = lanes<A>>
CAFFDET_INLINE Vector<A> sum_rows(const Vector<A>* rows) {
    if constexpr (count == 1) {
        return rows[0];
    } else {
        const Vector<A> first = sum_rows<A, count / 2>(rows);
        const Vector<A> second = sum_rows<A, count / 2>(rows + count / 2);
        return fold<A, count / 2>(first, second, AllLanes<A>{});
    }
}

template <class A, int bit = lanes<A> / 2>
CAFFDET_INLINE A sum(const Vector<A>& vector) {
    if constexpr (bit == 0) {
        return vector[0];
    } else {
        return sum<A, bit / 2>(fold<A, bit>(vector, vector, AllLanes<A>{}));
    }
}

template <class A, int bit, int... lane>
CAFFDET_INLINE Vector<A> exchange(const Vector<A>& a, std::integer_sequence<int, lane...>) {
    return CAFFDET_SHUFFLE(A, a, a, (lane ^ bit)...);
}

template <class A, int bit = lanes<A> / 2>
CAFFDET_INLINE A largest(const Vector<A>& vector) {
    if constexpr (bit == 0) {
        return vector[0];
    } else {
        const Vector<A> other = exchange<A, bit>(vector, AllLanes<A>{});
        return largest<A, bit / 2>(vector > other ? vector : other);
    }
}

}  // namespace
