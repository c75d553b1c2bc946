// Launches the kernels of one CUDA source on the CPU, by name and with the argument array of cuLaunchKernel.
//
// Compiled with -DSOURCE='"msda.cu"' -DKERNELS='KERNEL(msda_forward) KERNEL(msda_backward)' and the macros of SOURCE.
#include <stdio.h>

#include <type_traits>
#include <utility>

#include "device.h"
#include SOURCE

namespace {

template <class... Arguments, size_t... Positions>
void call(void (*kernel)(Arguments...), void** arguments, std::index_sequence<Positions...>) {
    kernel(*static_cast<std::remove_const_t<Arguments>*>(arguments[Positions])...);
}

template <auto kernel>
struct Call;
template <class... Arguments, void (*kernel)(Arguments...)>
struct Call<kernel> {
    static void run(void* arguments) {
        call(kernel, static_cast<void**>(arguments), std::index_sequence_for<Arguments...>());
    }

    // Of each argument in bytes, negative for a floating-point number.
    static bool fits(const int* sizes, int count) {
        const int wanted[] = {(std::is_floating_point_v<Arguments> ? -1 : 1) * static_cast<int>(sizeof(Arguments))...};
        bool same = count == static_cast<int>(sizeof...(Arguments));
        for (int i = 0; same && i < count; ++i) {
            same = sizes[i] == wanted[i];
        }
        return same;
    }
};

struct Kernel {
    const char* name;
    void (*run)(void*);
    bool (*fits)(const int*, int);
};

#define KERNEL(name) {#name, Call<name>::run, Call<name>::fits},
const Kernel kernels[] = {KERNELS};

}  // namespace

unsigned common_divisor(unsigned first, unsigned second) {
    return second == 0 ? first : common_divisor(second, first % second);
}

// Runs `blocks` blocks of `threads` threads, one after the other; `seed` decides the order, 0 is ascending.
// Returns 0, or 1 with the reason on stderr.
extern "C" int launch(const char* name, unsigned blocks, unsigned threads, void** arguments, const int* sizes,
                      int count, unsigned seed) {
    try {
        for (const Kernel& kernel : kernels) {
            if (strcmp(kernel.name, name) != 0) {
                continue;
            }
            if (threads % emulation::LANES != 0) {
                throw "a block must consist of whole warps";
            }
            if (!kernel.fits(sizes, count)) {
                throw "the arguments are not those of the kernel";
            }
            unsigned step = 1 + seed * 7 % blocks;  // every block once: a step without a common divisor
            while (common_divisor(step, blocks) != 1) {
                ++step;
            }
            gridDim.x = blocks;
            blockDim.x = threads;
            for (unsigned turn = 0; turn < blocks; ++turn) {
                blockIdx.x = (turn * step + seed) % blocks;
                for (unsigned first = 0; first < threads; first += emulation::LANES) {
                    emulation::run_warp(first, kernel.run, arguments);
                }
            }
            return 0;
        }
        throw "no kernel of this name";
    } catch (const char* error) {
        fprintf(stderr, "%s: %s\n", name, error);
        return 1;
    }
}

extern "C" float widened(unsigned bits) { return half_to_float(static_cast<unsigned short>(bits)); }
extern "C" unsigned narrow(float number) { return float_to_half(number); }
