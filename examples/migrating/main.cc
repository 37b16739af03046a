#include <cstdio>
#include <cstdlib>

#include "migrating.h"

namespace {

void Check(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "migrating: not so: %s\n", claim);
  std::exit(1);
}

}  // namespace

int main() {
  using namespace migrating;  // NOLINT(google-build-using-namespace)
  // [claims]
  constexpr Work kWork{.rounds = 20, .length = 3000};
  const Answer before = RunBefore(kWork);
  Check(RunWithoutCollecting(kWork, 0) == before, "step 1 computes what was computed before");
  Check(RunWithHandles(kWork, 0) == before, "so does step 2");
  Check(RunInIsolates(kWork, 0, 4) == before, "so does step 3, in each of four isolates");

  // One round that makes more garbage than the limit: only with handles can it go meanwhile.
  constexpr Work kLarge{.rounds = 1, .length = 40'000};
  constexpr size_t kLimit = size_t{12} << 20;
  Check(!RunWithoutCollecting(kLarge, kLimit), "without collecting the round is refused memory");
  Check(RunWithHandles(kLarge, kLimit).has_value(), "with handles it fits");
  Check(RunInIsolates(kLarge, kLimit, 4).has_value(), "and in each of four isolates");
  // [/claims]
  std::printf("migrating: %lld in each step\n", static_cast<long long>(before.value_or(0)));
  return 0;
}
