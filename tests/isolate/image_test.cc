// Packing a graph off the heap, and unpacking it again.
#include "safepoint/platform.h"
#include "tests/isolate/random_graph.h"

namespace Atoll {
namespace {

using platform::faults::Request;
using ::testing::HasSubstr;
using Packing = GraphCopier::Packing;

class ImageTest : public GraphTest {
 protected:
  ~ImageTest() override { platform::faults::Reset(); }

  Packing Pack(TestRegion& source, size_t roots, size_t max_bytes,
               const CopyOptions& options = {}) {
    std::vector<Ref> words;
    for (size_t i = 0; i < roots; ++i) words.push_back(Ref{source.Root(i)});
    const auto packed =
        copier().Pack(source.mutator(), words, max_bytes, &small_, &image_, options);
    EXPECT_TRUE(packed.ok()) << packed.status().message();
    return packed.value();
  }
  SmallImage small_;
  Image image_;
};

class Collector final : public RootVisitor {
 public:
  void VisitSlot(Slot slot) override { words.push_back(slot.Load().word); }
  std::vector<Word> words;
};

TEST_F(ImageTest, ASmallGraphLiesInItsBuffer) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewPair(mutator, 1));
  LinkNew(mutator, kA, NewPair(mutator, 2), [&] { return source.RootObject(0); });
  Link(mutator, Load(source.RootObject(0), kA), kB, source.RootObject(0));
  const uint32_t hash = mutator.IdentityHash(source.RootObject(0));
  const size_t off_heap = heap().state().allocator.bytes();
  ASSERT_EQ(Pack(source, 1, 64), Packing::kSmall);
  EXPECT_EQ(small_.data_words, 8);
  EXPECT_FALSE(image_);
  EXPECT_EQ(heap().state().allocator.bytes(), off_heap);
  mutator.EnterNative();
  Mutator& receiving = receiver.Enter();
  ASSERT_TRUE(Unpack(receiving, small_.view(), &receiver.Root(0)).ok());
  ExpectSame(receiving, source.Root(0), receiver.Root(0));
  EXPECT_EQ(receiving.IdentityHash(receiver.RootObject(0)), hash);
  EXPECT_TRUE(IsYoung(receiving, receiver.RootObject(0)));
  ExpectValid();
}

TEST_F(ImageTest, OneByteTooManyIsTooLarge) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  MakeList(source, 0, 1, 10);
  EXPECT_EQ(Pack(source, 1, 319), Packing::kTooLarge);
  EXPECT_FALSE(image_);
  EXPECT_EQ(Pack(source, 1, 320), Packing::kImage);
  EXPECT_EQ(image_.view().data_bytes, 320u);
  // 256 nodes are what any image holds at most.
  MakeList(source, 0, 1, 257);
  EXPECT_EQ(Pack(source, 1, 1 << 20), Packing::kTooLarge);
  EXPECT_EQ(image_.view().data_bytes, 320u) << "left as it was";
  Store(mutator, source.RootObject(0), SlotAt(source.RootObject(0), kB), Ref{});
  source.Root(0) = Load(source.RootObject(0), kA).address();
  EXPECT_EQ(Pack(source, 1, 1 << 20), Packing::kImage);
  EXPECT_EQ(image_.view().data_bytes, kLargeObjectThreshold);
}

TEST_F(ImageTest, SeveralRootsShareObjects) {
  constexpr size_t kRoots = 21;
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  const ObjectPtr program = heap().AllocateProgram(*types().pair);
  MakeList(source, 0, 1, 50);
  source.Root(1) = 7;  // an immediate
  source.Root(2) = 0;
  source.SetRoot(3, program);
  source.SetRoot(4, Load(source.RootObject(0), kA));  // inside the list
  source.Root(5) = source.Root(0);
  for (size_t i = 6; i < kRoots; ++i) source.SetRoot(i, NewPair(mutator, 100 + i));
  ASSERT_EQ(Pack(source, kRoots, 8192), Packing::kImage);
  const PackedGraph& graph = image_.view();
  EXPECT_EQ(graph.root_count, kRoots);
  EXPECT_TRUE(graph.RootIsInside(0));
  EXPECT_FALSE(graph.RootIsInside(1));
  EXPECT_FALSE(graph.RootIsInside(3));
  EXPECT_EQ(graph.roots[0], 0u) << "roots come first";
  source.Leave();
  source.EndRegion();
  receiver.Enter();
  Word roots[kRoots];
  ASSERT_TRUE(Unpack(receiver.mutator(), graph, roots).ok());
  for (size_t i = 0; i < kRoots; ++i) receiver.Root(i) = roots[i];
  ExpectList(receiver.RootObject(0), 1, 50);
  EXPECT_EQ(receiver.Root(1), 7u);
  EXPECT_EQ(receiver.Root(2), 0u);
  EXPECT_EQ(receiver.RootObject(3), program);
  EXPECT_EQ(receiver.RootObject(4), Load(receiver.RootObject(0), kA));
  EXPECT_EQ(receiver.Root(5), receiver.Root(0));
  for (size_t i = 6; i < kRoots; ++i) EXPECT_EQ(IdAt(receiver.RootObject(i)), 100 + i);
  ExpectValid();
}

