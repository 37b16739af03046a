// A heap, regions and plain objects for tests: who holds what is said by roots that a test names.
#ifndef ATOLL_TESTS_HEAP_HEAP_FIXTURE_H_
#define ATOLL_TESTS_HEAP_HEAP_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "atoll/gc.h"
#include "atoll/handles.h"
#include "atoll/heap.h"

namespace Atoll {

/// { header, id, a, b }: what most tests build graphs from.
struct PairObject {
  Word header;
  uint64_t id;
  Word a;
  Word b;
};
inline constexpr uint32_t kA = 16;
inline constexpr uint32_t kB = 24;

/// All under PlainPointers; TestTypes are of any encoding.
inline Ref RefOf(ObjectPtr object) { return Ref{object.address()}; }
inline ObjectPtr ObjectOf(Ref ref) { return ObjectPtr(ref.word); }
inline Slot SlotAt(ObjectPtr object, size_t offset) { return Slot(object.address() + offset); }
inline ObjectPtr Load(ObjectPtr object, size_t offset) {
  return ObjectOf(SlotAt(object, offset).Load());
}
inline uint64_t& IdAt(ObjectPtr object, size_t offset = 8) {
  return *reinterpret_cast<uint64_t*>(object.address() + offset);
}
inline void Link(Mutator& mutator, ObjectPtr from, size_t offset, ObjectPtr to) {
  Store(mutator, from, SlotAt(from, offset), RefOf(to));
}
/// Stores a fresh object, whose making may have moved the one that it is stored into.
template <typename Owner>
void LinkNew(Mutator& mutator, size_t offset, ObjectPtr fresh, Owner owner) {
  Link(mutator, owner(), offset, fresh);
}
/// Elements of the array types below start here.
inline constexpr uint32_t kElements = 16;
inline constexpr uint32_t ElementAt(size_t index) {
  return static_cast<uint32_t>(kElements + index * sizeof(Word));
}

struct TestTypes {
  const Type* pair;       ///< PairObject
  const Type* array;      ///< { header, length, references }
  const Type* bytes;      ///< { header, length, bytes }
  const Type* weak;       ///< { header, weak, id, strong }
  const Type* ephemeron;  ///< { header, key, value, id }
  const Type* still;      ///< as pair, non-moving

  explicit TestTypes(Heap& heap) {
    const uint32_t slot_size = heap.encoding().compressed ? 4 : 8;
    auto add = [&heap](const TypeInfo& info) {
      Result<const Type*> type = heap.RegisterType(info);
      EXPECT_TRUE(type.ok()) << type.status().message();
      return type.value();
    };
    TypeInfo info;
    info.slot_size = slot_size;
    info.name = "Pair";
    info.layout = Layout::kFixed;
    info.fixed_size = sizeof(PairObject);
    info.ref_offsets = {kA, kB};
    pair = add(info);
    info.name = "StillPair";
    info.flags.non_moving = true;
    still = add(info);
    info = TypeInfo();
    info.slot_size = slot_size;
    info.name = "Array";
    info.layout = Layout::kRefArray;
    info.fixed_size = kElements;
    info.element_size = slot_size;
    info.length_offset = 8;
    array = add(info);
    info = TypeInfo();
    info.name = "Bytes";
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    bytes = add(info);
    info = TypeInfo();
    info.slot_size = slot_size;
    info.name = "Weak";
    info.layout = Layout::kWeakRef;
    info.fixed_size = 32;
    info.ref_offsets = {24};
    weak = add(info);
    info = TypeInfo();
    info.slot_size = slot_size;
    info.name = "Ephemeron";
    info.layout = Layout::kEphemeron;
    info.fixed_size = 32;
    ephemeron = add(info);
  }
};

/// A region with roots in a deque, and a managed mutator of the calling thread.
class TestRegion final : public RegionClient {
 public:
  explicit TestRegion(Heap& heap, RegionOptions options = {}) {
    options.client = this;
    Result<std::unique_ptr<Region>> created = heap.CreateRegion(std::move(options));
    EXPECT_TRUE(created.ok()) << created.status().message();
    region_ = std::move(created).value();
  }
  ~TestRegion() override {
    if (mutator_ != nullptr) Leave();
    region_.reset();
  }

  /// Attaches a mutator, managed.
  Mutator& Enter(const std::string& name = "test") {
    Result<std::unique_ptr<Mutator>> attached = region_->AttachMutator(name);
    EXPECT_TRUE(attached.ok()) << attached.status().message();
    mutator_ = std::move(attached).value();
    mutator_->LeaveNative();
    return *mutator_;
  }
  void Leave() {
    // With several mutators on this thread, it may not be the one that became managed last.
    if (mutator_->state() == MutatorState::kManaged) mutator_->MakeCurrent();
    const Status status = mutator_->Detach();
    EXPECT_TRUE(status.ok()) << status.message();
    mutator_.reset();
  }
  void EndRegion() { region_.reset(); }

