// What waits at a bounded port, and for which port that is: entries of the port table are used
// again, while messages of the port before are still under way. One word:
//
//   63      50 49       30 29                    0
//   |  tag   | messages   |  bytes, in words     |
//
// The tag comes of the port's key, 0 for none; messages and bytes of another port change nothing.
// (Two ports of one entry in a row have different tags; of those further back one in 2^14 has the
// same, and what is left of its messages is then counted as this one's.)
#ifndef ATOLL_MESSAGING_PORT_COUNT_H_
#define ATOLL_MESSAGING_PORT_COUNT_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace Atoll {

class PortCount {
 public:
  /// Bounds beyond these are taken as these.
  static constexpr uint32_t kMaxMessages = (1u << 20) - 1;
  static constexpr size_t kMaxBytes = (size_t{1} << 33) - 8;

  static uint32_t TagOf(uint64_t key) { return static_cast<uint32_t>(key % kMaxTag) + 1; }
  struct Waiting {
    uint32_t messages = 0;
    size_t bytes = 0;
  };

  /// Whether a port with this key may have the entry now.
  bool Differs(uint64_t key) const { return TagOf(key) != TagIn(Load()); }
  /// Of a port that opens: nothing waits.
  void Begin(uint64_t key) {
    // Relaxed, here and below: a count; the port is published by its key.
    word_.store(uint64_t{TagOf(key)} << kTagShift, std::memory_order_relaxed);
  }
  enum class Added : uint8_t { kYes, kFull, kOtherPort };
  /// Adds a message of that many bytes, if the bounds (0: none) allow it; `*found` is what waits.
  Added Add(uint64_t key, size_t bytes, uint32_t max_messages, size_t max_bytes, Waiting* found) {
    const uint32_t message_bound = max_messages == 0 ? kMaxMessages : max_messages;
    const size_t byte_bound = max_bytes == 0 ? kMaxBytes : max_bytes;
    uint64_t word = Load();
    do {
      if (TagIn(word) != TagOf(key)) return Added::kOtherPort;
      *found = WaitingIn(word);
      if (found->messages >= std::min(message_bound, kMaxMessages) ||
          WordsOf(found->bytes) + WordsOf(bytes) > WordsOf(std::min(byte_bound, kMaxBytes))) {
        return Added::kFull;
      }
    } while (!word_.compare_exchange_weak(word, word + Delta(bytes), std::memory_order_relaxed));
    return Added::kYes;
  }
  /// Takes back what was added for the port of `key`, if the entry is still that port's.
  void Subtract(uint64_t key, size_t bytes) {
    uint64_t word = Load();
    do {
      const Waiting waiting = WaitingIn(word);
      if (TagIn(word) != TagOf(key) || waiting.messages == 0 ||
          waiting.bytes < WordsOf(bytes) * 8) {
        return;
      }
    } while (!word_.compare_exchange_weak(word, word - Delta(bytes), std::memory_order_relaxed));
  }

 private:
  static constexpr uint32_t kTagShift = 50;
  static constexpr uint32_t kMessagesShift = 30;
  static constexpr uint64_t kMaxTag = (1u << 14) - 1;

  uint64_t Load() const { return word_.load(std::memory_order_relaxed); }
  static uint32_t TagIn(uint64_t word) { return static_cast<uint32_t>(word >> kTagShift); }
  static Waiting WaitingIn(uint64_t word) {
    return {static_cast<uint32_t>(word >> kMessagesShift) & kMaxMessages,
            static_cast<size_t>(word & ((1u << kMessagesShift) - 1)) * 8};
  }
  static size_t WordsOf(size_t bytes) { return (bytes + 7) / 8; }
  /// `bytes` is at most kMaxBytes.
  static uint64_t Delta(size_t bytes) { return (uint64_t{1} << kMessagesShift) + WordsOf(bytes); }

  std::atomic<uint64_t> word_;
};

}  // namespace Atoll

#endif  // ATOLL_MESSAGING_PORT_COUNT_H_
