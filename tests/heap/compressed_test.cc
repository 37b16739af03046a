// Heaps with compressed references: where do they lie, what may their types be, and are words that
// look like references left alone?
#include "atoll/typed.h"
#include "heap/heap_state.h"
#include "safepoint/platform.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;
using E = CompressedPointers;

struct SmallNode : Object {
  CompressedMember<SmallNode> left;
  CompressedMember<SmallNode> right;
};
static_assert(sizeof(SmallNode) == 16);
using Array = CompressedRefArray<SmallNode>;

}  // namespace

template <>
struct Fields<SmallNode> : References<ATOLL_FIELD(SmallNode, left), ATOLL_FIELD(SmallNode, right)> {
};

namespace {

class Compressed : public HeapTest {
 protected:
  Compressed() { options().encoding = E::kEncoding; }

  const Type& node_type() {
    if (node_type_ == nullptr) {
      node_type_ = heap().RegisterType(Describe<SmallNode>("SmallNode")).value();
      array_type_ = heap().RegisterType(DescribeRefArray<E>("Nodes")).value();
    }
    return *node_type_;
  }
  const Type& array_type() {
    node_type();
    return *array_type_;
  }
  SmallNode* Tree(Mutator& mutator, int depth) {
    if (depth == 0) return New<SmallNode>(mutator, node_type());
    const StackScope scope(mutator);
    const StackLocal<SmallNode> left(mutator, Tree(mutator, depth - 1));
    SmallNode* right = Tree(mutator, depth - 1);
    return New<SmallNode>(
        mutator, node_type(),
        [&](SmallNode* node, SmallNode* kept_left, SmallNode* kept_right) {
          node->left.Init(mutator, node, kept_left);
          node->right.Init(mutator, node, kept_right);
        },
        left.get(), right);
  }
  static size_t Count(const SmallNode* node) {
    if (node == nullptr) return 0;
    return 1 + Count(node->left.get()) + Count(node->right.get());
  }
  uintptr_t base() { return heap().state().space->base(); }

 private:
  const Type* node_type_ = nullptr;
  const Type* array_type_ = nullptr;
};

TEST_F(Compressed, TreesSurviveEveryCollection) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const StackScope scope(mutator);
  const StackLocal<SmallNode> young(mutator, Tree(mutator, 12));
  for (int round = 0; round < 4; ++round) {
    round == 3 ? Group() : round == 1 ? Major(region) : Minor(region);
    ExpectValid();
    ASSERT_EQ(Count(young.get()), (size_t{1} << 13) - 1);
  }
  // The old tree gets a young one.
  SmallNode* fresh = Tree(mutator, 3);
  young.get()->left.Set(mutator, young.get(), fresh);
  ExpectValid();
  Minor(region);
  EXPECT_EQ(Count(young.get()), (size_t{1} << 12) + 15);
}

TEST_F(Compressed, HeapsShareOneRangeAndOthersLieBehindIt) {
  options().limit_bytes = size_t{1} << 30;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  HeapOptions plain_options = options();
  plain_options.encoding = PlainPointers::kEncoding;
  std::unique_ptr<Heap> plain = CreateHeap(plain_options).value();
  const TestTypes plain_types(*plain);
  TestRegion plain_region(*plain);
  Mutator& plain_mutator = plain_region.Enter();
  const bool is_parted = heap().state().space->size() >= 2 * kCompressedRange;
  for (int i = 0; i < 20; ++i) {
    mutator.MakeCurrent();
    const ObjectPtr inside = mutator.AllocateArray(*types().bytes, 3 << 20);
    ASSERT_TRUE(inside) << mutator.last_error().message();
    EXPECT_EQ(inside.address() & ~(kCompressedRange - 1), base() & ~(kCompressedRange - 1));
    EXPECT_GE(inside.address() - base(), kChunkSize) << "zero would be a reference";
    plain_mutator.MakeCurrent();
    const ObjectPtr behind = plain_mutator.AllocateArray(*plain_types.bytes, 3 << 20);
    ASSERT_TRUE(behind) << plain_mutator.last_error().message();
    EXPECT_EQ(behind.address() - base() >= kCompressedRange, is_parted);
  }
  plain_region.Leave();
  mutator.MakeCurrent();
}

