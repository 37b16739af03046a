#include "heap/testing.h"

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll::testing {

Status MakeLargeShared(Mutator& mutator, ObjectPtr object) {
  RegionState& region = mutator.region().state();
  HeapState& heap = region.heap;
  const AddressSpace& space = *heap.space;
  if ((LoadFlags(object.address()) & header::kLarge) == 0 || !mutator.TypeOf(object).is_leaf()) {
    return {StatusCode::kInvalidArgument, "only a large leaf object can be made shared in place"};
  }
  const BlockIndex block = space.BlockOf(object.address());
  bool found = false;
  {
    platform::MutexLock lock(region.allocation_mutex);
    for (BlockList* list : {&region.own->young_large, &region.own->large}) {
      BlockList all = list->TakeAll();
      while (!all.empty()) {
        const BlockIndex head = all.Pop(space);
        if (head == block) {
          found = true;
        } else {
          list->Push(space, head);
        }
      }
    }
    if (!found) {
      return {StatusCode::kInvalidArgument, "the object is not in the region's own part"};
    }
    region.blocks.fetch_sub(space.info(block).run_blocks, std::memory_order_relaxed);  // a counter
  }
  space.info(block).space = Space::kShared;
  space.set_tag(block, tag::kShared);
  platform::MutexLock lock(heap.shared_mutex);
  heap.shared.Push(space, block);
  return Status::Ok();
}

}  // namespace Atoll::testing
