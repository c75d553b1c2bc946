// Number types and the few instructions that need PTX.
//
// No header of CUDA is included, so NVRTC needs no search path. Set by the caller with -D:
//   VALUE           float, double, float16 or bfloat16: type of value, key, query, output and the output's gradient
//   WEIGHT          type of attention weights and logits: VALUE or float
//   CHANNELS        channels per head (D); any positive number
//   PASS            0 forward, 1 backward with float atomics, 2 backward that gives the same bits every time
//   LEVEL_CAPACITY  levels that fit into the kernel's argument; 16 if not set
//   VECTOR_BYTES    widest load; 16 if not set. Smaller powers of two spread the channels over more threads
#ifndef CAFFDET_NUMBERS_H
#define CAFFDET_NUMBERS_H

#ifndef LEVEL_CAPACITY
#define LEVEL_CAPACITY 16
#endif
#ifndef VECTOR_BYTES
#define VECTOR_BYTES 16
#endif
#ifndef PASS
#define PASS 0
#endif

struct float16 {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};

using value_t = VALUE;
using weight_t = WEIGHT;
using int64 = long long;
using uint64 = unsigned long long;

// Sums are float32, and float64 for float64 inputs. `lowest` is finite, so that the difference between a score and it
// is never infinity minus infinity.
template <class T>
struct Wider {
    using type = float;
    static constexpr float lowest = -3.4e38f;
};
template <>
struct Wider<double> {
    using type = double;
    static constexpr double lowest = -1.7e308;
};
using real = Wider<value_t>::type;
constexpr real LOWEST = Wider<value_t>::lowest;

constexpr int THREADS = 128;
constexpr int WARP = 32;
constexpr unsigned EVERY_LANE = 0xffffffffu;

// BYTES of memory in registers, 2 to 16. Numbers of 16 bits stay two to a register until they are used.
template <int BYTES>
struct Words {
    unsigned item[(BYTES + 3) / 4];
};

#ifndef HOST_EMULATION
__device__ inline float half_to_float(unsigned short bits) {
    float number;
    asm("cvt.f32.f16 %0, %1;" : "=f"(number) : "h"(bits));
    return number;
}

__device__ inline unsigned short float_to_half(float number) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(number));
    return bits;
}

__device__ inline unsigned float_bits(float number) { return __float_as_uint(number); }
__device__ inline float bits_float(unsigned bits) { return __uint_as_float(bits); }
__device__ inline uint64 double_bits(double number) { return static_cast<uint64>(__double_as_longlong(number)); }
__device__ inline double bits_double(uint64 bits) { return __longlong_as_double(static_cast<int64>(bits)); }

// start + token * bytes in one instruction; the compiler would multiply in 64 bits.
__device__ inline int64 row_address(int64 start, int token, int bytes) {
    int64 address;
    asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(address) : "r"(token), "r"(bytes), "l"(start));
    return address;
}

// Through the read-only path: nothing that is read in this way is written by the same kernel.
__device__ inline Words<16> load_words(const Words<16>* address) {
    Words<16> words;
    asm("ld.global.nc.v4.b32 {%0, %1, %2, %3}, [%4];"
        : "=r"(words.item[0]), "=r"(words.item[1]), "=r"(words.item[2]), "=r"(words.item[3])
        : "l"(__cvta_generic_to_global(address)));
    return words;
}

__device__ inline Words<8> load_words(const Words<8>* address) {
    Words<8> words;
    asm("ld.global.nc.v2.b32 {%0, %1}, [%2];"
        : "=r"(words.item[0]), "=r"(words.item[1])
        : "l"(__cvta_generic_to_global(address)));
    return words;
}

__device__ inline Words<4> load_words(const Words<4>* address) {
    Words<4> words;
    asm("ld.global.nc.b32 %0, [%1];" : "=r"(words.item[0]) : "l"(__cvta_generic_to_global(address)));
    return words;
}

