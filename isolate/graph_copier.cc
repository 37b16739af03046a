#include "isolate/graph_copier.h"

#include "heap/mark_objects.h"
#include "heap/mutator_record.h"
#include "heap/object_model.h"
#include "heap/share_copies.h"
#include "isolate/copy_path.h"
#include "isolate/copy_sinks.h"
#include "isolate/graph_copy-inl.h"

namespace Atoll {
namespace {

// An object with a finalizer that does not move among those copied, or 0. Counts the external bytes
// of those that do.
uintptr_t FindFinalized(RegionState& region, const CopiedObjects& copied, size_t* transfer_bytes) {
  *transfer_bytes = 0;
  if (!region.had_finalizers.load(std::memory_order_relaxed)) return 0;  // see RegionState
  platform::MutexLock lock(region.allocation_mutex);
  uintptr_t found = 0;
  region.ForEachFinalizerList([&](const std::vector<Finalizer>& list) {
    for (const Finalizer& finalizer : list) {
      if (!copied.Contains(finalizer.object)) continue;
      // Relaxed: types are immutable.
      const Type& type =
          region.heap.types.OfHeader(HeaderOf(finalizer.object).load(std::memory_order_relaxed));
      if (type.has_transfer_hook && finalizer.kind == FinalizerKind::kNative) {
        *transfer_bytes += finalizer.external_bytes;
      } else if (found == 0) {
        found = finalizer.object;
      }
    }
  });
  return found;
}

const char* ReasonFor(CopyFailure failure) {
  switch (failure) {
    case CopyFailure::kUnsendable:
      return "its type is declared unsendable; send what another isolate can make one from";
    case CopyFailure::kNonMoving:
      return "its type is non-moving, and whoever relies on its address does not know of a copy; "
             "copy what it holds into an object of another type";
    case CopyFailure::kWeak:
      return "weak references and ephemerons change, and what is shared never does; freeze a table "
             "without them";
    case CopyFailure::kFinalizer:
      return "it has a finalizer, which would run once more for the copy; send what another "
             "isolate can make one from";
    case CopyFailure::kIdentity:
      return "it has an identity, which a copy would not have, and it cannot become shared where "
             "it is any more";
    case CopyFailure::kTransfer:
      return "what it owns belongs to one isolate at a time, and what is shared belongs to all; "
             "send it, or freeze what it holds";
    default:
      return "its trace callback visits slots outside the object, which a copy would share; "
             "declare its type unsendable";
  }
}

}  // namespace

struct GraphCopier::Impl {
  enum class Encoding : uint8_t {
    kPlain,
    kLowTagOne,
    kNanBoxing,
    kHeaderBefore,
    kCompressed,
    kRuntime
  };

  explicit Impl(HeapState& heap_state)
      : heap(heap_state),
        encoding(KnownEncoding(heap_state.options.encoding)),
        buffers(heap),
        image(heap_state.options.encoding.compressed) {}

  static Encoding KnownEncoding(const RefEncoding& encoding) {
    if (encoding == PlainPointers::kEncoding) return Encoding::kPlain;
    if (encoding == LowTagOne::kEncoding) return Encoding::kLowTagOne;
    if (encoding == NanBoxing::kEncoding) return Encoding::kNanBoxing;
    if (encoding == HeaderBefore::kEncoding) return Encoding::kHeaderBefore;
    if (encoding == CompressedPointers::kEncoding) return Encoding::kCompressed;
    return Encoding::kRuntime;
  }

  /// fn.operator()<E>() for the heap's encoding.
  template <typename Fn>
  CopyFailure WithEncoding(Fn fn) {
    switch (encoding) {
      case Encoding::kPlain:
        return fn.template operator()<PlainPointers>();
      case Encoding::kLowTagOne:
        return fn.template operator()<LowTagOne>();
      case Encoding::kNanBoxing:
        return fn.template operator()<NanBoxing>();
      case Encoding::kHeaderBefore:
        return fn.template operator()<HeaderBefore>();
      case Encoding::kCompressed:
        return fn.template operator()<CompressedPointers>();
      case Encoding::kRuntime:
        break;
    }
    return fn.template operator()<RuntimeEncoding>();
  }

  /// Copies what `words` refer to, and changes them. Sets `failed_object` where there is one.
  template <typename E, typename Sink>
  CopyFailure Copy(Mutator& source, std::span<Word> words, uint8_t* inside, Sink& sink,
                   const CopyOptions& options) {
    GraphCopy<E, Sink> copy(buffers, source, sink, options);
    for (size_t i = 0; i < words.size(); ++i) {
      bool is_inside = false;
      words[i] = copy.CopyRoot(words[i], &is_inside);
      if (inside != nullptr && is_inside) {
        inside[i / 8] = static_cast<uint8_t>(inside[i / 8] | 1u << (i % 8));
      }
    }
    if (!copy.Finish()) {
      failed_object = copy.failed_object();
      return copy.failure();
    }
    failed_object = FindFinalized(source.region().state(), buffers.copied, &transfer_bytes);
    return failed_object != 0 ? CopyFailure::kFinalizer : CopyFailure::kNone;
  }

