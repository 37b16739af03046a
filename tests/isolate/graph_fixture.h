// Graphs of objects of every layout, built from a plain C++ model and compared with it.
#ifndef ATOLL_TESTS_ISOLATE_GRAPH_FIXTURE_H_
#define ATOLL_TESTS_ISOLATE_GRAPH_FIXTURE_H_

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <unordered_map>

#include "heap/object_model.h"
#include "heap/object_slots.h"
#include "heap/region_state.h"
#include "isolate/graph_copier.h"
#include "safepoint/platform.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {

/// { header, id, first, count, slots.. }: `count` references from the slot `first` on; and an
/// address into itself, which its `moved` hook keeps right.
struct CustomObject {
  static constexpr size_t kSlots = 6;
  Word header;
  uint64_t id;
  uint64_t first;
  uint64_t count;
  Word self;  ///< the address of `id`
  Word slots[kSlots];

  template <bool kCompressed>
  static void Trace(ObjectPtr object, SlotVisitor& visitor) {
    auto* custom = reinterpret_cast<CustomObject*>(object.address());
    const auto start = reinterpret_cast<uintptr_t>(custom->slots);
    const Slot slots = kCompressed ? Slot::Compressed(start) : Slot(start);
    visitor.VisitRange(slots.Next(custom->first), custom->count);
  }
};

/// Further types for graphs.
struct GraphTypes {
  const Type* structs;  ///< { header, id, length, a reference, { number, reference, reference }.. }
  const Type* custom;   ///< CustomObject
  const Type* wide;     ///< { header, id, references at words 1, 50, 63, 64, 98 .. }
  const Type* unit;     ///< a header and nothing else
  const Type* socket;   ///< as pair, unsendable
  const Type* stray;    ///< custom, visits a slot outside

  static constexpr uint32_t kStructRef = 24;
  static constexpr uint32_t kStructElements = 32;
  static constexpr uint32_t kStructSize = 24;
  static constexpr uint32_t kWideWords = 100;
  static const std::vector<uint32_t>& WideOffsets() {
    static const std::vector<uint32_t> offsets{16, 400, 504, 512, 520, 784};
    return offsets;
  }
  static inline Word outside = 0;

  explicit GraphTypes(Heap& heap) {
    const bool is_compressed = heap.encoding().compressed;
    const uint32_t slot_size = is_compressed ? 4 : 8;
    auto add = [&heap](const TypeInfo& info) {
      Result<const Type*> type = heap.RegisterType(info);
      EXPECT_TRUE(type.ok()) << type.status().message();
      return type.value();
    };
    TypeInfo info;
    info.slot_size = slot_size;
    info.name = "Structs";
    info.layout = Layout::kStructArray;
    info.fixed_size = kStructElements;
    info.ref_offsets = {kStructRef};
    info.element_size = kStructSize;
    info.length_offset = 16;
    info.element_ref_offsets = {8, 8 + slot_size};
    structs = add(info);
    info = TypeInfo();
    info.slot_size = slot_size;
    info.name = "Custom";
    info.layout = Layout::kCustom;
    info.fixed_size = sizeof(CustomObject);
    info.trace = is_compressed ? CustomObject::Trace<true> : CustomObject::Trace<false>;
    info.moved = [](ObjectPtr object, uintptr_t from) {
      reinterpret_cast<CustomObject*>(object.address())->self += object.address() - from;
    };
    custom = add(info);
    info = TypeInfo();
    info.slot_size = slot_size;
    info.name = "Wide";
    info.layout = Layout::kFixed;
    info.fixed_size = kWideWords * sizeof(Word);
    info.ref_offsets = WideOffsets();
    wide = add(info);
    info = TypeInfo();
    info.name = "Unit";
    unit = add(info);
    info = TypeInfo();
    info.slot_size = slot_size;
    info.name = "Socket";
    info.layout = Layout::kFixed;
    info.fixed_size = sizeof(PairObject);
    info.ref_offsets = {kA, kB};
    info.flags.unsendable = true;
    socket = add(info);
    info = TypeInfo();
    info.slot_size = slot_size;
    info.name = "Stray";
    info.layout = Layout::kCustom;
    info.fixed_size = 16;
    info.trace = [](ObjectPtr, SlotVisitor& visitor) { visitor.VisitSlot(Slot(&outside)); };
    stray = add(info);
  }
};

/// A copier, and a second region for what it copies.
class GraphTest : public HeapTest {
 protected:
  ~GraphTest() override { copier_.reset(); }

  const GraphTypes& graph_types() {
    if (graph_types_ == nullptr) graph_types_ = std::make_unique<GraphTypes>(heap());
    return *graph_types_;
  }
  GraphCopier& copier() {
    if (copier_ == nullptr) copier_ = std::make_unique<GraphCopier>(heap());
    return *copier_;
  }

  /// Copies into a region of its own, which `receiver` adopts; the root lands in its root 0.
  Status CopyAndAdopt(Mutator& source, Ref root, TestRegion& receiver) {
    Result<std::unique_ptr<Region>> region = heap().CreateRegion({.name = "message"});
    Result<std::unique_ptr<Mutator>> mutator = region.value()->AttachMutator("message");
    Ref copied;
    Status status = copier().CopyInto(source, root, *mutator.value(), &copied);
    EXPECT_TRUE(mutator.value()->Detach().ok());
    if (!status.ok()) {
      EXPECT_EQ(region.value()->stats().block_bytes, 0u);
      return status;
    }
    EXPECT_TRUE(receiver.region().Adopt(*region.value()).ok());
    receiver.Root(0) = copied.word;
    return status;
  }