TEST_F(Compressed, MoreThanTheRangeIsRefusedLikeALimit) {
  options().limit_bytes = size_t{256} << 30;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  EXPECT_FALSE(mutator.AllocateArray(*types().bytes, kCompressedRange));
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(mutator.AllocateArray(*types().bytes, 1 << 20));
}

TEST_F(Compressed, ASlotIsHalfAWordAndItsNeighbourStays) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const StackScope scope(mutator);
  StackLocal<SmallNode> node(mutator, New<SmallNode>(mutator, node_type()));
  SmallNode* child = New<SmallNode>(mutator, node_type());
  node.get()->right.Set(mutator, node.get(), child);
  EXPECT_EQ(node.get()->left.get(), nullptr);
  EXPECT_EQ(node.get()->right.get(), child);
  const Slot left = node.get()->left.slot();
  EXPECT_TRUE(left.is_compressed());
  EXPECT_EQ(left.Next(), node.get()->right.slot());
  EXPECT_EQ(left.Next().address() - left.address(), 4u);
  // By every way of storing.
  const Ref child_ref{reinterpret_cast<Word>(child)};
  Ref expected{};
  EXPECT_TRUE(CompareExchange<E>(mutator, node.get()->ptr(), left, expected, child_ref));
  expected = Ref{};
  EXPECT_FALSE(CompareExchange<E>(mutator, node.get()->ptr(), left, expected, Ref{}));
  EXPECT_EQ(expected, child_ref);
  EXPECT_EQ(Exchange<E>(mutator, node.get()->ptr(), left, Ref{}), child_ref);
  EXPECT_EQ(left.Load(), Ref{});
  StoreRelease<E>(mutator, node.get()->ptr(), left, child_ref);
  EXPECT_EQ(left.LoadAcquire(), child_ref);
  CopyRefs<E>(mutator, node.get()->ptr(), left, node.get()->right.slot(), 1);
  EXPECT_EQ(node.get()->left.get(), node.get()->right.get());
}

TEST_F(Compressed, WeakReferencesAndEphemeronsAreTwoHalves) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr ephemeron = mutator.Allocate(*types().ephemeron);
  region.SetRoot(0, ephemeron);
  const ObjectPtr key = NewPair(mutator, 1);
  region.SetRoot(1, key);
  const ObjectPtr value = NewPair(mutator, 2);
  const Slot key_slot = ObjectSlot<E>(ephemeron.address() + kHeaderSize);
  Store<E>(mutator, ephemeron, key_slot, RefOf(key));
  Store<E>(mutator, ephemeron, key_slot.Next(), RefOf(value));
  const ObjectPtr weak = mutator.Allocate(*types().weak);
  region.SetRoot(2, weak);
  Store<E>(mutator, weak, ObjectSlot<E>(weak.address() + kHeaderSize), RefOf(value));
  for (int round = 0; round < 3; ++round) {
    round == 1 ? Major(region) : Minor(region);
    const Ref moved = WeakGet<E>(region.RootObject(2));
    ASSERT_NE(moved.word, 0u);
    EXPECT_EQ(IdAt(ObjectOf(moved)), 2u);
    ExpectValid();
  }
  region.Root(1) = 0;
  Major(region);
  EXPECT_EQ(WeakGet<E>(region.RootObject(2)).word, 0u);
  EXPECT_EQ(ObjectSlot<E>(region.Root(0) + kHeaderSize).Next().Load().word, 0u);
}

TEST_F(Compressed, LargeArraysAreRememberedByCards) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const StackScope scope(mutator);
  constexpr size_t kLength = 100'000;
  StackLocal<Array> array(mutator, NewArray<Array>(mutator, array_type(), kLength));
  Major(region);
  for (size_t i = 0; i < kLength; ++i) {
    SmallNode* node = New<SmallNode>(mutator, node_type());
    array.get()->at(i).Set(mutator, array.get(), node);
  }
  ExpectValid();
  Minor(region);
  ExpectValid();
  for (size_t i = 0; i < kLength; ++i) ASSERT_NE(array.get()->at(i).get(), nullptr) << i;
  EXPECT_EQ(array.get()->length, kLength);
}