  Region& region() { return *region_; }
  Mutator& mutator() { return *mutator_; }
  bool has_mutator() const { return mutator_ != nullptr; }

  /// The n-th root, made when first used.
  Word& Root(size_t n) {
    while (roots_.size() <= n) roots_.push_back(0);
    return roots_[n];
  }
  ObjectPtr RootObject(size_t n) { return ObjectPtr(Root(n)); }
  void SetRoot(size_t n, ObjectPtr object) { Root(n) = object.address(); }
  void ClearRoots() { roots_.clear(); }

  void VisitRoots(RootVisitor& visitor) override {
    for (Word& word : roots_) visitor.VisitSlot(Slot(&word));
  }
  size_t NearLimit(size_t needed_bytes, size_t limit_bytes) override {
    near_limit_calls.emplace_back(needed_bytes, limit_bytes);
    return raise_limit_to != 0 ? raise_limit_to : limit_bytes;
  }
  std::vector<std::pair<size_t, size_t>> near_limit_calls;
  size_t raise_limit_to = 0;

 private:
  std::deque<Word> roots_;
  std::unique_ptr<Region> region_;
  std::unique_ptr<Mutator> mutator_;
};

/// One heap, made by the first use of heap() with what options() says until then.
class HeapTest : public ::testing::Test {
 protected:
  HeapTest() {
    options_.name = "test-heap";
    options_.seed = 1;
    options_.workers = 2;
    options_.violation_handler = [](const Violation& violation, void* data) {
      static_cast<HeapTest*>(data)->violations_.push_back(violation);
    };
    options_.violation_data = this;
  }
  ~HeapTest() override {
    types_.reset();
    heap_.reset();
  }

  HeapOptions& options() { return options_; }
  Heap& heap() {
    if (heap_ == nullptr) {
      Result<std::unique_ptr<Heap>> created = CreateHeap(options_);
      EXPECT_TRUE(created.ok()) << created.status().message();
      heap_ = std::move(created).value();
      types_ = std::make_unique<TestTypes>(*heap_);
    }
    return *heap_;
  }
  const TestTypes& types() {
    heap();
    return *types_;
  }
  std::vector<Violation>& violations() { return violations_; }

  ObjectPtr NewPair(Mutator& mutator, uint64_t id) {
    const ObjectPtr object = mutator.Allocate(*types().pair);
    if (object) IdAt(object) = id;
    return object;
  }
  /// A list of pairs linked by `a`, ids first .. first + count - 1; its head is in root n.
  void MakeList(TestRegion& region, size_t n, uint64_t first, size_t count) {
    region.Root(n) = 0;
    for (size_t i = count; i-- > 0;) {
      const ObjectPtr object = NewPair(region.mutator(), first + i);
      ASSERT_TRUE(object) << region.mutator().last_error().message();
      Link(region.mutator(), object, kA, region.RootObject(n));
      region.SetRoot(n, object);
    }
  }
  static void ExpectList(ObjectPtr head, uint64_t first, size_t count) {
    size_t seen = 0;
    for (ObjectPtr at = head; at; at = Load(at, kA)) {
      ASSERT_EQ(IdAt(at), first + seen);
      ++seen;
    }
    EXPECT_EQ(seen, count);
  }
  void ExpectValid() {
    const Status status = heap().Verify();
    EXPECT_TRUE(status.ok()) << status.message();
  }
  static void Collect(Mutator& mutator, Mutator::Collection kind) {
    const Status status = mutator.Collect(kind);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  static void Minor(TestRegion& region) { Collect(region.mutator(), Mutator::Collection::kMinor); }
  static void Major(TestRegion& region) { Collect(region.mutator(), Mutator::Collection::kMajor); }
  void Group() {
    const Status status = heap().CollectAll();
    EXPECT_TRUE(status.ok()) << status.message();
  }
  static bool IsYoung(Mutator& mutator, ObjectPtr object) {
    return mutator.TagOf(object.address()) == mutator.young_tag();
  }

 private:
  HeapOptions options_;
  std::vector<Violation> violations_;
  std::unique_ptr<Heap> heap_;
  std::unique_ptr<TestTypes> types_;
};

/// Counts finalizer calls.
struct Counter {
  int calls = 0;
  static void Add(void* data) { ++static_cast<Counter*>(data)->calls; }
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_HEAP_HEAP_FIXTURE_H_
