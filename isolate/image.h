// A graph of objects packed off the heap: what a parked isolate is, and what a small message is.
//
//   data         the objects one behind the other, in the order they were copied in, headers
//                included (GC flags zero; identity hashes and embedder bits as they were)
//   roots        one word each, encoded like any reference
//   relocations  bit i: slot i of the data refers to an object of the image. The address bits of
//                its word are then a distance from the start of the data, so that whoever
//                unpacks it adds the place it unpacks to, whatever the encoding and the types
//   roots_inside the same for the roots
//   shared_refs  bit i: slot i refers to a shared object: a collector of these must see it
//
// Slot i of the data lies at i times the size of a slot; where references are compressed there are
// two in a word, and such distances are compressed as addresses are. Bitmaps are in bytes, bit i %
// 8 of byte i / 8. All other words are as they were.
#ifndef ATOLL_ISOLATE_IMAGE_H_
#define ATOLL_ISOLATE_IMAGE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "atoll/heap.h"
#include "heap/group_allocator.h"
#include "heap/type_table.h"

namespace Atoll {

/// A packed graph wherever it lies: a view, which owns nothing.
struct PackedGraph {
  Word* data = nullptr;
  uint32_t data_bytes = 0;  ///< at most kLargeObjectThreshold
  uint32_t root_count = 0;
  Word* roots = nullptr;
  uint8_t* roots_inside = nullptr;
  uint8_t* relocations = nullptr;
  uint8_t* shared_refs = nullptr;  ///< null: no slot refers to a shared object
  bool is_compressed = false;      ///< references are: two slots in a word
  /// Objects of types with a `moved` hook are among them: it is called for each when it is packed
  /// and when it is unpacked. They hold addresses into themselves as if the data lay at `origin`.
  bool has_moved_hooks = false;
  uintptr_t origin = 0;

  bool RootIsInside(size_t i) const { return (roots_inside[i / 8] >> (i % 8) & 1) != 0; }
  /// Bytes of a bitmap of the data.
  size_t bitmap_bytes() const { return (data_bytes / slot_size() + 7) / 8; }
  size_t slot_size() const { return is_compressed ? sizeof(CompressedWord) : sizeof(Word); }
  /// Visits the words that may refer to shared objects: roots outside the image, immediates among
  /// them, and slots. Not while it is being packed or unpacked.
  void VisitSharedRefs(RootVisitor& visitor) const;
};

/// Room for one root and up to 64 bytes of data, to lie inside something else. Plain data.
struct SmallImage {
  static constexpr size_t kWords = 8;

  Word root = 0;
  Word data[kWords];
  uint8_t data_words = 0;
  uint8_t root_inside = 0;
  bool is_compressed = false;
  // One bitmap each, of as many bits as there may be compressed slots.
  uint8_t relocations[2] = {};
  uint8_t shared_refs[2] = {};

  bool has_relocations() const { return (relocations[0] | relocations[1]) != 0; }

  /// Whether Store may be called.
  static bool Fits(const PackedGraph& graph) {
    return graph.root_count == 1 && graph.data_bytes <= kWords * sizeof(Word) &&
           !graph.has_moved_hooks;
  }
  /// Takes a copy of a graph that fits.
  void Store(const PackedGraph& graph);
  PackedGraph view() {
    PackedGraph graph;
    graph.data = data;
    graph.data_bytes = data_words * static_cast<uint32_t>(sizeof(Word));
    graph.root_count = 1;
    graph.roots = &root;
    graph.roots_inside = &root_inside;
    graph.relocations = relocations;
    graph.shared_refs = (shared_refs[0] | shared_refs[1]) != 0 ? shared_refs : nullptr;
    graph.is_compressed = is_compressed;
    return graph;
  }
};

/// Packs a word that is no reference to a private object, or an object of at most 64 bytes that
/// refers to none, as GraphCopier::Pack would. False: not such a one, `*small` is garbage. Managed
/// state of `source`. Cost: a few ns.
bool TryPackOne(const Mutator& source, Ref root, SmallImage* small);

/// Adds `to` to the words of `data` whose bits are set in the `bytes` bytes of `relocations`, as
/// compressed references to the slots that are such.
void Relocate(Word* data, uintptr_t to, const uint8_t* relocations, size_t bytes,
              bool is_compressed);

/// Unpacks it: see Unpack, which says what is legal and what is not. 0: no memory.
inline bool UnpackSmall(Mutator& target, const SmallImage& small, Word* root) {
  uintptr_t to = 0;
  if (small.data_words != 0) {
    to = target.AllocateRaw(small.data_words * sizeof(Word));
    if (ATOLL_UNLIKELY(to == 0)) return false;
    auto* words = reinterpret_cast<Word*>(to);
    for (size_t i = 0; i < small.data_words; ++i) words[i] = small.data[i];
    if (small.has_relocations()) {
      Relocate(words, to, small.relocations, sizeof small.relocations, small.is_compressed);
    }
  }
  *root = small.root + (small.root_inside != 0 ? to : 0);
  return true;
}

/// Owns a packed graph in one allocation of a heap's off-heap memory. One word; move-only. Must not
/// outlive the heap.
class Image {
 public:
  Image() = default;
  Image(Image&& other) noexcept { *this = std::move(other); }
  Image& operator=(Image&& other) noexcept {
    std::swap(stored_, other.stored_);
    return *this;
  }
  ~Image() { Reset(); }

  /// A copy of `graph`; empty when the memory is refused.
  static Image Of(GroupAllocator& allocator, const PackedGraph& graph);

  explicit operator bool() const { return stored_ != nullptr; }
  const PackedGraph& view() const { return stored_->graph; }
  /// All that it takes off the heap.
  size_t bytes() const { return stored_ == nullptr ? 0 : stored_->bytes; }
  void Reset();

 private:
  struct Stored {
    PackedGraph graph;
    GroupAllocator* allocator;
    size_t bytes;
  };
  Stored* stored_ = nullptr;
};

/// Makes objects of a packed graph again, as young ones of `target`'s region, and stores its
/// `root_count` roots to `roots`, which need not be rooted: nothing is collected after they are
/// stored. The image stays as it is. Managed state; may collect, before it unpacks: until then it
/// is the caller that keeps the shared objects that the image refers to (GroupRoots). Error:
/// kResourceExhausted, nothing unpacked. Cost: a bump of the allocation buffer, a copy of the data,
/// and an addition per relocation.
Status Unpack(Mutator& target, const PackedGraph& graph, Word* roots);

/// The same into `data_bytes` of memory at `to`, which the caller has taken.
void UnpackAt(uintptr_t to, const TypeTable& types, const PackedGraph& graph, Word* roots);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_IMAGE_H_