__device__ inline Words<2> load_words(const Words<2>* address) {
    unsigned short bits;
    asm("ld.global.nc.u16 %0, [%1];" : "=h"(bits) : "l"(__cvta_generic_to_global(address)));
    return {{bits}};
}

// Additions that happen only where `wanted` is true, by predicate: a branch for each would split the code around it.
__device__ inline void add_if(bool wanted, float* target, float term) {
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.s32 p, %2, 0;\n\t@p red.relaxed.gpu.global.add.f32 [%0], %1;\n\t}"
                 :
                 : "l"(__cvta_generic_to_global(target)), "f"(term), "r"(static_cast<int>(wanted)));
}

__device__ inline void add_if(bool wanted, double* target, double term) {
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.s32 p, %2, 0;\n\t@p red.relaxed.gpu.global.add.f64 [%0], %1;\n\t}"
                 :
                 : "l"(__cvta_generic_to_global(target)), "d"(term), "r"(static_cast<int>(wanted)));
}

__device__ inline void add_if(bool wanted, uint64* target, uint64 term) {
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.s32 p, %2, 0;\n\t@p red.relaxed.gpu.global.add.u64 [%0], %1;\n\t}"
                 :
                 : "l"(__cvta_generic_to_global(target)), "l"(term), "r"(static_cast<int>(wanted)));
}

// One instruction for 2 or 4 neighbouring additions exists from sm_90 on.
__device__ inline void add_two_if(bool wanted, float* target, float first, float second) {
#if __CUDA_ARCH__ >= 900
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.s32 p, %3, 0;\n\t"
                 "@p red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2};\n\t}"
                 :
                 : "l"(__cvta_generic_to_global(target)), "f"(first), "f"(second), "r"(static_cast<int>(wanted)));
#else
    add_if(wanted, target, first);
    add_if(wanted, target + 1, second);
#endif
}

__device__ inline void add_four_if(bool wanted, float* target, float first, float second, float third, float fourth) {
#if __CUDA_ARCH__ >= 900
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.s32 p, %5, 0;\n\t"
                 "@p red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};\n\t}"
                 :
                 : "l"(__cvta_generic_to_global(target)), "f"(first), "f"(second), "f"(third), "f"(fourth),
                   "r"(static_cast<int>(wanted)));
#else
    add_two_if(wanted, target, first, second);
    add_two_if(wanted, target + 2, third, fourth);
#endif
}
#endif

__device__ inline float widen(float number) { return number; }
__device__ inline double widen(double number) { return number; }
__device__ inline float widen(float16 number) { return half_to_float(number.bits); }
__device__ inline float widen(bfloat16 number) { return bits_float(static_cast<unsigned>(number.bits) << 16); }

// Number `index` of a unit that was read from memory.
template <int BYTES>
__device__ inline real number_of(const Words<BYTES>& words, int index) {
    if constexpr (sizeof(value_t) == 8) {
        return bits_double(words.item[2 * index] | static_cast<uint64>(words.item[2 * index + 1]) << 32);
    } else if constexpr (sizeof(value_t) == 4) {
        return bits_float(words.item[index]);
    } else {
        return widen(value_t{static_cast<unsigned short>(words.item[index / 2] >> index % 2 * 16)});
    }
}

template <class T>
struct Narrow {
    __device__ static T from(real number) { return static_cast<T>(number); }
};
template <>
struct Narrow<float16> {
    __device__ static float16 from(real number) { return {float_to_half(static_cast<float>(number))}; }
};
template <>
struct Narrow<bfloat16> {
    // By integers, because sm_75 has no instruction: to nearest, ties to even; a NaN stays one.
    __device__ static bfloat16 from(real number) {
        const unsigned bits = float_bits(static_cast<float>(number));
        if ((bits & 0x7fffffffu) > 0x7f800000u) {
            return {static_cast<unsigned short>((bits >> 16) | 0x40u)};
        }
        return {static_cast<unsigned short>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
    }
};

#endif