  /// Whether two graphs are the same but for the objects' addresses; and share no private object.
  void ExpectSame(Mutator& mutator, Word a, Word b) {
    const RefEncoding& encoding = heap().encoding();
    std::unordered_map<uintptr_t, uintptr_t> there;
    std::unordered_map<uintptr_t, uintptr_t> back;
    std::deque<std::pair<uintptr_t, uintptr_t>> queue;
    auto compare = [&](Word one, Word other) {
      const bool is_private = mutator.RefersIntoHeap(encoding, Ref{one}) &&
                              (mutator.TagOf(encoding.Decode(one)) & tag::kShared) == 0;
      if (!is_private) return one == other;
      if ((one & ~encoding.address_mask) != (other & ~encoding.address_mask)) return false;
      const uintptr_t from = encoding.Decode(one);
      const uintptr_t to = encoding.Decode(other);
      const auto [at, fresh] = there.emplace(from, to);
      if (fresh) queue.emplace_back(from, to);
      return from != to && at->second == to && back.emplace(to, from).first->second == from;
    };
    ASSERT_TRUE(compare(a, b)) << "roots";
    while (!queue.empty()) {
      const uintptr_t from = queue.front().first;
      const uintptr_t to = queue.front().second;
      queue.pop_front();
      const Type& type = mutator.TypeOf(ObjectPtr(from));
      const size_t size = mutator.SizeOf(ObjectPtr(from));
      SCOPED_TRACE("an object of type " + type.name());
      ASSERT_EQ(HeaderOf(from).load() & ~Word{0xFF}, HeaderOf(to).load() & ~Word{0xFF});
      ASSERT_EQ(mutator.SizeOf(ObjectPtr(to)), size);
      // What is no slot, in halves of words: slots may be that.
      using Half = CompressedWord;
      std::vector<Half> one(size / sizeof(Half));
      std::vector<Half> other(size / sizeof(Half));
      std::memcpy(one.data(), reinterpret_cast<const void*>(from), size);
      std::memcpy(other.data(), reinterpret_cast<const void*>(to), size);
      auto leave_out = [&](size_t offset, size_t bytes) {
        for (size_t i = 0; i < bytes; i += sizeof(Half)) {
          one[(offset + i) / sizeof(Half)] = other[(offset + i) / sizeof(Half)] = 0;
        }
      };
      leave_out(0, kHeaderSize);
      if (&type == graph_types().custom) {
        ASSERT_EQ(reinterpret_cast<CustomObject*>(to)->self, to + offsetof(CustomObject, id));
        leave_out(offsetof(CustomObject, self), sizeof(Word));
      }
      ForEachSlotOf(heap().state(), from, [&](Slot slot) {
        const size_t offset = slot.address() - from;
        EXPECT_TRUE(compare(slot.Load().word, type.SlotAt(to + offset).Load().word)) << offset;
        leave_out(offset, slot.bytes());
      });
      ASSERT_EQ(one, other);
    }
  }

  /// All bytes that a region's lists hold, to see that a copy leaves its source alone.
  static std::vector<Word> BytesOf(Region& region) {
    std::vector<Word> bytes;
    RegionState& state = region.state();
    state.ForEachPart([&](Part& part) {
      for (const BlockList* list :
           {&part.young, &part.old, &part.recyclable, &part.young_large, &part.large}) {
        list->ForEach(*state.heap.space, [&](BlockIndex block) {
          const BlockInfo& info = state.heap.space->info(block);
          const auto* words = reinterpret_cast<const Word*>(state.heap.space->AddressOf(block));
          const size_t count = info.space == Space::kNew ? info.top / sizeof(Word)
                                                         : info.run_blocks * kBlockSize / 8;
          bytes.insert(bytes.end(), words, words + count);
        });
      }
    });
    return bytes;
  }

 private:
  std::unique_ptr<GraphTypes> graph_types_;
  std::unique_ptr<GraphCopier> copier_;
};

class GraphCopierTest : public GraphTest {
 protected:
  ~GraphCopierTest() override { platform::faults::Reset(); }

  ObjectPtr NewArray(Mutator& mutator, size_t length) {
    return mutator.AllocateArray(*types().array, length);
  }
  const Type& FrozenBytes() {
    TypeInfo info;
    info.name = "FrozenBytes";
    info.layout = Layout::kLeaf;
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    info.flags.deeply_immutable = true;
    return *heap().RegisterType(info).value();
  }
  /// What is left behind when a copy of root 0 is refused: nothing.
  Status ExpectRefused(TestRegion& source, StatusCode code) {
    TestRegion receiver(heap());
    const size_t used = heap().state().pool.used_bytes();
    const std::vector<Word> before = BytesOf(source.region());
    const Status status = CopyAndAdopt(source.mutator(), Ref{source.Root(0)}, receiver);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_EQ(heap().state().pool.used_bytes(), used);
    EXPECT_EQ(BytesOf(source.region()), before);
    ExpectValid();
    return status;
  }
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_ISOLATE_GRAPH_FIXTURE_H_
