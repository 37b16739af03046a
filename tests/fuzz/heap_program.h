// What does a program of bytes do to a heap, and to a model of it in plain C++? The two must agree,
// whatever the bytes are.
#ifndef ATOLL_TESTS_FUZZ_HEAP_PROGRAM_H_
#define ATOLL_TESTS_FUZZ_HEAP_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace Atoll::fuzz {

/// Runs the program in a heap of its own; the first two bytes choose its knobs. Returns what was
/// wrong, or the empty string. Needs no valid input: every byte means something.
std::string RunHeapProgram(const uint8_t* data, size_t size);

}  // namespace Atoll::fuzz

#endif  // ATOLL_TESTS_FUZZ_HEAP_PROGRAM_H_
