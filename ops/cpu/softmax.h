// Exponential function and softmax over the points of one query and head.
#pragma once

#include "lanes.h"

#include <cmath>

namespace {

// exp(x) for x <= 0 and x = NaN; relative error below 2e-7. Below -87, where it is under 2e-38, it is 0.
CAFFDET_INLINE Vector<float> exponential(Vector<float> x) {
    using V = Vector<float>;
    const Integers<float> too_small = x < -87.0f;
    x = too_small ? V{} : x;
    // x = n ln 2 + r with |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to an integer, which stands in the lowest bits.
    const V shifted = x * 1.44269504f + 12582912.0f;
    const V n = shifted - 12582912.0f;
    const V r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
    // Taylor series of exp(r) to the seventh power.
    V series = r * (1.0f / 5040) + (1.0f / 720);
    series = series * r + (1.0f / 120);
    series = series * r + (1.0f / 24);
    series = series * r + (1.0f / 6);
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    const V power_of_two = bits_as<V>(Unsigned((bits_as<Unsigned>(shifted) << 23) + 0x3f800000u));
    return too_small ? V{} : V(series * power_of_two);
}

CAFFDET_INLINE Vector<double> exponential(Vector<double> x) {
    for (int lane = 0; lane < lanes<double>; ++lane) x[lane] = std::exp(x[lane]);
    return x;
}

// Replaces logits (padded to whole vectors) by their softmax. Lanes that are no points become 0.
template <class A>
CAFFDET_ONCE void softmax(A* logits, int64_t points) {
    using V = Vector<A>;
    for (int64_t k = points; k < padded<A>(points); ++k) logits[k] = logits[0];
    V top = load<V>(logits);
    for (int64_t k = lanes<A>; k < points; k += lanes<A>) {
        const V next = load<V>(logits + k);
        top = next > top ? next : top;
    }
    const A maximum = largest<A>(top);
    V total{};
    for (int64_t k = 0; k < points; k += lanes<A>) {
        const V power = exponential(V(load<V>(logits + k) - maximum));
        store(logits + k, power);
        if (k + lanes<A> <= points) total += power;
    }
    for (int64_t k = points; k < padded<A>(points); ++k) logits[k] = 0;
    if (points % lanes<A> != 0) total += load<V>(logits + points / lanes<A> * lanes<A>);
    const A share = A(1) / sum<A>(total);
    for (int64_t k = 0; k < points; k += lanes<A>) store(logits + k, V(load<V>(logits + k) * share));
}

}  // namespace
