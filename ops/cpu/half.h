// float16 and bfloat16: storage types, and conversion of one number or of a vector of numbers.
//
// The conversions are templates over F, a float or a vector of floats, and U, the unsigned integers of the same shape.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

struct float16 {
    uint16_t bits;
};
struct bfloat16 {
    uint16_t bits;
};

template <class T>
struct AccumulatorOf {
    using type = float;
};
template <>
struct AccumulatorOf<double> {
    using type = double;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

#define CAFFDET_INLINE inline __attribute__((always_inline))

// For what is used by several templates: one copy keeps the time to compile short, and a call costs nothing next to the
// work for all points of a query.
#define CAFFDET_ONCE __attribute__((noinline))

template <class To, class From>
CAFFDET_INLINE To bits_as(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    memcpy(&to, &from, sizeof(to));
    return to;
}

template <class F, class U>
CAFFDET_INLINE F widen_bfloat16(const U& bits) {
    return bits_as<F>(U(bits << 16));
}

// Rounds to nearest, ties to even; NaN stays NaN.
template <class F, class U>
CAFFDET_INLINE U narrow_bfloat16(const F& number) {
    const U bits = bits_as<U>(number);
    const U rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? U((bits >> 16) | 0x40u) : rounded;
}

// The exponent is moved by a multiplication with 2^112, which is right for subnormal numbers too.
template <class F, class U>
CAFFDET_INLINE F widen_float16(const U& bits) {
    const U magnitude = (bits & 0x7fffu) << 13;
    const U scaled = bits_as<U>(F(bits_as<F>(magnitude) * bits_as<float>(uint32_t(0x77800000u))));
    const U finite_or_not = magnitude >= 0x0f800000u ? U(scaled | 0x7f800000u) : scaled;
    return bits_as<F>(U(finite_or_not | ((bits & 0x8000u) << 16)));
}

// Rounds to nearest, ties to even. Adding 1/2 puts the last bit of a subnormal float16 at the last bit of the sum.
template <class F, class U>
CAFFDET_INLINE U narrow_float16(const F& number) {
    const U bits = bits_as<U>(number);
    const U magnitude = bits & 0x7fffffffu;
    const U normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    const U subnormal = bits_as<U>(F(bits_as<F>(magnitude) + 0.5f)) - 0x3f000000u;
    U half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? U(half * 0u + 0x7c00u) : half;
    half = magnitude > 0x7f800000u ? U(half * 0u + 0x7e00u) : half;
    return half | ((bits >> 16) & 0x8000u);
}

CAFFDET_INLINE float widen(float number) { return number; }
CAFFDET_INLINE double widen(double number) { return number; }
CAFFDET_INLINE float widen(bfloat16 number) { return widen_bfloat16<float, uint32_t>(number.bits); }
CAFFDET_INLINE float widen(float16 number) { return widen_float16<float, uint32_t>(number.bits); }

CAFFDET_INLINE void narrow(float number, float& to) { to = number; }
CAFFDET_INLINE void narrow(double number, double& to) { to = number; }
CAFFDET_INLINE void narrow(float number, bfloat16& to) { to.bits = uint16_t(narrow_bfloat16<float, uint32_t>(number)); }
CAFFDET_INLINE void narrow(float number, float16& to) { to.bits = uint16_t(narrow_float16<float, uint32_t>(number)); }

}  // namespace