TEST_F(ImageTest, OnlyReferencesToSharedObjectsAreVisited) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  const ObjectPtr one = heap().AllocateProgram(*types().pair);
  const ObjectPtr two = heap().AllocateProgram(*types().pair);
  for (const size_t count : {size_t{2}, size_t{100}}) {
    MakeList(source, 0, 1, count);
    ASSERT_EQ(Pack(source, 1, 8192), count == 2 ? Packing::kSmall : Packing::kImage);
    Collector none;
    count == 2 ? small_.view().VisitSharedRefs(none) : image_.view().VisitSharedRefs(none);
    EXPECT_TRUE(none.words.empty());
    Link(mutator, source.RootObject(0), kB, one);
    Link(mutator, Load(source.RootObject(0), kA), kB, two);
    ASSERT_EQ(Pack(source, 1, 8192), count == 2 ? Packing::kSmall : Packing::kImage);
    Collector both;
    count == 2 ? small_.view().VisitSharedRefs(both) : image_.view().VisitSharedRefs(both);
    EXPECT_THAT(both.words, ::testing::UnorderedElementsAre(one.address(), two.address()));
  }
  source.SetRoot(0, one);
  ASSERT_EQ(Pack(source, 1, 8192), Packing::kSmall);
  EXPECT_EQ(small_.data_words, 0);
  Collector root;
  small_.view().VisitSharedRefs(root);
  EXPECT_THAT(root.words, ::testing::ElementsAre(one.address()));
}

TEST_F(ImageTest, MovedHooksAreCalled) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  const ObjectPtr custom = mutator.Allocate(*graph_types().custom);
  auto* object = reinterpret_cast<CustomObject*>(custom.address());
  object->self = custom.address() + offsetof(CustomObject, id);
  source.SetRoot(0, custom);
  ASSERT_EQ(Pack(source, 1, 8192), Packing::kImage);
  EXPECT_TRUE(image_.view().has_moved_hooks);
  mutator.EnterNative();
  receiver.Enter();
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(Unpack(receiver.mutator(), image_.view(), &receiver.Root(i)).ok());
    const auto* copy = reinterpret_cast<CustomObject*>(receiver.Root(i));
    EXPECT_EQ(copy->self, receiver.Root(i) + offsetof(CustomObject, id));
  }
}

TEST_F(ImageTest, UnsendableObjectsAreRefused) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, mutator.Allocate(*graph_types().socket));
  const Ref root{source.Root(0)};
  const auto refused = copier().Pack(mutator, {&root, 1}, 8192, &small_, &image_);
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.status().message(), HasSubstr("path: root -> \"Socket\""));
}

