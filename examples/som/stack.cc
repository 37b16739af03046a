#include "stack.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace som {
namespace {

// One that a thread keeps for the next isolate it runs.
Stack& SpareOfThread() {
  thread_local Stack spare;
  return spare;
}

// Grows an array to `count` elements; false: no memory.
template <typename T>
bool Grow(T*& first, T*& end, size_t count) {
  T* grown = static_cast<T*>(std::realloc(static_cast<void*>(first), count * sizeof(T)));
  if (grown == nullptr) return false;
  first = grown;
  end = grown + count;
  return true;
}

}  // namespace

Stack::~Stack() {
  std::free(values);
  std::free(frames);
}

bool Stack::Reserve(size_t more_values, size_t limit_bytes) {
  const auto in_use = static_cast<size_t>(top - values);
  const auto depth = static_cast<size_t>(next_frame() - frames);
  size_t value_count = static_cast<size_t>(values_end - values);
  size_t frame_count = static_cast<size_t>(frames_end - frames);
  if (in_use + more_values > value_count) {
    value_count = std::max({in_use + more_values, 2 * value_count, kFirstValues});
  }
  if (depth + 1 > frame_count) frame_count = std::max(2 * frame_count, kFirstFrames);
  const size_t bytes_then = value_count * sizeof(Ref) + frame_count * sizeof(Frame);
  if (bytes_then > limit_bytes && bytes_then > bytes()) return false;
  if (value_count != static_cast<size_t>(values_end - values)) {
    if (!Grow(values, values_end, value_count)) return false;
    top = values + in_use;
  }
  if (frame_count != static_cast<size_t>(frames_end - frames)) {
    if (!Grow(frames, frames_end, frame_count)) return false;
    if (depth != 0) frame = frames + depth - 1;
  }
  return true;
}

void Stack::Take() {
  if (values != nullptr) return;
  *this = std::move(SpareOfThread());
}

void Stack::Give() {
  constexpr size_t kKeep = size_t{64} << 10;
  if (values == nullptr || bytes() > kKeep) {
    *this = Stack();
    return;
  }
  Stack& spare = SpareOfThread();
  if (spare.values == nullptr) spare = std::move(*this);
  *this = Stack();
}

void Stack::Pack() {
  constexpr size_t kMostValues = kFirstValues / 2;
  const auto in_use = static_cast<size_t>(top - values);
  const auto depth = static_cast<size_t>(next_frame() - frames);
  if (is_packed_ || depth == 0 || depth >= kFirstFrames || in_use > kMostValues) return;
  Stack packed;
  if (!Grow(packed.values, packed.values_end, in_use) ||
      !Grow(packed.frames, packed.frames_end, depth)) {
    return;
  }
  std::copy_n(values, in_use, packed.values);
  std::copy_n(frames, depth, packed.frames);
  packed.top = packed.values_end;
  packed.frame = packed.frames_end - 1;
  packed.is_packed_ = true;
  std::swap(*this, packed);
  packed.top = packed.values;
  packed.frame = nullptr;
  packed.Give();
}

bool Stack::Unpack(size_t more_values) {
  if (!is_packed_) return true;
  const auto in_use = static_cast<size_t>(top - values);
  const auto depth = static_cast<size_t>(next_frame() - frames);
  Stack roomy;
  roomy.Take();
  if (!roomy.Reserve(in_use + more_values, SIZE_MAX)) return false;  // kFirstFrames are enough
  std::copy_n(values, in_use, roomy.values);
  std::copy_n(frames, depth, roomy.frames);
  roomy.top = roomy.values + in_use;
  roomy.frame = roomy.frames + depth - 1;
  *this = std::move(roomy);
  return true;
}

}  // namespace som