  /// Copies what `roots` reach into `image`. If there is a Become meanwhile, `roots` are what they
  /// have become.
  CopyFailure CopyIntoImage(Mutator& source, std::span<const Ref>& roots, size_t max_bytes,
                            const CopyOptions& options) {
    for (;;) {
      buffers.ClearCommit();
      buffers.roots = roots;
      image.Begin(std::min(max_bytes, kLargeObjectThreshold));
      image.SetRoots(roots);
      const CopyFailure failure = WithEncoding([&]<typename E>() {
        return Copy<E>(source, image.roots, image.roots_inside.data(), image, options);
      });
      if (ATOLL_LIKELY(failure != CopyFailure::kReplaced)) return failure;
      BeginAnew(roots);
    }
  }
  /// After kReplaced: the roots as they are now, and no copies.
  ATOLL_COLD void BeginAnew(std::span<const Ref>& roots) {
    roots_now.swap(buffers.new_roots);
    roots = roots_now;
    buffers.Clear();
  }
  /// Puts the image into the Shared space, if `commit` says that all is well once there is room.
  CopyFailure ShareImage(FunctionRef<bool()> commit, Ref* root) {
    const PackedGraph graph = image.graph();
    platform::MutexLock lock(heap.small_copies_mutex);
    uintptr_t to = 0;
    if (graph.data_bytes != 0) {
      to = heap.small_copies.AllocateRaw(graph.data_bytes);
      if (to == 0) return CopyFailure::kMemory;
    }
    if (!commit()) return CopyFailure::kNone;  // the room is free again after the next collection
    UnpackAt(to, heap.types, graph, &root->word);
    MarkObjects(heap, to, to + graph.data_bytes);
    return CopyFailure::kNone;
  }

  ATOLL_COLD Status Explain(Mutator& source, std::span<const Ref> roots, CopyFailure failure,
                            Mutator* destination) const {
    const std::string region = "region \"" + source.region().name() + "\"";
    if (failure == CopyFailure::kCancelled) {
      return {StatusCode::kCancelled, "a copy of objects of " + region + " was cancelled"};
    }
    if (failure == CopyFailure::kMemory) return NoMemory(region, destination);
    return {StatusCode::kInvalidArgument,
            "an object of type \"" + source.TypeOf(ObjectPtr(failed_object)).name() + "\" of " +
                region + " cannot be copied: " + ReasonFor(failure) +
                "; path: " + PathOfCopy(source, roots, failed_object, buffers.copied)};
  }
  Status NoMemory(const std::string& region, Mutator* destination) const {
    std::string limits = "heap \"" + heap.options.name + "\" uses " +
                         std::to_string(heap.pool.used_bytes()) + " bytes of its limit of " +
                         std::to_string(heap.options.limit_bytes);
    if (destination != nullptr) {
      const RegionState& to = destination->region().state();
      const size_t limit = to.limit_bytes.load(std::memory_order_relaxed);  // for a message
      if (limit != 0) {
        limits += ", and region \"" + to.options.name + "\", to which they are copied, may use " +
                  std::to_string(limit);
      }
    }
    return {StatusCode::kResourceExhausted, "no memory to copy objects of " + region + ": " +
                                                limits + "; drop objects, or raise the limit"};
  }

