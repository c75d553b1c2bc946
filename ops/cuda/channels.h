// How the channels of one (query, head) pair lie in the registers of the lanes that work on it.
//
// They are cut into UNITS of VECTOR neighbours, one load each, and dealt to GROUP lanes: lane i holds units
// i, i + GROUP, ... (REPEATS of them). For 32 channels in float32 that is 8 lanes with 4 channels each.
#ifndef CAFFDET_CHANNELS_H
#define CAFFDET_CHANNELS_H

#include "numbers.h"

__device__ constexpr int widest_unit(int channels, int limit) {
    int width = 1;
    while (2 * width <= limit && channels % (2 * width) == 0) {
        width *= 2;
    }
    return width;
}
__device__ constexpr int lanes_for(int units) {
    int lanes = 1;
    while (lanes < units && lanes < WARP) {
        lanes *= 2;
    }
    return lanes;
}
constexpr int VECTOR = widest_unit(CHANNELS, VECTOR_BYTES / static_cast<int>(sizeof(value_t)));
constexpr int UNITS = CHANNELS / VECTOR;
constexpr int GROUP = lanes_for(UNITS);
constexpr int REPEATS = (UNITS + GROUP - 1) / GROUP;
constexpr int PAIRS = THREADS / GROUP;  // pairs of one block

__device__ constexpr int unit_bytes(int number_bytes) {
    return number_bytes * VECTOR < 16 ? number_bytes * VECTOR : 16;
}

template <class T>
struct alignas(unit_bytes(sizeof(T))) Unit {
    T item[VECTOR];
};

// What one lane holds. Where UNITS is no multiple of GROUP, the channels that do not exist stay 0.
struct Channels {
    real item[REPEATS * VECTOR];
};

__device__ inline bool owns(int repeat, int lane) { return UNITS % GROUP == 0 || repeat * GROUP + lane < UNITS; }

// First channel of a lane's unit.
__device__ inline int channel_of(int repeat, int lane) { return (repeat * GROUP + lane) * VECTOR; }

__device__ inline Channels same(real number) {
    Channels channels;
#pragma unroll
    for (int i = 0; i < REPEATS * VECTOR; ++i) {
        channels.item[i] = number;
    }
    return channels;
}

// A lane's channels as they are in memory.
struct Pixel {
    Words<sizeof(Unit<value_t>)> unit[REPEATS];
};

// `row` points at the lane's first channel and is aligned to a unit.
__device__ inline Pixel load_pixel(const value_t* row, int lane) {
    Pixel pixel = {};
#pragma unroll
    for (int repeat = 0; repeat < REPEATS; ++repeat) {
        if (owns(repeat, lane)) {
            pixel.unit[repeat] = load_words(
                reinterpret_cast<const Words<sizeof(Unit<value_t>)>*>(row + repeat * GROUP * VECTOR));
        }
    }
    return pixel;
}

__device__ inline Channels widen(const Pixel& pixel) {
    Channels channels;
#pragma unroll
    for (int i = 0; i < REPEATS * VECTOR; ++i) {
        channels.item[i] = number_of(pixel.unit[i / VECTOR], i % VECTOR);
    }
    return channels;
}

// `row` points at channel 0.
__device__ inline Channels load(const value_t* row, int lane) { return widen(load_pixel(row + lane * VECTOR, lane)); }

template <class T>
__device__ inline void store(T* row, int lane, const Channels& channels) {
#pragma unroll
    for (int repeat = 0; repeat < REPEATS; ++repeat) {
        if (owns(repeat, lane)) {
            Unit<T> unit;
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) {
                unit.item[i] = Narrow<T>::from(channels.item[repeat * VECTOR + i]);
            }
            *reinterpret_cast<Unit<T>*>(row + channel_of(repeat, lane)) = unit;
        }
    }
}

__device__ inline void add_scaled(Channels& sum, real factor, const Channels& term) {
#pragma unroll
    for (int i = 0; i < REPEATS * VECTOR; ++i) {
        sum.item[i] += factor * term.item[i];
    }
}

// A lane's part of the inner product; `group_sum` completes it.
__device__ inline real dot(const Channels& first, const Channels& second) {
    real sum = 0;
#pragma unroll
    for (int i = 0; i < REPEATS * VECTOR; ++i) {
        sum += first.item[i] * second.item[i];
    }
    return sum;
}

// Every shuffle names the full warp, so all 32 lanes must reach it: pairs past the end are computed and not stored.
__device__ inline real group_sum(real number) {
#pragma unroll
    for (int distance = GROUP / 2; distance > 0; distance /= 2) {
        number += __shfl_xor_sync(EVERY_LANE, number, distance, GROUP);
    }
    return number;
}

__device__ inline real group_maximum(real number) {
#pragma unroll
    for (int distance = GROUP / 2; distance > 0; distance /= 2) {
        const real other = __shfl_xor_sync(EVERY_LANE, number, distance, GROUP);
        number = other > number ? other : number;
    }
    return number;
}

#endif
