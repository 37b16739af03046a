// Copying into another region: graphs of any size, and what is refused.
#include "tests/isolate/graph_fixture.h"

namespace Atoll {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class GraphCopierTest : public GraphTest {};

TEST_F(GraphCopierTest, AListOfTenMillionNodes) {
  constexpr size_t kNodes = 10'000'000;
  TestRegion source(heap());
  TestRegion receiver(heap());
  source.Enter();
  MakeList(source, 0, 1, kNodes);
  Link(source.mutator(), source.RootObject(0), kB, source.RootObject(0));
  ASSERT_TRUE(CopyAndAdopt(source.mutator(), Ref{source.Root(0)}, receiver).ok());
  ExpectList(receiver.RootObject(0), 1, kNodes);
  EXPECT_EQ(Load(receiver.RootObject(0), kB), receiver.RootObject(0));
  EXPECT_NE(receiver.RootObject(0), source.RootObject(0));
  source.Leave();
  source.EndRegion();
  receiver.Enter();
  Major(receiver);
  ExpectList(receiver.RootObject(0), 1, kNodes);
  ExpectValid();
}

TEST_F(GraphCopierTest, AnUnsendableObjectIsNamedWithItsPath) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, mutator.AllocateArray(*types().array, 5));
  source.SetRoot(1, NewPair(mutator, 1));
  Link(mutator, source.RootObject(0), ElementAt(2), source.RootObject(1));
  Link(mutator, source.RootObject(1), kB, mutator.Allocate(*graph_types().socket));
  const Status status = CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("type \"Socket\""));
  EXPECT_THAT(status.message(), HasSubstr("unsendable"));
  EXPECT_THAT(status.message(),
              EndsWith("path: root -> \"Array\" element 2 -> \"Pair\" slot 1 -> \"Socket\""));
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
