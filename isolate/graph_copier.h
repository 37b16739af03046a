// Copying graphs of objects: for messages, and for parking.
#ifndef ATOLL_ISOLATE_GRAPH_COPIER_H_
#define ATOLL_ISOLATE_GRAPH_COPIER_H_

#include <cstddef>
#include <memory>
#include <span>

#include "atoll/function_ref.h"
#include "atoll/heap.h"
#include "isolate/image.h"

namespace Atoll {

inline bool NeverCancelled() { return false; }

struct CopyOptions {
  /// Asked after each poll: true ends the copy with kCancelled.
  FunctionRef<bool()> is_cancelled = NeverCancelled;
  /// Bytes copied between two polls, about; a multiple of 8. With 8 there is a poll after each
  /// object.
  size_t poll_bytes = 64 * 1024;
  /// The copies are to be shared. Weak references and ephemerons are refused, since shared objects
  /// have none; CopyInto makes the copies shared at once, not the destination's.
  bool for_shared = false;
  /// Large objects of deeply immutable types are not copied but become shared where they are, by
  /// Commit, if FlipToShared takes them.
  bool publishes = false;
  /// Objects whose types are not identity_free are refused, but for those that become shared.
  bool only_identity_free = false;
};

/// Copies graphs of one heap: everything that roots reach through strong references.
///
/// Kept: cycles and sharing, identity hashes, embedder bits, and all bits of references beside the
/// address. Words that are no references and references to shared objects stay as they are. A weak
/// reference stays if its referent is reached strongly too, and is cleared else; an ephemeron's
/// value is reached if its key is, else both are cleared. Pins and entries of weak tables do not
/// come along.
///
/// Refused (kInvalidArgument) are objects of unsendable and of non-moving types, objects with a
/// finalizer, which would run once more for the copy (unless it is a native one of a type with a
/// `transfer` hook: that moves), and objects whose `trace` callback visits slots outside them. The
/// message names type, reason and path from the root:
///     root -> "Table" element 2 -> "Node" slot 0 -> "Socket"
/// where slots are counted in the order of their offsets.
///
/// The source is not written to, and not collected meanwhile; other mutators of its region may run,
/// and what they store into the graph meanwhile may or may not be copied, as may what they flip to
/// shared. Handshakes and stops are answered at the polls. A copy that ends with an error has
/// changed nothing. Shared objects that roots refer to are kept by the caller; those that the graph
/// refers to, by the graph.
///
/// One thread at a time. Keeps up to about 1 MiB of its working memory from one copy to the next.
class GraphCopier {
 public:
  explicit GraphCopier(Heap& heap);
  ~GraphCopier();
  GraphCopier(const GraphCopier&) = delete;
  GraphCopier& operator=(const GraphCopier&) = delete;

  enum class Packing : uint8_t {
    kSmall,     ///< in *small
    kImage,     ///< in *image
    kTooLarge,  ///< nowhere: it takes more than max_bytes, or something would move with the copy
  };
  /// Packs what `roots` reach, at most `max_bytes` (and kLargeObjectThreshold) of it: into `small`
  /// if that is not null and the graph fits, else into an allocation of the heap's off-heap memory.
  /// Managed state of `source`. Errors, besides the above: kCancelled; kResourceExhausted.
  Result<Packing> Pack(Mutator& source, std::span<const Ref> roots, size_t max_bytes,
                       SmallImage* small, Image* image, const CopyOptions& options = {});

  /// Copies a graph of at most kLargeObjectThreshold bytes into room that the Shared space has
  /// (options.for_shared is implied), commits, and stores the root's new word to `copied`. False:
  /// it is larger. Managed state of `source`; no poll follows the copy. Errors as for Pack.
  Result<bool> CopySmallIntoShared(Mutator& source, Ref root, Ref* copied,
                                   const CopyOptions& options);

  /// Copies a graph of any size into `destination`'s region, as young objects, and stores the
  /// root's new word to `copied`. Managed state of `source`; `destination` is another region's, the
  /// only one there, native, and used by nobody else meanwhile; its region's limit and the heap's
  /// hold, its nursery's size does not. Nothing is collected. From the return on it is the caller's
  /// business that the root is kept where collections of the destination find it, or that there are
  /// none before it is adopted. Errors as for Pack; then the destination is as before.
  /// What is copied for_shared is committed already.
  Status CopyInto(Mutator& source, Ref root, Mutator& destination, Ref* copied,
                  const CopyOptions& options = {});

  /// Carries out what the copy that was made last changes in its source: large objects become
  /// shared, and what objects with a `transfer` hook own becomes their copies'. Without a safepoint
  /// of `source` since that copy was made; until then the copy is nobody's. False: nothing is
  /// changed, since another mutator of the source's region has pinned an object meanwhile, or
  /// attached something to it; throw the copy away, and make one that does not publish.
  [[nodiscard]] bool Commit(Mutator& source);
  /// Takes back what was transferred by Commit, before the next safepoint; what has become shared
  /// stays so. Then the copy may be thrown away.
  void TakeBackTransfers(Mutator& source);
  /// External bytes that Commit transfers from the copy that was made last.
  size_t transfer_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_GRAPH_COPIER_H_
