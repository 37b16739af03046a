// Random graphs under every encoding: a copy is what the model says, and the source is untouched.
#include "tests/isolate/random_graph.h"

namespace Atoll {
namespace {

/// An encoding that only its masks describe: pattern 5, sixteen free bits on top, bias 16.
struct Described {
  static constexpr RefEncoding kEncoding{7, 5, 0x0000'FFFF'FFFF'FFF8u, 16};
};

template <typename E>
class RandomGraphs : public GraphTest {
 protected:
  RandomGraphs() { options().encoding = E::kEncoding; }

  RandomGraph Graph() {
    program_ = heap().AllocateProgram(*types().pair);
    return {heap(), types(), graph_types(), program_};
  }
  /// Words that refer to no object, some that look like it.
  std::vector<Word> Immediates(Mutator& mutator) {
    if (E::kEncoding.compressed) return {0};  // there are none
    std::vector<Word> words{1, 2, 3, 7, ~Word{0}, Word{1} << 63, E::kEncoding.Make(0x1000)};
    for (Word bits = 1; bits < (Word{1} << 40); bits *= 7) words.push_back(bits * 5);
    std::erase_if(words, [&](Word word) {
      return E::kEncoding.IsRef(word) && mutator.InReservation(E::kEncoding.Decode(word));
    });
    return words;
  }
  ObjectPtr program_;
};

using AllEncodings = ::testing::Types<PlainPointers, LowTagOne, NanBoxing, HeaderBefore,
                                      CompressedPointers, Described>;
TYPED_TEST_SUITE(RandomGraphs, AllEncodings);

TYPED_TEST(RandomGraphs, AreCopiedIntoARegion) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    TestRegion source(this->heap());
    TestRegion receiver(this->heap());
    Mutator& mutator = source.Enter();
    RandomGraph graph = this->Graph();
    const size_t count = seed % 10 == 0 ? 3'000 : 1 + random() % 60;
    std::vector<ModelNode> nodes = graph.Model(random, count, this->Immediates(mutator));
    source.Root(0) = graph.Build(mutator, nodes, random)[0];
    if (seed % 2 == 0) this->Major(source);
    const std::vector<Word> before = this->BytesOf(source.region());
    const Status status = this->CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(this->BytesOf(source.region()), before);
    this->ExpectSame(mutator, source.Root(0), receiver.Root(0));
    this->ExpectValid();
    source.Leave();
    receiver.Enter();
    graph.ExpectIs(receiver.mutator(), nodes, receiver.Root(0));
    this->Major(receiver);
    graph.ExpectIs(receiver.mutator(), nodes, receiver.Root(0));
    this->ExpectValid();
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(RandomGraphs, ArePackedAndUnpacked) {
  size_t packed_graphs = 0;
  size_t small_graphs = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    TestRegion source(this->heap());
    TestRegion receiver(this->heap());
    Mutator& mutator = source.Enter();
    RandomGraph graph = this->Graph();
    std::vector<ModelNode> nodes =
        graph.Model(random, 1 + random() % (seed % 2 == 0 ? 2 : 20), this->Immediates(mutator));
    source.Root(0) = graph.Build(mutator, nodes, random)[0];
    SmallImage small;
    Image image;
    const std::vector<Word> before = this->BytesOf(source.region());
    const Ref root{source.Root(0)};
    const auto packing =
        this->copier().Pack(mutator, {&root, 1}, kLargeObjectThreshold, &small, &image);
    ASSERT_TRUE(packing.ok()) << packing.status().message();
    EXPECT_EQ(this->BytesOf(source.region()), before);
    if (packing.value() == GraphCopier::Packing::kTooLarge) continue;
    // From here on the source is gone.
    source.Leave();
    source.EndRegion();
    Mutator& receiving = receiver.Enter();
    const bool is_small = packing.value() == GraphCopier::Packing::kSmall;
    const PackedGraph packed = is_small ? small.view() : image.view();
    ++(is_small ? small_graphs : packed_graphs);
    for (size_t times = 0; times < 2; ++times) {  // an image can be unpacked again
      ASSERT_TRUE(Unpack(receiving, packed, &receiver.Root(times)).ok());
      graph.ExpectIs(receiving, nodes, receiver.Root(times));
      this->ExpectValid();
      this->Minor(receiver);
      graph.ExpectIs(receiving, nodes, receiver.Root(0));
    }
    EXPECT_NE(receiver.Root(0), receiver.Root(1));
    if (this->HasFailure()) return;
  }
  EXPECT_GT(packed_graphs, 30u);
  EXPECT_GT(small_graphs, 5u);
}

}  // namespace
}  // namespace Atoll
