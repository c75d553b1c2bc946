// What is done with the D channels of pixels: weighted sums, dot products, and additions to the gradient map.
//
// Row<T, D> is for a number of channels known to the compiler and keeps sums in registers; Row<T, 0> takes any number.
// Both have the same functions, in which `channels` is D. Sums run over the points of one query and head in order.
#pragma once

#include "sampling.h"

namespace {

// The pixels of one picture and head: those of token t start at base + t * stride; point k's row below is down[k] on.
template <class E>
struct Map {
    E* base;
    int64_t stride;
    const int64_t* down;  // (K)
};

// Where the four corners of a point start. A corner off the map is read from `zeros`, so that nothing that is not
// sampled, not even an infinity times zero, reaches a result.
template <class T, class A>
struct Corners {
    const T* at[corners_of_a_point];

    CAFFDET_INLINE Corners(const Map<const T>& map, const Block<A>& block, int lane, int64_t k, const T* zeros) {
        const T* corner = map.base + int64_t(block.token[lane]) * map.stride;
        const T* below = corner + map.down[k];
        if (__builtin_expect(block.used[lane] == 15, 1)) {
            at[0] = corner;
            at[1] = corner + map.stride;
            at[2] = below;
            at[3] = below + map.stride;
        } else {
            const Integer<A> used = block.used[lane];
            at[0] = used & 1 ? corner : zeros;
            at[1] = used & 2 ? corner + map.stride : zeros;
            at[2] = used & 4 ? below : zeros;
            at[3] = used & 8 ? below + map.stride : zeros;
        }
    }
};

// Calls visit(block, lane, k) for `points` points.
template <class A, class Visit>
CAFFDET_INLINE void each_point(int64_t points, const Block<A>* block, const Visit& visit) {
    for (int64_t first = 0; first < points; first += lanes<A>, ++block) {
        const int count = points - first < lanes<A> ? int(points - first) : lanes<A>;
        for (int lane = 0; lane < count; ++lane) visit(*block, lane, first + lane);
    }
}

// Calls add(corner number, row of the gradient) for the corners of a point that lie on the map.
template <class A, class Add>
CAFFDET_INLINE void each_used_corner(const Map<A>& gradient, const Block<A>& block, int lane, int64_t k,
                                     const Add& add) {
    A* corner = gradient.base + int64_t(block.token[lane]) * gradient.stride;
    A* below = corner + gradient.down[k];
    const Integer<A> used = block.used[lane];
    if (__builtin_expect(used == 15, 1)) {
        add(0, corner);
        add(1, corner + gradient.stride);
        add(2, below);
        add(3, below + gradient.stride);
    } else {
        if (used & 1) add(0, corner);
        if (used & 2) add(1, corner + gradient.stride);
        if (used & 4) add(2, below);
        if (used & 8) add(3, below + gradient.stride);
    }
}

#define CAFFDET_LAMBDA __attribute__((always_inline))

template <class T, int D>
struct Row {
    using A = Accumulator<T>;
    using V = Vector<A>;
    static constexpr int vectors = D / lanes<A>;
    // Vectors that are summed at once, and independent sums of each, so that additions need not wait for each other.
    static constexpr int group = vectors < CAFFDET_VECTOR_REGISTERS / 4 ? vectors : CAFFDET_VECTOR_REGISTERS / 4;
    static constexpr int sums = 4 * group <= CAFFDET_VECTOR_REGISTERS / 2 ? 4 : 2;
    static constexpr int points_of_a_vector = lanes<A> / corners_of_a_point;
    static_assert(D % lanes<A> == 0 && vectors % group == 0 && points_of_a_vector > 0, "whole vectors");

    // out = poison + sum_k sum_c weight[c] corner_c
    template <class Out>
    static CAFFDET_ONCE void gather(int64_t points, const Block<A>* blocks, const Map<const T>& map, const T* zeros,
                                      A poison, Out* out, int64_t, A*) {
        for (int first = 0; first < vectors; first += group) {
            V total[sums][group] = {};
            each_point(points, blocks, [&](const Block<A>& block, int lane, int64_t k) CAFFDET_LAMBDA {
                const Corners<T, A> corner(map, block, lane, k, zeros);
#pragma GCC unroll 4
                for (int c = 0; c < corners_of_a_point; ++c) {
                    const A weight = block.weight[c][lane];
#pragma GCC unroll 8
                    for (int b = 0; b < group; ++b)
                        total[c % sums][b] += weight * load_row(corner.at[c] + (first + b) * lanes<A>);
                }
            });
#pragma GCC unroll 8
            for (int b = 0; b < group; ++b) {
                V row = total[0][b] + total[1][b];
                if constexpr (sums == 4) row += total[2][b] + total[3][b];
                store_row(out + (first + b) * lanes<A>, V(row + poison));
            }
        }
    }

