// Layer: messaging
#ifndef ATOLL_MESSAGING_H_
#define ATOLL_MESSAGING_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "atoll/isolate.h"
#include "atoll/status.h"

/// How isolates of a group speak to each other: ports, and messages that are copied, shared, or
/// handed over whole.

namespace Atoll {

struct MessagingState;

/// Where messages are sent to. A value that may be kept anywhere, in objects as plain bytes, and
/// sent on. A port that has been closed never becomes another.
struct SendPort {
  uint32_t index = 0;
  uint32_t group = 0;  ///< whose port it is: a number that no other group of the process has
  uint64_t key = 0;    ///< not to be guessed; 0: no port
  explicit operator bool() const { return key != 0; }
  friend bool operator==(const SendPort&, const SendPort&) = default;
};

/// Handles a message in a turn of the port's isolate, managed. `message` is in no handle: make one
/// before anything that may collect.
using MessageHandler = void (*)(Isolate& isolate, Ref message, void* data);

struct PortOptions {
  /// Messages that may wait at the port, and their bytes, at least a word each; 0: no bound. At
  /// most 2^20 - 1 and 8 GiB wait at a port that is bounded at all.
  uint32_t max_messages = 0;
  size_t max_bytes = 0;
};

/// An end of messages: open until it is closed, destroyed, or its isolate ends; and it keeps the
/// isolate alive as long. Used in turns of the isolate that opened it alone; it may be destroyed
/// anywhere once the isolate has ended, but before its group. Opening and closing cost about 20 ns.
class ReceivePort {
 public:
  ReceivePort() = default;
  ReceivePort(ReceivePort&& other) noexcept { *this = std::move(other); }
  ReceivePort& operator=(ReceivePort&& other) noexcept {
    std::swap(group_, other.group_);
    std::swap(port_, other.port_);
    return *this;
  }
  ~ReceivePort() { Close(); }

  /// Error: no memory for the port.
  static Result<ReceivePort> Open(Isolate& isolate, MessageHandler handler, void* data,
                                  const PortOptions& options = {});
  /// Messages that wait are freed when their turn comes.
  void Close();
  /// Leaves the port open until its isolate ends.
  SendPort Release() {
    group_ = nullptr;
    return port_;
  }
  const SendPort& send_port() const { return port_; }

 private:
  GroupState* group_ = nullptr;
  SendPort port_;
};

/// Copies what `root` reaches into the Shared space, as deeply immutable, and returns the new root:
/// sending that, or storing it anywhere, costs nothing from then on. The old objects stay as they
/// are. In a turn of `isolate`, managed; may collect, and polls. The result is in no handle. A
/// store into a shared object goes to the heap's violation handler.
///
/// Large objects of deeply immutable types are not copied, as in Send. Errors, which change
/// nothing: an object that cannot be sent (see Send), a weak reference or an ephemeron, a
/// TransferableBuffer (type, reason, path); no memory; the isolate was killed (kCancelled).
/// O(objects copied).
Result<Ref> Freeze(Isolate& isolate, Ref root);

/// A shared reference to the same value, for caches and constants that all isolates use: `root`
/// itself if it is an immediate, shared already, or a large object, which becomes shared where it
/// is; else to a copy, which nothing can tell from the original. So all that `root` reaches must be
/// of deeply immutable types, and what is small, or refers to private objects, of identity_free
/// ones too. In a turn of `isolate`, managed; polls. The result is in no handle.
///
/// Errors, which change nothing: an object of another type (type, reason, path), and those of
/// Freeze. O(1) for a large object without references, else O(objects reached).
Result<Ref> Publish(Isolate& isolate, Ref root);

/// Publishes `value` and stores the reference into a slot of a Program object, by a release store:
/// who reads it by LoadAcquire finds the value whole. Returns what was stored. To store only where
/// nobody else has yet, Publish and CompareExchange. Errors, which change nothing: those of
/// Publish; the holder is not a Program object, or the slot not its own.
Result<Ref> StoreShared(Isolate& isolate, ObjectPtr holder, Slot slot, Ref value);

enum class SendStatus : uint8_t {
  kDelivered,  ///< it lies in the isolate's inbox, and is handled if the isolate and port stay
  kClosed,     ///< the port is closed, or its isolate has ended
  kFull,       ///< as many messages or bytes as it takes wait at the port: send again later
  kOverQuota,  ///< more bytes than the port ever takes
  kRefused,    ///< it can never be sent, or there is no memory: the Status says which and why
};
const char* ToString(SendStatus status);

/// Sends a copy of what `message` reaches: cycles, sharing and identity hashes are kept; shared
/// objects and immediates pass as they are. Objects over kLargeObjectThreshold of deeply immutable
/// types are not copied but become shared where they are, unless they are pinned, have a finalizer
/// or an entry in a weak table, or refer to a private object. The bytes of a TransferableBuffer
/// move.
///
/// In a turn of `sender`; polls while it copies. A send that ends with anything but kDelivered has
/// changed nothing (but that a port that closes at the very end may leave large immutable objects
/// shared); `why` (if not null) then says why in words. Messages of one sender to one port arrive
/// in order. Cost: O(objects copied).
SendStatus Send(Isolate& sender, const SendPort& port, Ref message, Status* why = nullptr);

/// Sends an immediate (a word that is no reference) from any thread.
SendStatus SendImmediate(IsolateGroup& group, const SendPort& port, Ref message,
                         Status* why = nullptr);

/// Spawns an isolate whose first turn handles a message: a copy of what `message` reaches, as Send
/// makes it. SpawnOptions::entry, which may be null here, is called before. In a turn of `sender`;
/// polls while it copies. Errors, which spawn nothing: of IsolateGroup::Spawn, apart from the
/// entry; the message cannot be sent; no memory. O(objects copied).
Result<IsolateId> Spawn(Isolate& sender, const SpawnOptions& options, Ref message,
                        MessageHandler handler, void* data);

/// Sends all that the isolate owns, O(1), and ends it: see PrepareExit.
class [[nodiscard]] ExitTicket {
 public:
  ExitTicket(ExitTicket&& other) noexcept : offer_(std::exchange(other.offer_, nullptr)) {}
  ExitTicket& operator=(ExitTicket&& other) noexcept {
    std::swap(offer_, other.offer_);
    return *this;
  }
  /// A ticket that was not committed changes nothing. It may outlive its turn and its isolate, but
  /// not the group.
  ~ExitTicket();

