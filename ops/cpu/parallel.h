// Threads and scratch memory.
#pragma once

#include "half.h"

#include <cstdlib>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace {

// Calls body(task, thread) once for each task. Tasks write to places of their own, so their order does not matter.
template <class Body>
void parallel_for([[maybe_unused]] int64_t threads, int64_t tasks, const Body& body) {
#if defined(_OPENMP)
    if (threads > 1 && tasks > 1) {
#pragma omp parallel for num_threads(int(threads)) schedule(dynamic)
        for (int64_t task = 0; task < tasks; ++task) body(task, int64_t(omp_get_thread_num()));
        return;
    }
#endif
    for (int64_t task = 0; task < tasks; ++task) body(task, int64_t(0));
}

// Hands out pieces of a block of memory that start at cache lines.
class Scratch {
public:
    static constexpr int64_t line = 64;

    explicit Scratch(char* memory) : next_(memory) {}

    template <class E>
    static int64_t bytes(int64_t count) {
        return (count * int64_t(sizeof(E)) + line - 1) / line * line;
    }

    template <class E>
    E* take(int64_t count) {
        E* piece = reinterpret_cast<E*>(next_);
        next_ += bytes<E>(count);
        return piece;
    }

private:
    char* next_;
};

// A block of memory, of zeros unless said otherwise, or nothing where there is no memory.
class Memory {
public:
    explicit Memory(int64_t bytes, bool zeros = true)
        : block_(static_cast<char*>(zeros ? calloc(size_t(bytes + Scratch::line), 1)
                                          : malloc(size_t(bytes + Scratch::line)))) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { free(block_); }

    explicit operator bool() const { return block_ != nullptr; }

    char* start() const {
        const int64_t past = int64_t(reinterpret_cast<uintptr_t>(block_) % uintptr_t(Scratch::line));
        return block_ + (Scratch::line - past) % Scratch::line;
    }

private:
    char* block_;
};

}  // namespace