    // dots[4 k + c] = <vector, corner_c>, also for the lanes that are no points
    static CAFFDET_ONCE void corner_dots(int64_t points, const Block<A>* blocks, const Map<const T>& map,
                                           const T* zeros, const A* vector, A* dots, int64_t) {
        V own[vectors];
#pragma GCC unroll 16
        for (int b = 0; b < vectors; ++b) own[b] = load_row(vector + b * lanes<A>);
        for (int64_t first = 0; first < points; first += points_of_a_vector) {
            const Block<A>& block = blocks[first / lanes<A>];
            const int lane = int(first % lanes<A>);
            store(dots + corners_of_a_point * first,
                  corner_sums<points_of_a_vector>(map, block, lane, first, zeros, own));
        }
    }

    // samples[k] = sum_c weight[c] corner_c, dots[k] = <vector, samples[k]>
    static CAFFDET_ONCE void sample_dots(int64_t points, const Block<A>* blocks, const Map<const T>& map,
                                           const T* zeros, const A* vector, A* samples, A* dots, int64_t) {
        V own[vectors];
#pragma GCC unroll 16
        for (int b = 0; b < vectors; ++b) own[b] = load_row(vector + b * lanes<A>);
        V partial[lanes<A>] = {};
        for (int64_t first = 0; first < points; first += lanes<A>, ++blocks) {
            const int count = points - first < lanes<A> ? int(points - first) : lanes<A>;
            for (int lane = 0; lane < count; ++lane) {
                const Corners<T, A> corner(map, *blocks, lane, first + lane, zeros);
                V dot{};
#pragma GCC unroll 16
                for (int b = 0; b < vectors; ++b) {
                    const int at = b * lanes<A>;
                    V sample = blocks->weight[0][lane] * load_row(corner.at[0] + at);
                    sample += blocks->weight[1][lane] * load_row(corner.at[1] + at);
                    sample += blocks->weight[2][lane] * load_row(corner.at[2] + at);
                    sample += blocks->weight[3][lane] * load_row(corner.at[3] + at);
                    dot += own[b] * sample;
                    store_row(samples + (first + lane) * D + at, sample);
                }
                partial[lane] = dot;
            }
            store(dots + first, sum_rows<A>(partial));
        }
    }

    // out = poison + sum_k factor[k] samples[k]
    template <class Out>
    static CAFFDET_ONCE void mix(int64_t points, const A* samples, const A* factor, A poison, Out* out, int64_t,
                                   A*) {
        for (int first = 0; first < vectors; first += group) {
            V even[group] = {}, odd[group] = {};
            const A* sample = samples + first * lanes<A>;
            int64_t k = 0;
            for (; k + 1 < points; k += 2, sample += 2 * D) {
#pragma GCC unroll 8
                for (int b = 0; b < group; ++b) {
                    even[b] += factor[k] * load_row(sample + b * lanes<A>);
                    odd[b] += factor[k + 1] * load_row(sample + D + b * lanes<A>);
                }
            }
#pragma GCC unroll 8
            for (int b = 0; b < group; ++b) {
                if (k < points) even[b] += factor[k] * load_row(sample + b * lanes<A>);
                store_row(out + (first + b) * lanes<A>, V((even[b] + odd[b]) + poison));
            }
        }
    }

    // corner_c of the gradient += weight[c] vector
    static CAFFDET_ONCE void scatter(int64_t points, const Block<A>* blocks, const Map<A>& gradient, const A* vector,
                                       int64_t) {
        add_rows<false>(points, blocks, gradient, vector, nullptr, nullptr, nullptr);
    }

