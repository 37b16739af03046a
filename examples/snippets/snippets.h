#ifndef ATOLL_EXAMPLES_SNIPPETS_SNIPPETS_H_
#define ATOLL_EXAMPLES_SNIPPETS_SNIPPETS_H_

// The right versions of the mistakes that docs/gc-safe-code.md shows, made into a program that runs
// them with every knob on.

#include <atoll/atoll.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace snippets {

/// Ends the program when what the text claims is not so.
inline void Check(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "snippets: not so: %s\n", claim);
  std::exit(1);
}

struct Node : Atoll::Object {
  Atoll::Member<Node> left;
  Atoll::Member<Node> right;
  int64_t value;
};
using Frame = Atoll::RefArray<Node>;
using Bytes = Atoll::DataArray<char>;

/// A heap with every stress knob on, and its types.
struct World {
  World();

  std::unique_ptr<Atoll::Heap> heap;
  const Atoll::Type* node_type;
  const Atoll::Type* frame_type;
  const Atoll::Type* bytes_type;
  const Atoll::Type* weak_type;
};

void ShowPointers(Atoll::Mutator& mutator, const World& world);
void ShowStores(Atoll::Mutator& mutator, const World& world);
void ShowStates(Atoll::Mutator& mutator, const World& world);
/// Options with every knob on.
Atoll::HeapOptions Stressed();
/// In a heap of its own.
void ShowCompressed(Atoll::HeapOptions options);

}  // namespace snippets

template <>
struct Atoll::Fields<snippets::Node>
    : Atoll::References<ATOLL_FIELD(snippets::Node, left), ATOLL_FIELD(snippets::Node, right)> {};

#endif  // ATOLL_EXAMPLES_SNIPPETS_SNIPPETS_H_
