// A program outside Atoll: what an embedder's build sees of an installed copy.
#include <atoll/status.h>

#include <cstdio>

#if !defined(ATOLL_CHECKS) || !defined(ATOLL_SCHEDULES) || !defined(ATOLL_JEMALLOC) || \
    !defined(ATOLL_ASAN) || !defined(ATOLL_TSAN)
#error "the package does not carry the definitions that Atoll's headers depend on"
#endif

int main() {
  const Atoll::Status status = Atoll::Status::Ok();
  std::puts(status.ok() ? "outside: ok" : "outside: failed");
  return status.ok() ? 0 : 1;
}
