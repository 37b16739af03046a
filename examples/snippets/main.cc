#include "snippets.h"

namespace snippets {

Atoll::HeapOptions Stressed() {
  // [knobs]
  Atoll::HeapOptions options;
  options.stress.collect_every = 3;        // ATOLL_STRESS_EVERY=3
  options.stress.every_allocation = true;  // ATOLL_STRESS_ALLOC=1
  options.stress.move_everything = true;   // ATOLL_STRESS_MOVE=1
  options.stress.poison = true;            // ATOLL_STRESS_POISON=1
  options.stress.verify = true;            // ATOLL_VERIFY=1
  // [/knobs]
  return options;
}

namespace {

Atoll::TypeInfo DescribeWeakBox() {
  Atoll::TypeInfo info;
  info.name = "WeakBox";
  info.layout = Atoll::Layout::kWeakRef;
  info.fixed_size = Atoll::kHeaderSize + sizeof(Atoll::Word);
  return info;
}

}  // namespace

World::World() : heap(Atoll::CreateHeap(Stressed()).value()) {
  node_type = heap->RegisterType(Atoll::Describe<Node>("Node")).value();
  frame_type = heap->RegisterType(Atoll::DescribeRefArray("Frame")).value();
  bytes_type = heap->RegisterType(Atoll::DescribeDataArray<char>("Bytes")).value();
  weak_type = heap->RegisterType(DescribeWeakBox()).value();
}

}  // namespace snippets

int main() {
  snippets::World world;
  auto region = world.heap->CreateRegion({.name = "snippets"}).value();
  auto mutator = region->AttachMutator("main").value();
  {
    const Atoll::ManagedScope managed(*mutator);
    snippets::ShowPointers(*mutator, world);
    snippets::ShowStores(*mutator, world);
    snippets::ShowStates(*mutator, world);
  }
  snippets::Check(mutator->Detach().ok(), "no scope is left open");
  snippets::ShowCompressed(snippets::Stressed());
  snippets::Check(world.heap->Verify().ok(), "the invariants hold");
  std::printf("snippets: all right; %llu collections\n",
              static_cast<unsigned long long>(region->stats().minors));
  return 0;
}