TEST_F(ImageTest, CollectionsAtEveryAllocation) {
  options().stress.collect_every = 1;
  options().stress.every_allocation = true;
  options().stress.move_everything = true;
  options().stress.poison = true;
  options().stress.verify = true;
  TestRegion source(heap());
  source.Enter();
  const RegionStats before = source.region().stats();
  for (const size_t count : {size_t{1}, size_t{2}, size_t{60}, size_t{256}}) {
    MakeList(source, 0, 1, count);
    Link(source.mutator(), source.RootObject(0), kB, source.RootObject(0));
    for (size_t times = 1; times < 20; ++times) {
      const Packing packing = Pack(source, 1, 8192);
      const uint64_t collections = source.region().stats().minors + source.region().stats().majors;
      const PackedGraph graph = packing == Packing::kSmall ? small_.view() : image_.view();
      ASSERT_TRUE(Unpack(source.mutator(), graph, &source.Root(1)).ok());
      // The environment may ask for fewer.
      if (heap().state().options.stress.collect_every == 1) {
        EXPECT_GT(source.region().stats().minors + source.region().stats().majors, collections);
      }
      // The copy is what is copied next.
      std::swap(source.Root(0), source.Root(1));
      ASSERT_NE(source.Root(0), source.Root(1));
      source.Root(1) = 0;
      ExpectList(source.RootObject(0), 1, count);
      ASSERT_EQ(Load(source.RootObject(0), kB), source.RootObject(0));
    }
  }
  if (heap().state().options.stress.collect_every == 1) {
    EXPECT_GT(source.region().stats().minors, before.minors + 80);
  }
  ExpectValid();
}

TEST_F(ImageTest, UnpackingCollectsWhenTheNurseryIsFull) {
  options().nursery_bytes = options().max_nursery_bytes = 128 * 1024;
  TestRegion source(heap());
  source.Enter();
  MakeList(source, 0, 1, 256);
  ASSERT_EQ(Pack(source, 1, 8192), Packing::kImage);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(Unpack(source.mutator(), image_.view(), &source.Root(1)).ok());
    ExpectList(source.RootObject(1), 1, 256);
  }
  EXPECT_GE(source.region().stats().minors, 8u);
  ExpectValid();
}

TEST_F(ImageTest, ARegionWithoutRoomRefusesToUnpack) {
  TestRegion source(heap());
  source.Enter();
  MakeList(source, 0, 1, 256);
  ASSERT_EQ(Pack(source, 1, 8192), Packing::kImage);
  TestRegion receiver(heap(), {.name = "tight", .limit_bytes = 4 * kBlockSize});
  source.mutator().EnterNative();
  Mutator& receiving = receiver.Enter();
  size_t unpacked = 0;
  Word word = 77;
  Status status;
  while (unpacked < 1'000) {
    status = Unpack(receiving, image_.view(), &word);
    if (!status.ok()) break;
    receiver.Root(unpacked++) = word;
    word = 77;
  }
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("region \"tight\""));
  EXPECT_EQ(word, 77u);
  EXPECT_GE(unpacked, 8u);
  for (size_t i = 0; i < unpacked; ++i) ExpectList(receiver.RootObject(i), 1, 256);
  receiver.ClearRoots();
  EXPECT_TRUE(Unpack(receiving, image_.view(), &receiver.Root(0)).ok());
  ExpectValid();
}

TEST_F(ImageTest, OffHeapMemoryRefused) {
  TestRegion source(heap());
  source.Enter();
  MakeList(source, 0, 1, 100);
  uint64_t refused = 0;
  for (uint64_t n = 1;; ++n) {
    GraphCopier fresh(heap());
    const Ref root{source.Root(0)};
    Image image;
    platform::faults::FailNth(Request::kRaw, n, false);
    const auto packed = fresh.Pack(source.mutator(), {&root, 1}, 8192, &small_, &image);
    platform::faults::Reset();
    if (packed.ok()) break;
    ++refused;
    ASSERT_EQ(packed.status().code(), StatusCode::kResourceExhausted);
    EXPECT_FALSE(image);
    ASSERT_TRUE(fresh.Pack(source.mutator(), {&root, 1}, 8192, &small_, &image).ok());
    EXPECT_TRUE(image);
  }
  EXPECT_GE(refused, 3u);  // the table, a map, the image
  ExpectValid();
}

TEST_F(ImageTest, MemoryIsGivenBack) {
  TestRegion source(heap());
  source.Enter();
  MakeList(source, 0, 1, 16);
  const size_t before = heap().state().allocator.bytes();
  ASSERT_EQ(Pack(source, 1, 8192), Packing::kImage);
  EXPECT_EQ(heap().state().allocator.bytes(), before + image_.bytes());
  // Data, a bitmap of 8 bytes, a root and its bit; the rest is a few words.
  EXPECT_LE(image_.bytes(), 512u + 8 + 8 + 1 + 96);
  Image moved = std::move(image_);
  EXPECT_FALSE(image_);
  moved.Reset();
  EXPECT_EQ(heap().state().allocator.bytes(), before);
}

}  // namespace
}  // namespace Atoll
