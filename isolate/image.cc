#include "isolate/image.h"

#include <bit>
#include <cstring>
#include <new>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// fn(i) for each bit set in `bytes` bytes.
template <typename Fn>
void ForEachBit(const uint8_t* bitmap, size_t bytes, Fn fn) {
  for (size_t byte = 0; byte < bytes; ++byte) {
    for (unsigned bits = bitmap[byte]; bits != 0; bits &= bits - 1) {
      fn(byte * 8 + static_cast<size_t>(std::countr_zero(bits)));
    }
  }
}

// Objects hold addresses into themselves as if the data lay at `origin`; now they lie at `to`.
void CallMovedHooks(const TypeTable& types, uintptr_t to, size_t bytes, uintptr_t origin) {
  for (size_t at = 0; at < bytes;) {
    const uintptr_t object = to + at;
    // Relaxed: nobody else has the object yet.
    const Type& type = types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
    const size_t size = ObjectSize(type, object);
    if (type.has_moved_hook) type.details->moved(ObjectPtr(object), origin + at);
    at += size;
  }
}

}  // namespace

void PackedGraph::VisitSharedRefs(RootVisitor& visitor) const {
  for (size_t i = 0; i < root_count; ++i) {
    if (!RootIsInside(i)) visitor.VisitSlot(Slot(&roots[i]));
  }
  if (shared_refs == nullptr) return;
  const auto start = reinterpret_cast<uintptr_t>(data);
  const Slot first = is_compressed ? Slot::Compressed(start) : Slot(start);
  ForEachBit(shared_refs, bitmap_bytes(), [&](size_t i) { visitor.VisitSlot(first.Next(i)); });
}

void SmallImage::Store(const PackedGraph& graph) {
  data_words = static_cast<uint8_t>(graph.data_bytes / sizeof(Word));
  root = graph.roots[0];
  root_inside = graph.roots_inside[0];
  for (size_t i = 0; i < data_words; ++i) data[i] = graph.data[i];
  is_compressed = graph.is_compressed;
  const size_t used = graph.bitmap_bytes();
  for (size_t i = 0; i < sizeof relocations; ++i) {
    relocations[i] = i < used ? graph.relocations[i] : 0;
    shared_refs[i] = i < used && graph.shared_refs != nullptr ? graph.shared_refs[i] : 0;
  }
}

void Relocate(Word* data, uintptr_t to, const uint8_t* relocations, size_t bytes,
              bool is_compressed) {
  if (is_compressed) {
    auto* slots = reinterpret_cast<CompressedWord*>(data);
    ForEachBit(relocations, bytes, [&](size_t i) { slots[i] += Compress(to); });
  } else {
    ForEachBit(relocations, bytes, [&](size_t i) { data[i] += to; });
  }
}

bool TryPackOne(const Mutator& source, Ref root, SmallImage* small) {
  const RefEncoding& encoding = source.encoding();
  small->root = root.word;
  small->data_words = 0;
  small->root_inside = 0;
  small->is_compressed = encoding.compressed;
  for (uint8_t& byte : small->relocations) byte = 0;
  for (uint8_t& byte : small->shared_refs) byte = 0;
  if (!source.RefersIntoHeap(encoding, root)) return true;
  const uintptr_t object = encoding.Decode(root.word);
  if ((source.TagOf(object) & tag::kShared) != 0) return true;
  const Type& type = source.TypeOf(ObjectPtr(object));
  const size_t words = type.plain_size / sizeof(Word);
  if (words == 0 || words > SmallImage::kWords ||
      // Relaxed: see RegionState.
      source.region().state().had_finalizers.load(std::memory_order_relaxed)) {
    return false;
  }
  for (uint64_t bits = type.bitmap; bits != 0; bits &= bits - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(bits));
    const Ref value = type.SlotAt(object + kHeaderSize).Next(i).Load();
    if (!source.RefersIntoHeap(encoding, value)) continue;
    if ((source.TagOf(encoding.Decode(value.word)) & tag::kShared) == 0) return false;
    const size_t bit = i + kHeaderSize / type.slot_size();
    uint8_t& byte = small->shared_refs[bit / 8];
    byte = static_cast<uint8_t>(byte | 1u << (bit % 8));
  }
  // Relaxed: flags and hash may change beside it.
  small->data[0] = HeaderOf(object).load(std::memory_order_relaxed) & ~Word{0xFF};
  for (size_t i = 1; i < words; ++i) {
    small->data[i] = Slot(object + i * sizeof(Word)).Load().word;
  }
  small->data_words = static_cast<uint8_t>(words);
  small->root_inside = 1;
  small->root = encoding.Encode(root.word, 0);
  return true;
}

Image Image::Of(GroupAllocator& allocator, const PackedGraph& graph) {
  const size_t bitmap_bytes = graph.bitmap_bytes();
  const size_t root_bytes = graph.root_count * sizeof(Word);
  const size_t root_bitmap_bytes = (graph.root_count + 7) / 8;
  const size_t shared_bytes = graph.shared_refs == nullptr ? 0 : bitmap_bytes;
  const size_t bytes = sizeof(Stored) + graph.data_bytes + root_bytes + bitmap_bytes +
                       root_bitmap_bytes + shared_bytes;
  void* memory = allocator.Allocate(bytes);
  Image image;
  if (memory == nullptr) return image;
  image.stored_ = new (memory) Stored{graph, &allocator, bytes};
  auto* at = reinterpret_cast<uint8_t*>(image.stored_ + 1);
  auto take = [&at](const void* from, size_t count) {
    uint8_t* const taken = at;
    if (count != 0) std::memcpy(taken, from, count);
    at += count;
    return taken;
  };
  PackedGraph& stored = image.stored_->graph;
  stored.data = reinterpret_cast<Word*>(take(graph.data, graph.data_bytes));
  stored.roots = reinterpret_cast<Word*>(take(graph.roots, root_bytes));
  stored.relocations = take(graph.relocations, bitmap_bytes);
  stored.roots_inside = take(graph.roots_inside, root_bitmap_bytes);
  if (shared_bytes != 0) stored.shared_refs = take(graph.shared_refs, shared_bytes);
  return image;
}

void Image::Reset() {
  if (stored_ == nullptr) return;
  stored_->allocator->Free(stored_, stored_->bytes);
  stored_ = nullptr;
}

void UnpackAt(uintptr_t to, const TypeTable& types, const PackedGraph& graph, Word* roots) {
  auto* words = reinterpret_cast<Word*>(to);
  if (graph.data_bytes != 0) std::memcpy(words, graph.data, graph.data_bytes);
  Relocate(words, to, graph.relocations, graph.bitmap_bytes(), graph.is_compressed);
  if (ATOLL_UNLIKELY(graph.has_moved_hooks)) {
    CallMovedHooks(types, to, graph.data_bytes, graph.origin);
  }
  for (size_t i = 0; i < graph.root_count; ++i) {
    roots[i] = graph.roots[i] + (graph.RootIsInside(i) ? to : 0);
  }
}

Status Unpack(Mutator& target, const PackedGraph& graph, Word* roots) {
  uintptr_t to = 0;
  if (graph.data_bytes != 0) {
    to = target.AllocateRaw(graph.data_bytes);
    if (ATOLL_UNLIKELY(to == 0)) return target.last_error();
  }
  UnpackAt(to, target.region().state().heap.types, graph, roots);
  return Status::Ok();
}

}  // namespace Atoll
