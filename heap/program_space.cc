#include "heap/program_space.h"

#include <cstring>

#include "atoll/mutator.h"
#include "heap/object_model.h"

namespace Atoll {

ProgramSpace::~ProgramSpace() {
  while (!blocks_.empty()) {
    const BlockIndex block = blocks_.Pop(space_);
    pool_.Give(block, space_.info(block).run_blocks);
  }
}

size_t ProgramSpace::block_count() const {
  platform::MutexLock lock(mutex_);
  return blocks_.block_count();
}

uintptr_t ProgramSpace::Allocate(const Type& type, size_t length) {
  const size_t size = type.has_elements() ? SizeForLength(type, length) : type.fixed_size;
  const size_t room_needed = (size + kGranule - 1) & ~(kGranule - 1);
  if (room_needed > kLargestObject) return 0;
  // Parsers take the lock too, so the object is whole before it is given up.
  platform::MutexLock lock(mutex_);
  BlockIndex block = blocks_.head();
  const size_t room =
      block == kNoBlock ? 0 : space_.info(block).run_blocks * kBlockSize - space_.info(block).top;
  if (room < room_needed) {
    const size_t run = (room_needed + kBlockSize - 1) / kBlockSize;
    block = pool_.Take(run, BlockPool::Allowance::kLimit);
    if (block == kNoBlock) return 0;
    for (size_t i = 0; i < run; ++i) {
      space_.info(block + static_cast<BlockIndex>(i)).space = Space::kProgram;
      space_.set_tag(block + static_cast<BlockIndex>(i), tag::kShared);
    }
    std::memset(reinterpret_cast<void*>(space_.AddressOf(block)), 0, run * kBlockSize);
    blocks_.Push(space_, block);
  }
  BlockInfo& info = space_.info(block);
  const uintptr_t at = space_.AddressOf(block) + info.top;
  info.top += static_cast<uint32_t>(room_needed);
  *reinterpret_cast<Word*>(at) = type.header_word;
  if (type.has_elements()) Mutator::StoreLength(type, at, length);
  return at;
}

}  // namespace Atoll
