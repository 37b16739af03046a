// Packing a graph off the heap, and unpacking it again.
#include "tests/isolate/graph_fixture.h"

namespace Atoll {
namespace {

class ImageTest : public GraphTest {};

TEST_F(ImageTest, AFewObjectsMakeTheRoundTrip) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewPair(mutator, 1));
  Link(mutator, source.RootObject(0), kA, NewPair(mutator, 2));
  Link(mutator, Load(source.RootObject(0), kA), kB, source.RootObject(0));
  const uint32_t hash = mutator.IdentityHash(source.RootObject(0));
  const Ref root{source.Root(0)};
  SmallImage small;
  Image image;
  const auto packed = copier().Pack(mutator, {&root, 1}, 8192, &small, &image);
  ASSERT_TRUE(packed.ok()) << packed.status().message();
  EXPECT_EQ(packed.value(), GraphCopier::Packing::kSmall);
  mutator.EnterNative();
  Mutator& receiving = receiver.Enter();
  ASSERT_TRUE(Unpack(receiving, small.view(), &receiver.Root(0)).ok());
  ExpectSame(receiving, source.Root(0), receiver.Root(0));
  EXPECT_EQ(receiving.IdentityHash(receiver.RootObject(0)), hash);
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
