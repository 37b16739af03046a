#include "guide.h"

int main() {
  guide::World world;
  guide::ShowObjects(world);
  guide::ShowMemory(world);
  guide::ShowThreads(world);

  // [stress]
  Atoll::HeapOptions options;
  options.stress.collect_every = 1000;    // ATOLL_STRESS_EVERY=1000
  options.stress.move_everything = true;  // ATOLL_STRESS_MOVE=1
  options.stress.poison = true;           // ATOLL_STRESS_POISON=1
  options.stress.verify = true;           // ATOLL_VERIFY=1
  // [/stress]
  guide::World stressed(options);
  guide::ShowMemory(stressed);
  guide::Check(stressed.heap->Verify().ok(), "the invariants hold");

  const Atoll::HeapStats stats = world.heap->stats();
  std::printf("guide: all as described; %llu minor and %llu major collections\n",
              static_cast<unsigned long long>(stats.minor.count),
              static_cast<unsigned long long>(stats.major.count));
  return 0;
}