  /// Ends the isolate when the function that runs has returned, its handles and Persistents
  /// invalid; then what it owned is the message's. From here on no managed code runs. Cannot fail,
  /// but for a ticket that was voided (kFailedPrecondition): the isolate allocated since
  /// PrepareExit or prepared another, has stored a reference to an unsendable object into the
  /// message, the turn has ended, or the ticket was committed before. A port that closes afterwards
  /// means that the message is freed. O(1), but for a region with instances of unsendable types,
  /// where the message is walked again; if there is no memory for the walk (kResourceExhausted),
  /// nothing has changed, and it may be asked once more.
  Status Commit();

 private:
  friend struct ExitOffer;
  explicit ExitTicket(struct ExitOffer* offer) : offer_(offer) {}
  struct ExitOffer* offer_;
};

struct ExitOptions {
  /// Hands over even a message that would be cheaper to copy.
  bool always_adopt = false;
};

/// Offers all that the isolate owns as a message to `port`, which the receiver adopts, O(1):
/// nothing is copied. Objects that `message` does not reach come along, and are freed by the
/// receiver's next major collection; a message of at most 32 objects and 4 KiB is copied instead
/// when that is likely to be cheaper. In a turn of the isolate, managed. What ends with an isolate
/// (ports, handles, Persistents, pins, thread-affine finalizers) does not come along.
///
/// Validated here, in O(1): where the region has instances of types declared unsendable, which are
/// counted, what `message` reaches is walked for one. Errors leave the isolate as it was: not the
/// calling thread's isolate; several mutators; an unsendable object is reached (type, reason,
/// path); the port is closed or full (`status` says which).
Result<ExitTicket> PrepareExit(Isolate& isolate, const SendPort& port, Ref message,
                               SendStatus* status = nullptr, const ExitOptions& options = {});

/// Computes a result in an isolate of its own; an error is passed to whoever ran it.
using ComputeFn = Result<Ref> (*)(Isolate& isolate, void* data);
/// Gets a result, in a turn of the isolate that asked for it; it is in no handle.
using ResultFn = void (*)(Isolate& isolate, const Result<Ref>& result, void* data);

/// Spawns an isolate that computes something and delivers it by sendAndExit. `done` is called once,
/// unless the caller's isolate ends before: with the result, or with the error of `compute`, or of
/// the isolate (killed, not initialized, ended without a result, result unsendable). In a turn of
/// `isolate`, which it keeps alive until then. SpawnOptions::entry and data are not used. Errors:
/// see Spawn.
Status Run(Isolate& isolate, const SpawnOptions& options, ComputeFn compute, ResultFn done,
           void* data);

}  // namespace Atoll

#endif  // ATOLL_MESSAGING_H_
