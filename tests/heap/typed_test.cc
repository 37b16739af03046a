// Typed objects: are they made with their first values, and nothing else?
#include "atoll/typed.h"

#include "heap/heap_state.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

struct TypedNode : Object {
  Member<TypedNode> left;
  Member<TypedNode> right;
  int64_t value;
};

}  // namespace

template <>
struct Fields<TypedNode> : References<ATOLL_FIELD(TypedNode, left), ATOLL_FIELD(TypedNode, right)> {
};

namespace {

class Typed : public HeapTest {
 protected:
  const Type& node_type() {
    if (node_type_ == nullptr) {
      node_type_ = heap().RegisterType(Describe<TypedNode>("TypedNode")).value();
    }
    return *node_type_;
  }
  TypedNode* NewParent(Mutator& mutator, TypedNode* left, TypedNode* right, int64_t value) {
    return New<TypedNode>(
        mutator, node_type(),
        [&](TypedNode* node, TypedNode* kept_left, TypedNode* kept_right) {
          ++initialized_;
          node->left.Init(mutator, node, kept_left);
          node->right.Init(mutator, node, kept_right);
          node->value = value;
        },
        left, right);
  }
  int initialized_ = 0;

 private:
  const Type* node_type_ = nullptr;
};

TEST_F(Typed, WhatIsKeptIsFoundWhereACollectionHasLeftIt) {
  options().stress.collect_every = 1;
  options().stress.every_allocation = true;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const StackScope scope(mutator);
  StackLocal<TypedNode> root(mutator, nullptr);
  uintptr_t moves = 0;
  for (int64_t i = 0; i < 100; ++i) {
    TypedNode* leaf =
        New<TypedNode>(mutator, node_type(), [i](TypedNode* node) { node->value = 1000 + i; });
    ASSERT_NE(leaf, nullptr);
    TypedNode* parent = NewParent(mutator, leaf, root.get(), i);
    ASSERT_NE(parent, nullptr);
    moves += parent->left.get() != leaf ? 1 : 0;
    root.Set(parent);
  }
  // The environment may ask for fewer.
  if (heap().state().options.stress.collect_every == 1) {
    EXPECT_GT(moves, 90u);
  }
  EXPECT_EQ(initialized_, 100);
  int64_t i = 100;
  for (const TypedNode* node = root.get(); node != nullptr; node = node->right.get()) {
    --i;
    ASSERT_EQ(node->value, i);
    ASSERT_EQ(node->left->value, 1000 + i);
    ASSERT_EQ(node->left->left.get(), nullptr);
    ASSERT_EQ(node->left->right.get(), nullptr);
  }
  EXPECT_EQ(i, 0);
  ExpectValid();
}

TEST_F(Typed, WhatIsNotInitializedIsZero) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  // Several nurseries of it: memory that has been used before is zero again.
  for (int64_t i = 0; i < 300'000; ++i) {
    TypedNode* node = New<TypedNode>(mutator, node_type(), [&](TypedNode* fresh) {
      if (i % 2 == 0) fresh->value = ~int64_t{0};
    });
    ASSERT_NE(node, nullptr);
    ASSERT_EQ(node->value, i % 2 == 0 ? ~int64_t{0} : 0);
    ASSERT_EQ(node->left.get(), nullptr);
    ASSERT_EQ(node->right.get(), nullptr);
    ASSERT_EQ(&mutator.TypeOf(node->ptr()), &node_type());
    node->left.Init(mutator, node, node);
    node->right.Init(mutator, node, node);
    node->value = i;
  }
  EXPECT_GT(region.region().stats().minors, 0u);
}

TEST_F(Typed, WithoutMemoryNothingIsInitialized) {
  options().limit_bytes = size_t{2} << 20;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const StackScope scope(mutator);
  StackLocal<TypedNode> list(mutator, nullptr);
  int made = 0;
  while (TypedNode* node = NewParent(mutator, nullptr, list.get(), made)) {
    list.Set(node);
    ++made;
    ASSERT_LT(made, 1'000'000);
  }
  EXPECT_EQ(initialized_, made);
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  for (const TypedNode* node = list.get(); node != nullptr; node = node->right.get()) {
    ASSERT_EQ(node->value, --made);
  }
  EXPECT_EQ(made, 0);
}

}  // namespace
}  // namespace Atoll
