// Objects of the Shared space for tests: made by hand, as publishing does.
#ifndef ATOLL_TESTS_GC_SHARED_FIXTURE_H_
#define ATOLL_TESTS_GC_SHARED_FIXTURE_H_

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/shared_allocator.h"
#include "tests/gc/gc_fixture.h"

namespace Atoll {

/// References held outside all regions.
class HeldByGroup final : public GroupRoots {
 public:
  void VisitRoots(RootVisitor& visitor) override {
    for (Word& word : words) visitor.VisitSlot(Slot(&word));
  }
  std::deque<Word> words;
};

class SharedSpaceTest : public GcTest {
 protected:
  ~SharedSpaceTest() override { platform::faults::Reset(); }

  struct FrozenTypes {
    const Type* pair;   ///< PairObject
    const Type* array;  ///< { header, length, references }
    const Type* bytes;  ///< { header, length, bytes }
    const Type* weak;   ///< { header, weak, id, strong }
  };
  const FrozenTypes& frozen() {
    if (!frozen_) {
      auto copy = [this](const std::string& name, Layout layout, uint32_t size,
                         std::vector<uint32_t> refs, uint32_t element) {
        TypeInfo info;
        info.name = name;
        info.layout = layout;
        info.fixed_size = size;
        info.ref_offsets = std::move(refs);
        info.element_size = element;
        info.length_offset = element == 0 ? 0 : 8;
        info.flags.deeply_immutable = true;
        return heap().RegisterType(info).value();
      };
      frozen_ = FrozenTypes{
          copy("FrozenPair", Layout::kFixed, sizeof(PairObject), {kA, kB}, 0),
          copy("FrozenArray", Layout::kRefArray, kElements, {}, sizeof(Word)),
          copy("FrozenBytes", Layout::kLeaf, kElements, {}, 1),
          copy("FrozenWeak", Layout::kWeakRef, 32, {24}, 0),
      };
    }
    return *frozen_;
  }

  /// A shared object, null when memory is refused.
  static ObjectPtr New(SharedAllocator& allocator, const Type& type, size_t length = 0) {
    const size_t size = type.has_elements() ? SizeForLength(type, length) : type.fixed_size;
    const uintptr_t at = allocator.Allocate(size);
    if (at == 0) return {};
    *reinterpret_cast<Word*>(at) = type.header_word;
    if (type.has_elements()) Mutator::StoreLength(type, at, length);
    return ObjectPtr(at);
  }
  ObjectPtr NewSharedPair(SharedAllocator& allocator, uint64_t id, ObjectPtr a = {},
                          ObjectPtr b = {}) {
    const ObjectPtr pair = New(allocator, *frozen().pair);
    if (!pair) return pair;
    IdAt(pair) = id;
    SlotAt(pair, kA).StoreRaw(RefOf(a));
    SlotAt(pair, kB).StoreRaw(RefOf(b));
    return pair;
  }
  /// Linked by `a`.
  ObjectPtr NewSharedList(SharedAllocator& allocator, uint64_t first, size_t count) {
    ObjectPtr head;
    for (size_t i = count; i-- > 0;) head = NewSharedPair(allocator, first + i, head);
    return head;
  }
  /// Does a shared object start there, as far as the last group collection knows?
  bool IsThere(uintptr_t object) {
    const AddressSpace& space = *heap().state().space;
    return space.info(space.BlockOf(object)).space == Space::kShared && space.IsMarked(object);
  }
  bool IsThere(ObjectPtr object) { return IsThere(object.address()); }
  size_t SharedBytes() { return heap().stats().shared_bytes; }
  std::string MessageOfBrokenHeap() {
    const Status status = heap().Verify();
    EXPECT_EQ(status.code(), StatusCode::kInvariantViolated) << status.message();
    return status.message();
  }

 private:
  std::optional<FrozenTypes> frozen_;
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_GC_SHARED_FIXTURE_H_
