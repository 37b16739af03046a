#ifndef ATOLL_EXAMPLES_GUIDE_GUIDE_H_
#define ATOLL_EXAMPLES_GUIDE_GUIDE_H_

// The pieces of code that docs/embedding.md shows, made into a program so that they are known to
// compile and to do what the text says.

#include <atoll/atoll.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace guide {

/// Ends the program when what the text claims is not so.
inline void Check(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "guide: not so: %s\n", claim);
  std::exit(1);
}

// [typed]
struct Node : Atoll::Object {
  Atoll::Member<Node> left;
  Atoll::Member<Node> right;
  int64_t value;
};
// [/typed]

}  // namespace guide

// [fields]
template <>
struct Atoll::Fields<guide::Node>
    : Atoll::References<ATOLL_FIELD(guide::Node, left), ATOLL_FIELD(guide::Node, right)> {};
// [/fields]

namespace guide {

/// A heap and the types that the pieces use.
struct World {
  explicit World(const Atoll::HeapOptions& options = {});

  std::unique_ptr<Atoll::Heap> heap;
  const Atoll::Type* node_type;
  const Atoll::Type* table_type;
  const Atoll::Type* bytes_type;
  const Atoll::Type* weak_type;
};

/// A region and its mutator, managed while it stands.
struct Attached {
  Attached(World& world, Atoll::RegionOptions options = {});
  ~Attached();

  std::unique_ptr<Atoll::Region> region;
  std::unique_ptr<Atoll::Mutator> mutator;
};

void ShowObjects(World& world);
void ShowMemory(World& world);
void ShowThreads(World& world);

}  // namespace guide

#endif  // ATOLL_EXAMPLES_GUIDE_GUIDE_H_