    // corner_c of the gradient += weight[c] (factor[k] vector + second_factor[k] second)
    static CAFFDET_ONCE void scatter_two(int64_t points, const Block<A>* blocks, const Map<A>& gradient,
                                           const A* vector, const A* factor, const A* second, const A* second_factor,
                                           int64_t, A*) {
        add_rows<true>(points, blocks, gradient, vector, factor, second, second_factor);
    }

private:
    // <vector, corner_c> of `count` points from `lane` on, four numbers a point. One point after the other is read and
    // summed as far as it can be, so that few registers are in use.
    template <int count>
    static CAFFDET_INLINE V corner_sums(const Map<const T>& map, const Block<A>& block, int lane, int64_t k,
                                        const T* zeros, const V* vector) {
        if constexpr (count == 1) {
            const Corners<T, A> corner(map, block, lane, k, zeros);
            V dot[corners_of_a_point];
#pragma GCC unroll 4
            for (int c = 0; c < corners_of_a_point; ++c) {
                dot[c] = vector[0] * load_row(corner.at[c]);
#pragma GCC unroll 16
                for (int b = 1; b < vectors; ++b) dot[c] += vector[b] * load_row(corner.at[c] + b * lanes<A>);
            }
            return sum_rows<A, corners_of_a_point>(dot);
        } else {
            constexpr int half = count / 2;
            const V first = corner_sums<half>(map, block, lane, k, zeros, vector);
            const V second = corner_sums<half>(map, block, lane + half, k + half, zeros, vector);
            return fold<A, half * corners_of_a_point>(first, second, AllLanes<A>{});
        }
    }

    template <bool two>
    static CAFFDET_INLINE void add_rows(int64_t points, const Block<A>* blocks, const Map<A>& gradient,
                                        const A* vector, const A* factor, const A* second, const A* second_factor) {
        for (int first = 0; first < vectors; first += group) {
            V own[group], other[group];
#pragma GCC unroll 8
            for (int b = 0; b < group; ++b) {
                own[b] = load_row(vector + (first + b) * lanes<A>);
                if constexpr (two) other[b] = load_row(second + (first + b) * lanes<A>);
            }
            each_point(points, blocks, [&](const Block<A>& block, int lane, int64_t k) CAFFDET_LAMBDA {
                V row[group];
#pragma GCC unroll 8
                for (int b = 0; b < group; ++b) {
                    row[b] = own[b];
                    if constexpr (two) row[b] = factor[k] * own[b] + second_factor[k] * other[b];
                }
                each_used_corner(gradient, block, lane, k, [&](int c, A* corner) CAFFDET_LAMBDA {
#pragma GCC unroll 8
                    for (int b = 0; b < group; ++b) {
                        A* to = corner + (first + b) * lanes<A>;
                        store_row(to, V(load_row(to) + block.weight[c][lane] * row[b]));
                    }
                });
            });
        }
    }
};

template <class T>
struct Row<T, 0> {
    using A = Accumulator<T>;

    template <class Out>
    static CAFFDET_ONCE void gather(int64_t points, const Block<A>* blocks, const Map<const T>& map, const T* zeros,
                                    A poison, Out* out, int64_t channels, A* total) {
        for (int64_t d = 0; d < channels; ++d) total[d] = poison;
        each_point(points, blocks, [&](const Block<A>& block, int lane, int64_t k) {
            const Corners<T, A> corner(map, block, lane, k, zeros);
#pragma omp simd
            for (int64_t d = 0; d < channels; ++d) total[d] += sample(block, lane, corner, d);
        });
        for (int64_t d = 0; d < channels; ++d) narrow(total[d], out[d]);
    }

    static CAFFDET_ONCE void corner_dots(int64_t points, const Block<A>* blocks, const Map<const T>& map,
                                         const T* zeros, const A* vector, A* dots, int64_t channels) {
        each_point(points, blocks, [&](const Block<A>& block, int lane, int64_t k) {
            const Corners<T, A> corner(map, block, lane, k, zeros);
            for (int c = 0; c < corners_of_a_point; ++c) {
                A dot = 0;
#pragma omp simd reduction(+ : dot)
                for (int64_t d = 0; d < channels; ++d) dot += vector[d] * widen(corner.at[c][d]);
                dots[corners_of_a_point * k + c] = dot;
            }
        });
    }

    static CAFFDET_ONCE void sample_dots(int64_t points, const Block<A>* blocks, const Map<const T>& map,
                                         const T* zeros, const A* vector, A* samples, A* dots, int64_t channels) {
        each_point(points, blocks, [&](const Block<A>& block, int lane, int64_t k) {
            const Corners<T, A> corner(map, block, lane, k, zeros);
            A* to = samples + k * channels;
            A dot = 0;
#pragma omp simd reduction(+ : dot)
            for (int64_t d = 0; d < channels; ++d) {
                to[d] = sample(block, lane, corner, d);
                dot += vector[d] * to[d];
            }
            dots[k] = dot;
        });
    }

