// What a CUDA source needs in order to be compiled by a C++ compiler and run on the CPU, one block at a time.
//
// The threads of a block are fibers. A shuffle hands control to the next fiber of the warp and goes on once all 32
// have reached the same shuffle; a lane that stays away, or is at another shuffle, is reported as an error.
#pragma once

// The C headers, which a compiler reads much faster than those of the C++ library.
#include <math.h>
#include <string.h>
#include <ucontext.h>

#define HOST_EMULATION
#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(threads)

struct Index {
    unsigned x = 0;
};
inline Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

constexpr int LANES = 32;
constexpr int STACK_BYTES = 256 * 1024;

// One lane's side of a shuffle. Two of them, because a lane may reach its next shuffle before others have read this.
struct Slot {
    long turn = -1;
    int kind = 0;
    unsigned char bytes[8];
};

struct Fiber {
    ucontext_t context;
    alignas(64) char stack[STACK_BYTES];
    Slot slots[2];
    long turn = 0;
    bool done = false;
};

struct Warp {
    ucontext_t scheduler;
    Fiber lanes[LANES];
    int current = 0;
    void (*body)(void*) = nullptr;
    void* argument = nullptr;
    const char* error = nullptr;
};
inline Warp warp;

inline void run_lane() {
    Fiber& lane = warp.lanes[warp.current];
    try {
        warp.body(warp.argument);
    } catch (const char* error) {
        warp.error = error;
    }
    lane.done = true;
    swapcontext(&lane.context, &warp.scheduler);
}

// All lanes in turn, from one shuffle to the next, until the kernel has returned in all of them.
inline void run_warp(unsigned first_thread, void (*body)(void*), void* argument) {
    warp.body = body;
    warp.argument = argument;
    for (Fiber& lane : warp.lanes) {
        lane.done = false;
        lane.turn = 0;
        lane.slots[0].turn = lane.slots[1].turn = -1;
        getcontext(&lane.context);
        lane.context.uc_stack.ss_sp = lane.stack;
        lane.context.uc_stack.ss_size = STACK_BYTES;
        lane.context.uc_link = nullptr;
        makecontext(&lane.context, run_lane, 0);
    }
    for (bool busy = true; busy;) {
        busy = false;
        for (warp.current = 0; warp.current < LANES; ++warp.current) {
            Fiber& lane = warp.lanes[warp.current];
            if (!lane.done) {
                threadIdx.x = first_thread + static_cast<unsigned>(warp.current);
                swapcontext(&warp.scheduler, &lane.context);
                busy = true;
            }
            if (warp.error) {
                const char* error = warp.error;
                warp.error = nullptr;
                throw error;
            }
        }
    }
}

// `kind` tells shuffles apart; `source` is the lane of the warp to read from.
template <class T>
T exchange(unsigned mask, T value, int kind, int source) {
    const int me = warp.current;
    Fiber& lane = warp.lanes[me];
    Slot& slot = lane.slots[lane.turn % 2];
    slot.turn = lane.turn;
    slot.kind = kind;
    memcpy(slot.bytes, &value, sizeof value);
    swapcontext(&lane.context, &warp.scheduler);
    for (const Fiber& other : warp.lanes) {
        const Slot& theirs = other.slots[lane.turn % 2];
        if (mask != 0xffffffffu || theirs.turn != lane.turn || theirs.kind != kind) {
            throw "a shuffle was not reached by all lanes of the warp";
        }
    }
    memcpy(&value, warp.lanes[source].slots[lane.turn % 2].bytes, sizeof value);
    ++lane.turn;
    return value;
}

}  // namespace emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width) {
    const int me = emulation::warp.current;
    return emulation::exchange(mask, value, 1000 + width, me / width * width + source % width);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, int width) {
    const int me = emulation::warp.current;
    const int source = me ^ distance;
    return emulation::exchange(mask, value, 100 * distance + width, source / width == me / width ? source : me);
}

template <class T>
T atomicMax(T* target, T other) {
    const T before = *target;
    *target = before < other ? other : before;
    return before;
}

template <class To, class From>
To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

inline unsigned float_bits(float number) { return same_bits<unsigned>(number); }
inline float bits_float(unsigned bits) { return same_bits<float>(bits); }
inline unsigned long long double_bits(double number) { return same_bits<unsigned long long>(number); }
inline double bits_double(unsigned long long bits) { return same_bits<double>(bits); }
inline long long __float2ll_rn(float number) { return llrint(number); }
inline long long __double2ll_rn(double number) { return llrint(number); }

inline float half_to_float(unsigned short bits) {
    const int exponent = bits >> 10 & 31;
    const float fraction = static_cast<float>(bits & 1023) / 1024;
    const float sign = bits & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31) {
        return bits & 1023 ? nanf("") : sign * INFINITY;
    }
    return sign * (exponent ? ldexp(1 + fraction, exponent - 15) : ldexp(fraction, -14));
}

inline unsigned short float_to_half(float number) {
    const unsigned short sign = signbit(number) ? 0x8000 : 0;
    const float size = fabsf(number);
    if (isnan(number)) {
        return 0x7fff;
    }
    if (size >= 65520) {
        return sign | 0x7c00;
    }
    // In steps of the last bit; nearbyint rounds ties to even, and a carry into the exponent is right as it is.
    const int exponent = size < 6.103515625e-05f ? -14 : ilogb(size);
    const int steps = static_cast<int>(nearbyint(ldexp(size, 10 - exponent)));
    return static_cast<unsigned short>(sign + ((exponent + 14) << 10) + steps);
}

inline long long row_address(long long start, int token, int bytes) {
    return start + static_cast<long long>(token) * bytes;
}

template <int BYTES>
struct Words;

template <int BYTES>
Words<BYTES> load_words(const Words<BYTES>* address) {
    Words<BYTES> words = {};
    memcpy(&words, address, BYTES);
    return words;
}

template <class T>
void add_if(bool wanted, T* target, T term) {
    if (wanted) {
        *target += term;
    }
}

inline void add_two_if(bool wanted, float* target, float first, float second) {
    add_if(wanted, target, first);
    add_if(wanted, target + 1, second);
}

inline void add_four_if(bool wanted, float* target, float first, float second, float third, float fourth) {
    add_two_if(wanted, target, first, second);
    add_two_if(wanted, target + 2, third, fourth);
}
