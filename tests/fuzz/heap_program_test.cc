// Random byte programs, from seeds; without a coverage-guided fuzzer, but in every test run.
//
//   ATOLL_SEED=n       another seed
//   ATOLL_FUZZ_RUNS=n  that many programs
#include "tests/fuzz/heap_program.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <vector>

#include "atoll/config.h"

namespace Atoll::fuzz {
namespace {

uint64_t NumberFromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(HeapProgram, RandomBytes) {
  const uint64_t seed = NumberFromEnvironment("ATOLL_SEED", 1);
  const uint64_t runs =
      NumberFromEnvironment("ATOLL_FUZZ_RUNS", ATOLL_TSAN || ATOLL_ASAN ? 30 : 250);
  for (uint64_t run = 0; run < runs; ++run) {
    std::mt19937_64 random(seed + run);
    std::vector<uint8_t> bytes(random() % 4'000);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const std::string wrong = RunHeapProgram(bytes.data(), bytes.size());
    ASSERT_EQ(wrong, "") << "ATOLL_SEED=" << seed + run << " ATOLL_FUZZ_RUNS=1";
  }
}

TEST(HeapProgram, EmptyAndTruncated) {
  const uint8_t bytes[] = {31, 3, 0, 1, 255, 2, 14, 3};
  for (size_t size = 0; size <= sizeof(bytes); ++size) {
    EXPECT_EQ(RunHeapProgram(bytes, size), "") << size;
  }
}

}  // namespace
}  // namespace Atoll::fuzz
