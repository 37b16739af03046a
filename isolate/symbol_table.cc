#include "isolate/symbol_table.h"

#include <cstring>
#include <string>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "isolate/program_ranks.h"

namespace Atoll {
namespace {

// FNV-1a over words, and a mix of the high bits into the low ones, which choose the entry.
uint64_t HashOf(std::string_view text) {
  constexpr uint64_t kPrime = 0x9E3779B97F4A7C15u;
  uint64_t hash = 0xCBF29CE484222325u ^ text.size();
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, sizeof word);
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 29;
  }
  uint64_t rest = 0;
  if (at != text.size()) std::memcpy(&rest, text.data() + at, text.size() - at);
  hash = (hash ^ rest) * kPrime;
  return hash ^ hash >> 32;
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShown = 40;
  return "\"" + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "...\"" : "\"");
}

}  // namespace

SymbolTable::SymbolTable(Heap& heap)
    : heap_(heap), mutex_(kSymbolMutexRank, "symbols"), symbols_(heap.state().allocator) {}

Status SymbolTable::SetType(const Type& type) {
  if (!type.is_leaf() || type.element_size != 1) {
    return {StatusCode::kInvalidArgument,
            "type \"" + type.name() +
                "\" cannot be that of symbols: it must be a leaf with elements of one byte"};
  }
  SafepointMutexLock lock(mutex_);
  // Relaxed: written under this lock alone.
  const Type* old = type_.load(std::memory_order_relaxed);
  if (old != nullptr && old != &type) {
    return {StatusCode::kFailedPrecondition,
            "the type of symbols is \"" + old->name() + "\" already; set it once"};
  }
  type_.store(&type, std::memory_order_release);
  return Status::Ok();
}

uintptr_t SymbolTable::FindObject(uint64_t hash, std::string_view text, const Type& type) const {
  return symbols_.Find(hash, [&](uintptr_t object) {
    return LengthOf(type, object) == text.size() &&
           std::memcmp(reinterpret_cast<const char*>(object + type.fixed_size), text.data(),
                       text.size()) == 0;
  });
}

Ref SymbolTable::Find(std::string_view text) const {
  const Type* type = type_.load(std::memory_order_acquire);
  if (type == nullptr) return Ref{};
  const uintptr_t object = FindObject(HashOf(text), text, *type);
  return object == 0 ? Ref{} : Ref{heap_.encoding().Make(object)};
}

Result<Ref> SymbolTable::Intern(std::string_view text) {
  const Type* type = type_.load(std::memory_order_acquire);
  if (type == nullptr) {
    return Status(StatusCode::kFailedPrecondition,
                  "symbol " + Quoted(text) +
                      " cannot be made: symbols have no type yet; call Program::SetSymbolType");
  }
  const uint64_t hash = HashOf(text);
  if (const uintptr_t object = FindObject(hash, text, *type); object != 0) {
    return Ref{heap_.encoding().Make(object)};
  }
  // Waiting for the lock is a safepoint, and the text may lie in an object.
  return InternSlow(hash, std::string(text), *type);
}

Result<Ref> SymbolTable::InternSlow(uint64_t hash, std::string_view text, const Type& type) {
  const auto refuse = [&] {
    return Status(StatusCode::kResourceExhausted,
                  "no memory for symbol " + Quoted(text) + ", one of " +
                      std::to_string(symbols_.count() + 1) +
                      "; those that nothing refers to go with the next group collection");
  };
  SafepointMutexLock lock(mutex_);
  if (const uintptr_t object = FindObject(hash, text, type); object != 0) {
    return Ref{heap_.encoding().Make(object)};
  }
  if (text.size() > MaximumLength(type) || !symbols_.Reserve()) return refuse();
  const uintptr_t object = Allocate(text, type);
  if (object == 0) return refuse();
  symbols_.Add(hash, object);
  return Ref{heap_.encoding().Make(object)};
}

uintptr_t SymbolTable::Allocate(std::string_view text, const Type& type) {
  HeapState& heap = heap_.state();
  platform::MutexLock lock(heap.small_copies_mutex);
  const uintptr_t object = heap.small_copies.Allocate(SizeForLength(type, text.size()));
  if (object == 0) return 0;
  // Relaxed: the table publishes it.
  HeaderOf(object).store(type.header_word, std::memory_order_relaxed);
  Mutator::StoreLength(type, object, text.size());
  if (!text.empty()) {
    std::memcpy(reinterpret_cast<void*>(object + type.fixed_size), text.data(), text.size());
  }
  return object;
}

void SymbolTable::VisitWeakRoots(RootVisitor& visitor) {
  symbols_.RemoveUnless([&](uintptr_t object) {
    const Ref symbol{heap_.encoding().Make(object)};
    return visitor.VisitValue(symbol) == symbol;
  });
}

}  // namespace Atoll
