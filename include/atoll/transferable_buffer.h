// Layer: messaging
#ifndef ATOLL_TRANSFERABLE_BUFFER_H_
#define ATOLL_TRANSFERABLE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "atoll/heap.h"
#include "atoll/mutator.h"

namespace Atoll {

/// Bytes off the heap that belong to one isolate at a time, held by an object of a type made here:
/// { header, address, length }. A message that reaches the object moves the bytes, which are never
/// copied: the receiver's object has them from then on, and the sender's is *detached*, its address
/// and length zero. A send that is not delivered leaves it attached. sendAndExit hands the bytes
/// over with the region. They are freed once: when the object that has them dies, or its isolate
/// ends, or the message that carries them is not delivered to anyone. Freeze refuses the object.
///
/// The bytes never move in memory: their address stays valid until then. They count as external
/// bytes of the isolate that has them, for its pacing and limits. What else is known of the object
/// stays with the sender's: entries of weak tables, pins.
class TransferableBuffer {
 public:
  static constexpr uint32_t kBytesOffset = kHeaderSize;
  static constexpr uint32_t kLengthOffset = kHeaderSize + sizeof(Word);
  static constexpr uint32_t kObjectSize = kLengthOffset + sizeof(Word);

  /// Frees bytes that were adopted. Called on any thread, once, in the midst of collections:
  /// touches no heap and waits for nothing that needs a mutator.
  using FreeFn = void (*)(void* bytes, size_t length, void* context);

  /// A type whose objects are buffers; one for a heap is enough. Errors: see Heap::RegisterType.
  static Result<const Type*> RegisterType(Heap& heap,
                                          const std::string& name = "TransferableBuffer");

  /// A buffer with `length` zeroed bytes of the heap's off-heap memory, aligned to 16. Managed
  /// state of `mutator`; may collect. Errors: not such a type; the region's or the heap's limit
  /// leaves no room, or the system has no memory (kResourceExhausted). O(length).
  static Result<ObjectPtr> Allocate(Mutator& mutator, const Type& type, size_t length);

  /// A buffer with bytes of the caller's (not null), which `free` frees when the time has come;
  /// after an error they are the caller's still. No limit refuses them, but they count. Otherwise
  /// as Allocate. O(1).
  static Result<ObjectPtr> Adopt(Mutator& mutator, const Type& type, void* bytes, size_t length,
                                 FreeFn free, void* context = nullptr);

  /// The bytes of a buffer; none if it is detached, or its length is zero. Managed state.
  static std::span<std::byte> BytesOf(ObjectPtr buffer) {
    return {reinterpret_cast<std::byte*>(WordAt(buffer, kBytesOffset)),
            WordAt(buffer, kLengthOffset)};
  }
  static bool IsDetached(ObjectPtr buffer) { return WordAt(buffer, kBytesOffset) == 0; }

 private:
  static Word WordAt(ObjectPtr buffer, uint32_t offset) {
    return *reinterpret_cast<const Word*>(buffer.address() + offset);
  }
};

}  // namespace Atoll

#endif  // ATOLL_TRANSFERABLE_BUFFER_H_
