#include "heap/type_table.h"

#include <algorithm>

namespace Atoll {
namespace {

constexpr size_t kTableBytes = (size_t{header::kMaxTypeId} + 1) * sizeof(Type);
constexpr uint32_t kMaxFixedSize = uint32_t{1} << 24;
// Shorter arrays than this have a size that fits 64 bits and a length that fits 32.
constexpr uint32_t kInlineLengthEnd = uint32_t{1} << 31;
constexpr uint32_t kLongestPlain = 512;

Status Bad(const TypeInfo& info, const std::string& what) {
  return {StatusCode::kInvalidArgument, "type \"" + info.name + "\": " + what};
}

// Checks the offsets of references in `bytes` bytes that begin at `start`, and sets their bits.
Status Compile(const TypeInfo& info, const char* field, const std::vector<uint32_t>& offsets,
               uint32_t start, uint32_t bytes, uint32_t slot_size, std::vector<uint64_t>& bitmap) {
  bitmap.assign((bytes / slot_size + 63) / 64, 0);
  for (const uint32_t offset : offsets) {
    const std::string at = std::string(field) + " names offset " + std::to_string(offset);
    if (offset % slot_size != 0) {
      return Bad(info, at + ", which is misaligned; references lie at multiples of " +
                           std::to_string(slot_size));
    }
    if (offset < start) return Bad(info, at + ", which is the header; references lie behind it");
    if (uint64_t{offset} + slot_size > uint64_t{start} + bytes) {
      return Bad(info, at + ", which is outside its " + std::to_string(start + bytes) + " bytes");
    }
    const size_t slot = (offset - start) / slot_size;
    if ((bitmap[slot / 64] >> (slot % 64) & 1) != 0) {
      return Bad(info, at + " twice; each reference is named once");
    }
    bitmap[slot / 64] |= uint64_t{1} << (slot % 64);
  }
  return Status::Ok();
}

Status CheckLength(const TypeInfo& info) {
  if (info.length_width != 4 && info.length_width != 8) {
    return Bad(info, "length_width is " + std::to_string(info.length_width) +
                         "; a length is 4 or 8 bytes wide");
  }
  if (info.length_offset % info.length_width != 0) {
    return Bad(info, "length_offset " + std::to_string(info.length_offset) + " is misaligned");
  }
  if (info.length_offset < kHeaderSize ||
      uint64_t{info.length_offset} + info.length_width > info.fixed_size) {
    return Bad(info, "length_offset " + std::to_string(info.length_offset) +
                         " is outside the fixed part of " + std::to_string(info.fixed_size) +
                         " bytes; the length lies behind the header and before the elements");
  }
  for (const uint32_t offset : info.ref_offsets) {
    if (offset < info.length_offset + info.length_width &&
        info.length_offset < offset + info.slot_size) {
      return Bad(info, "ref_offsets names offset " + std::to_string(offset) +
                           ", which overlaps the length");
    }
  }
  return Status::Ok();
}

Status CheckShape(const TypeInfo& info) {
  const bool elements = info.element_size != 0;
  switch (info.layout) {
    case Layout::kLeaf:
      if (!info.ref_offsets.empty())
        return Bad(info, "a leaf has no references, ref_offsets must be empty");
      break;
    case Layout::kFixed:
      if (elements)
        return Bad(info, "layout kFixed has no elements; kRefArray and kStructArray have");
      break;
    case Layout::kRefArray:
      if (info.element_size != info.slot_size) {
        return Bad(info, "element_size of a kRefArray is that of a slot, " +
                             std::to_string(info.slot_size) + ", not " +
                             std::to_string(info.element_size));
      }
      break;
    case Layout::kStructArray:
      if (!elements || info.element_size % info.slot_size != 0) {
        return Bad(info, "element_size of a kStructArray is a multiple of a slot's, " +
                             std::to_string(info.slot_size) + ", not " +
                             std::to_string(info.element_size));
      }
      break;
    case Layout::kWeakRef:
    case Layout::kEphemeron: {
      const uint32_t special = info.layout == Layout::kWeakRef ? 1 : 2;
      const uint32_t first = kHeaderSize + special * info.slot_size;
      if (elements) return Bad(info, "weak references and ephemerons have no elements");
      if (info.fixed_size < first) {
        return Bad(info, "fixed_size " + std::to_string(info.fixed_size) +
                             " has no room for the weak slots");
      }
      for (const uint32_t offset : info.ref_offsets) {
        if (offset < first) {
          return Bad(info, "ref_offsets names offset " + std::to_string(offset) +
                               ", which overlaps the weak slots");
        }
      }
      break;
    }
    case Layout::kCustom:
      if (info.trace == nullptr) return Bad(info, "layout kCustom needs a trace callback");
      if (!info.ref_offsets.empty()) {
        return Bad(info,
                   "the trace callback of a kCustom visits all references; ref_offsets must "
                   "be empty");
      }
      break;
  }
  if (info.layout != Layout::kCustom && info.trace != nullptr) {
    return Bad(info, "a trace callback is for layout kCustom alone, and would not be called");
  }
  if (info.layout != Layout::kStructArray && !info.element_ref_offsets.empty()) {
    return Bad(info, "element_ref_offsets are for kStructArray alone");
  }
  return Status::Ok();
}

}  // namespace

TypeTable::TypeTable(const RefEncoding& encoding)
    : has_compressed_slots_(encoding.compressed),
      types_(static_cast<Type*>(platform::MapZeroed(kTableBytes))) {}

TypeTable::~TypeTable() {
  if (types_ != nullptr) platform::Unmap(types_, kTableBytes);
}

uint32_t TypeTable::count() const {
  platform::MutexLock lock(mutex_);
  return count_;
}

Result<const Type*> TypeTable::Register(const TypeInfo& info) {
  if (info.fixed_size < kHeaderSize || info.fixed_size > kMaxFixedSize) {
    return Bad(info, "fixed_size is " + std::to_string(info.fixed_size) + " bytes; it is " +
                         std::to_string(kHeaderSize) + " (the header) to " +
                         std::to_string(kMaxFixedSize));
  }
  const uint32_t slot_size = has_compressed_slots_ ? sizeof(CompressedWord) : sizeof(Word);
  if (info.layout != Layout::kLeaf && info.slot_size != slot_size) {
    return Bad(info, "slot_size is " + std::to_string(info.slot_size) +
                         " bytes, but the heap's references " +
                         (has_compressed_slots_ ? "are compressed, its slots are "
                                                : "are words, its slots are ") +
                         std::to_string(slot_size) + "; describe the type for the heap's encoding");
  }
  const bool odd_leaf = info.layout == Layout::kLeaf && info.element_size != 0;
  if (info.fixed_size % kGranule != 0 && !odd_leaf) {
    return Bad(info, "fixed_size " + std::to_string(info.fixed_size) + " is not a multiple of 8");
  }
  if (Status status = CheckShape(info); !status.ok()) return status;
  if (info.element_size != 0) {
    if (Status status = CheckLength(info); !status.ok()) return status;
  }
  if (info.transfer != nullptr && info.flags.deeply_immutable) {
    return Bad(info, "a deeply immutable type has no transfer hook: what it owns would never move");
  }
  TypeDetails details{info.name, {}, {}, info.trace, info.moved, info.transfer};
  const uint32_t body = info.fixed_size - kHeaderSize;
  if (Status status = Compile(info, "ref_offsets", info.ref_offsets, kHeaderSize, body, slot_size,
                              details.bitmap);
      !status.ok()) {
    return status;
  }
  if (Status status = Compile(info, "element_ref_offsets", info.element_ref_offsets, 0,
                              info.element_size, slot_size, details.element_bitmap);
      !status.ok()) {
    return status;
  }

  platform::MutexLock lock(mutex_);
  if (count_ > header::kMaxTypeId) {
    return Status(StatusCode::kResourceExhausted,
                  "type \"" + info.name + "\": all " + std::to_string(header::kMaxTypeId) +
                      " type ids of the heap are in use; share types between classes");
  }
  Type& type = types_[count_];
  type.header_word = Word{count_} << header::kTypeShift;
  type.bitmap = details.bitmap.empty() ? 0 : details.bitmap[0];
  type.element_bitmap = details.element_bitmap.empty() ? 0 : details.element_bitmap[0];
  type.fixed_size = info.fixed_size;
  type.element_size = info.element_size;
  type.length_offset = info.length_offset;
  type.length_width = static_cast<uint8_t>(info.length_width);
  type.layout = info.layout;
  type.flags = info.flags;
  type.has_long_bitmap = details.bitmap.size() > 1 || details.element_bitmap.size() > 1;
  type.has_moved_hook = info.moved != nullptr;
  type.has_transfer_hook = info.transfer != nullptr;
  type.has_compressed_slots = has_compressed_slots_;
  const bool is_slow = info.flags.non_moving || info.flags.unsendable;
  const bool is_inline = !type.has_elements() && !is_slow;
  type.inline_size = is_inline ? info.fixed_size : Type::kNeverInline;
  type.inline_length_end = type.has_elements() && !is_slow ? kInlineLengthEnd : 0;
  const bool is_plain = is_inline && type.layout <= Layout::kFixed && !type.has_long_bitmap &&
                        !type.has_moved_hook && !type.has_transfer_hook &&
                        type.fixed_size <= kLongestPlain;
  type.plain_size = is_plain ? info.fixed_size : 0;
  details_.push_back(std::move(details));
  type.details = &details_.back();
  ++count_;
  return &type;
}

const std::string& Type::name() const { return details->name; }

}  // namespace Atoll