TEST_F(Compressed, ATypeOfAnotherSlotSizeIsRefused) {
  TypeInfo info;
  info.name = "Wide";
  info.layout = Layout::kFixed;
  info.fixed_size = 24;
  info.ref_offsets = {8, 16};
  const Result<const Type*> wide = heap().RegisterType(info);
  ASSERT_FALSE(wide.ok());
  EXPECT_EQ(wide.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(wide.status().message(), HasSubstr("\"Wide\""));
  EXPECT_THAT(wide.status().message(), HasSubstr("slot_size is 8"));
  EXPECT_THAT(wide.status().message(), HasSubstr("compressed"));
  HeapOptions options = this->options();
  options.encoding = PlainPointers::kEncoding;
  const std::unique_ptr<Heap> plain = CreateHeap(options).value();
  const Result<const Type*> narrow = plain->RegisterType(Describe<SmallNode>("Narrow"));
  ASSERT_FALSE(narrow.ok());
  EXPECT_THAT(narrow.status().message(), HasSubstr("slot_size is 4"));
  info.slot_size = 2;
  EXPECT_FALSE(plain->RegisterType(info).ok());
}

// A compressed slot holds references only, so any other word is one to somewhere; the verifier
// says to what.
TEST_F(Compressed, TheVerifierFindsForeignWordsInSlots) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.Root(0) = reinterpret_cast<uintptr_t>(New<SmallNode>(mutator, node_type()));
  const Slot slot = ObjectSlot<E>(region.Root(0) + kHeaderSize);
  for (const Word value : {Word{1}, Word{41}, Word{0x1234'5678}, Word{0xFFFF'FFFF}}) {
    SCOPED_TRACE(value);
    *reinterpret_cast<CompressedWord*>(slot.address()) = static_cast<CompressedWord>(value);
    const Word word = slot.Load().word;
    const Status status = heap().Verify();
    EXPECT_EQ(status.ok(), !mutator.InReservation(word));
    if (!status.ok()) {
      EXPECT_THAT(status.message(), AllOf(HasSubstr("slot +8"), HasSubstr("SmallNode")));
    }
  }
  slot.StoreRaw(Ref{});
  ExpectValid();
}

#if ATOLL_CHECKS  // the inline barrier checks in such builds only
TEST_F(Compressed, WrongSlotsAndValuesAreSeenInCheckedBuilds) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("careless");
  const ObjectPtr pair = NewPair(mutator, 1);
  region.SetRoot(0, pair);
  const Slot slot = ObjectSlot<E>(pair.address() + kA);
  const auto expect_seen = [&](const char* what) {
    ASSERT_EQ(violations().size(), 1u);
    EXPECT_EQ(violations()[0].kind, Violation::Kind::kWrongSlot);
    EXPECT_THAT(violations()[0].message, HasSubstr("\"careless\""));
    EXPECT_THAT(violations()[0].message, HasSubstr(what));
    violations().clear();
    EXPECT_EQ(slot.Load(), Ref{}) << "nothing was stored";
  };
  const Ref number{Word{41} << 40};
  Store<E>(mutator, pair, slot, number);
  expect_seen("compressed range");
  StoreInitial<E>(mutator, pair, slot, number);
  expect_seen("compressed range");
  Ref expected{};
  EXPECT_FALSE(CompareExchange<E>(mutator, pair, slot, expected, number));
  expect_seen("compressed range");
  EXPECT_EQ(Exchange<E>(mutator, pair, slot, number), Ref{});
  expect_seen("compressed range");
  Store<E>(mutator, pair, Slot(slot.address()), RefOf(pair));
  expect_seen("ObjectSlot");
  Store<PlainPointers>(mutator, pair, Slot(slot.address()), RefOf(pair));
  expect_seen("template argument");
}
#endif

TEST_F(Compressed, SlotsOverlapTheLengthByTheByte) {
  TypeInfo info;
  info.name = "Beside";
  info.layout = Layout::kRefArray;
  info.slot_size = 4;
  info.fixed_size = 24;
  info.element_size = 4;
  info.length_offset = 12;
  info.length_width = 4;
  info.ref_offsets = {8, 16};
  EXPECT_TRUE(heap().RegisterType(info).ok());
  info.ref_offsets = {12};
  const Result<const Type*> over = heap().RegisterType(info);
  ASSERT_FALSE(over.ok());
  EXPECT_THAT(over.status().message(), HasSubstr("overlaps the length"));
}

}  // namespace
}  // namespace Atoll