    template <class Out>
    static CAFFDET_ONCE void mix(int64_t points, const A* samples, const A* factor, A poison, Out* out,
                                 int64_t channels, A* total) {
        for (int64_t d = 0; d < channels; ++d) total[d] = poison;
        for (int64_t k = 0; k < points; ++k) {
#pragma omp simd
            for (int64_t d = 0; d < channels; ++d) total[d] += factor[k] * samples[k * channels + d];
        }
        for (int64_t d = 0; d < channels; ++d) narrow(total[d], out[d]);
    }

    static CAFFDET_ONCE void scatter(int64_t points, const Block<A>* blocks, const Map<A>& gradient, const A* vector,
                                     int64_t channels) {
        each_point(points, blocks, [&](const Block<A>& block, int lane, int64_t k) {
            add_row(block, lane, k, gradient, vector, channels);
        });
    }

    static CAFFDET_ONCE void scatter_two(int64_t points, const Block<A>* blocks, const Map<A>& gradient,
                                         const A* vector, const A* factor, const A* second, const A* second_factor,
                                         int64_t channels, A* row) {
        each_point(points, blocks, [&](const Block<A>& block, int lane, int64_t k) {
            const A share = factor[k], second_share = second_factor[k];
#pragma omp simd
            for (int64_t d = 0; d < channels; ++d) row[d] = share * vector[d] + second_share * second[d];
            add_row(block, lane, k, gradient, row, channels);
        });
    }

private:
    static CAFFDET_INLINE A sample(const Block<A>& block, int lane, const Corners<T, A>& corner, int64_t d) {
        return (block.weight[0][lane] * widen(corner.at[0][d]) + block.weight[1][lane] * widen(corner.at[1][d])) +
               (block.weight[2][lane] * widen(corner.at[2][d]) + block.weight[3][lane] * widen(corner.at[3][d]));
    }

    static CAFFDET_INLINE void add_row(const Block<A>& block, int lane, int64_t k, const Map<A>& gradient,
                                       const A* row, int64_t channels) {
        each_used_corner(gradient, block, lane, k, [&](int c, A* corner) {
            const A weight = block.weight[c][lane];
#pragma omp simd
            for (int64_t d = 0; d < channels; ++d) corner[d] += weight * row[d];
        });
    }
};

// From the numbers of lanes<A> points, four corners each, to vectors of one corner each.
template <class A>
CAFFDET_INLINE void by_corner(const A* dots, Vector<A>* corner) {
    using V = Vector<A>;
    const AllLanes<A> all{};
    const V first = load<V>(dots), second = load<V>(dots + lanes<A>);
    const V third = load<V>(dots + 2 * lanes<A>), fourth = load<V>(dots + 3 * lanes<A>);
    const V left = every_other<A, 0>(first, second, all), right = every_other<A, 1>(first, second, all);
    const V more_left = every_other<A, 0>(third, fourth, all), more_right = every_other<A, 1>(third, fourth, all);
    corner[0] = every_other<A, 0>(left, more_left, all);
    corner[1] = every_other<A, 0>(right, more_right, all);
    corner[2] = every_other<A, 1>(left, more_left, all);
    corner[3] = every_other<A, 1>(right, more_right, all);
}

// The bilinear sum of what belongs to the four corners.
template <class A>
CAFFDET_INLINE Vector<A> bilinear(const Block<A>& block, const Vector<A>* corner) {
    using V = Vector<A>;
    const V fx = load<V>(block.fx), fy = load<V>(block.fy);
    const V upper = corner[0] + fx * (corner[1] - corner[0]), lower = corner[2] + fx * (corner[3] - corner[2]);
    return upper + fy * (lower - upper);
}

// `count` numbers in the accumulator type.
template <class T, class A>
CAFFDET_INLINE void widen_row(const T* from, A* to, int64_t count) {
    int64_t d = 0;
    if constexpr (std::is_same<Accumulator<T>, A>::value) {
        for (; d + lanes<A> <= count; d += lanes<A>) store_row(to + d, load_row(from + d));
    }
    for (; d < count; ++d) to[d] = A(widen(from[d]));
}

}  // namespace
