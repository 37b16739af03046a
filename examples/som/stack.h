// The stack of an isolate: values and frames, outside the heap.
#ifndef SOM_STACK_H_
#define SOM_STACK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "method.h"
#include "value.h"

namespace som {

/// An activation. Its values begin at `base` of the values.
struct Frame {
  const Code* code;
  const Instruction* pc;  ///< the next one; valid while another frame is above this
  uint64_t activation;    ///< 0: no block that can return from it has been made
  uint32_t base;

  const Method& method() const { return *code->method; }
};

/// Grows as it is used. Empty ones take no memory, and those of isolates that wait for a message
/// little more than what lies on them.
class Stack {
 public:
  static constexpr size_t kFirstValues = 256;
  static constexpr size_t kFirstFrames = 32;

  Ref* values = nullptr;
  Ref* values_end = nullptr;
  Ref* top = nullptr;  ///< the first that is not in use
  Frame* frames = nullptr;
  Frame* frames_end = nullptr;
  Frame* frame = nullptr;  ///< the topmost one; null: there is none

  Stack() = default;
  Stack(Stack&& other) noexcept { *this = std::move(other); }
  Stack& operator=(Stack&& other) noexcept {
    std::swap(values, other.values);
    std::swap(values_end, other.values_end);
    std::swap(top, other.top);
    std::swap(frames, other.frames);
    std::swap(frames_end, other.frames_end);
    std::swap(frame, other.frame);
    std::swap(is_packed_, other.is_packed_);
    return *this;
  }
  ~Stack();

  bool has_frames() const { return frame != nullptr; }
  Frame* next_frame() const { return frame == nullptr ? frames : frame + 1; }
  void PopFrame() { frame = frame == frames ? nullptr : frame - 1; }
  size_t bytes() const {
    return static_cast<size_t>(values_end - values) * sizeof(Ref) +
           static_cast<size_t>(frames_end - frames) * sizeof(Frame);
  }
  /// Makes room for so many more values and one more frame. False: that would take more than
  /// `limit_bytes`, or there is no memory; nothing has changed. Values and frames may move.
  bool Reserve(size_t more_values, size_t limit_bytes);

  /// Takes memory for an empty stack, which this thread may have at hand.
  void Take();
  /// Gives the memory of an empty stack away.
  void Give();
  /// Moves what is in use, if that is little, to memory of just its size. Until Unpack it may be
  /// looked at and nothing be pushed.
  void Pack();
  /// Makes room again, for so many more values. False: no memory; nothing has changed.
  bool Unpack(size_t more_values);

 private:
  bool is_packed_ = false;
};

}  // namespace som

#endif  // SOM_STACK_H_