  HeapState& heap;
  const Encoding encoding;
  CopyBuffers buffers;
  ImageSink image;
  std::vector<Ref> roots_now;  // after a Become
  uintptr_t failed_object = 0;
  size_t transfer_bytes = 0;
  RegionState* destination = nullptr;  // of the last CopyInto
};

GraphCopier::GraphCopier(Heap& heap) : impl_(std::make_unique<Impl>(heap.state())) {}
GraphCopier::~GraphCopier() = default;

Result<GraphCopier::Packing> GraphCopier::Pack(Mutator& source, std::span<const Ref> roots,
                                               size_t max_bytes, SmallImage* small, Image* image,
                                               const CopyOptions& options) {
  Impl& impl = *impl_;
  if (!source.CheckManaged("Pack")) {
    return Status(StatusCode::kFailedPrecondition,
                  "mutator \"" + source.name() + "\" packs objects while not managed");
  }
  StartsAnewScope scope(source);
  const CopyFailure failure = impl.CopyIntoImage(source, roots, max_bytes, options);
  Status status;
  Packing packing = Packing::kTooLarge;
  if (ATOLL_LIKELY(failure == CopyFailure::kNone)) {
    const PackedGraph graph = impl.image.graph();
    if (small != nullptr && SmallImage::Fits(graph)) {
      small->Store(graph);
      packing = Packing::kSmall;
    } else if (Image stored = Image::Of(impl.heap.allocator, graph)) {
      *image = std::move(stored);
      packing = Packing::kImage;
    } else {
      status = impl.Explain(source, roots, CopyFailure::kMemory, nullptr);
    }
  } else if (failure != CopyFailure::kTooLarge) {
    status = impl.Explain(source, roots, failure, nullptr);
  }
  impl.buffers.Clear();
  if (ATOLL_UNLIKELY(!status.ok())) return status;
  return packing;
}

Result<bool> GraphCopier::CopySmallIntoShared(Mutator& source, Ref root, Ref* copied,
                                              const CopyOptions& options) {
  Impl& impl = *impl_;
  if (!source.CheckManaged("CopySmallIntoShared")) {
    return Status(StatusCode::kFailedPrecondition,
                  "mutator \"" + source.name() + "\" shares objects while not managed");
  }
  StartsAnewScope scope(source);
  std::span<const Ref> roots(&root, 1);
  CopyOptions shared = options;
  shared.for_shared = true;
  CopyFailure failure = CopyFailure::kNone;
  for (bool is_committed = false; !is_committed && failure == CopyFailure::kNone;) {
    impl.buffers.Clear();
    failure = impl.CopyIntoImage(source, roots, kLargeObjectThreshold, shared);
    if (failure != CopyFailure::kNone) break;
    failure = impl.ShareImage([&] { return is_committed = Commit(source); }, copied);
    shared.publishes = false;  // what another mutator has got hold of is copied
  }
  Status status;
  if (failure != CopyFailure::kNone && failure != CopyFailure::kTooLarge) {
    status = impl.Explain(source, roots, failure, nullptr);
  }
  impl.buffers.Clear();
  if (!status.ok()) return status;
  return failure == CopyFailure::kNone;
}

Status GraphCopier::CopyInto(Mutator& source, Ref root, Mutator& destination, Ref* copied,
                             const CopyOptions& options) {
  Impl& impl = *impl_;
  RegionState& to = destination.region().state();
  if (!source.CheckManaged("CopyInto")) {
    return {StatusCode::kFailedPrecondition,
            "mutator \"" + source.name() + "\" copies objects while not managed"};
  }
  if (&to == &source.region().state() || &to.heap != &impl.heap ||
      &source.region().state().heap != &impl.heap || destination.state() != MutatorState::kNative) {
    return {StatusCode::kInvalidArgument,
            "objects of region \"" + source.region().name() + "\" cannot be copied to region \"" +
                destination.region().name() +
                "\": the destination is another region of the same heap, its mutator native"};
  }
  StartsAnewScope source_scope(source);
  StartsAnewScope destination_scope(destination);
  impl.destination = &to;
  std::span<const Ref> roots(&root, 1);
  CopyOptions now = options;
  for (;;) {
    impl.buffers.ClearCommit();
    impl.buffers.roots = roots;
    RegionSink sink(to);
    Word word = roots[0].word;
    CopyFailure failure = impl.WithEncoding([&]<typename E>() {
      return impl.Copy<E>(source, std::span<Word>(&word, 1), nullptr, sink, now);
    });
    if (ATOLL_LIKELY(failure == CopyFailure::kNone)) {
      bool is_done = true;
      if (!now.for_shared) {
        sink.Commit();
      } else if (!Commit(source)) {
        now.publishes = false;
        is_done = false;
      } else if (!sink.Share([&] { return PollKeepingRoots(source, impl.buffers); })) {
        failure = CopyFailure::kReplaced;
        is_done = false;
      }
      if (ATOLL_LIKELY(is_done)) {
        *copied = Ref{word};
        impl.buffers.Clear();
        return Status::Ok();
      }
    }
    sink.Abandon();
    if (failure == CopyFailure::kReplaced) {
      impl.BeginAnew(roots);
      continue;
    }
    Status status;
    if (failure != CopyFailure::kNone) status = impl.Explain(source, roots, failure, &destination);
    impl.buffers.Clear();
    if (!status.ok()) return status;
  }
}

bool GraphCopier::Commit(Mutator& source) {
  CopyBuffers& buffers = impl_->buffers;
  if (!FlipAllToShared(source, buffers.flips)) return false;
  if (!buffers.transfers.empty()) {
    TransferToCopies(source, *impl_->destination, buffers.transfers);
  }
  return true;
}

void GraphCopier::TakeBackTransfers(Mutator& source) {
  CopyBuffers& buffers = impl_->buffers;
  if (!buffers.transfers.empty()) TransferBack(source, *impl_->destination, buffers.transfers);
}

size_t GraphCopier::transfer_bytes() const { return impl_->transfer_bytes; }

}  // namespace Atoll
