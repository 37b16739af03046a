// Layer: heap
#ifndef ATOLL_HANDLES_H_
#define ATOLL_HANDLES_H_

#include <memory>
#include <utility>

#include "atoll/mutator.h"
#include "atoll/ref.h"

namespace Atoll {

/// Frees, when it ends, all Locals made since it began. Stack-like: scopes of one mutator end in
/// the reverse order of their beginning. Cost: two loads and two stores.
class HandleScope {
 public:
  ATOLL_ALWAYS_INLINE explicit HandleScope(Mutator& mutator)
      : mutator_(mutator), next_(mutator.handle_next_), limit_(mutator.handle_limit_) {}
  ATOLL_ALWAYS_INLINE ~HandleScope() {
    mutator_.handle_next_ = next_;
    if (ATOLL_UNLIKELY(mutator_.handle_limit_ != limit_)) mutator_.ShrinkHandles(limit_);
  }
  HandleScope(const HandleScope&) = delete;
  HandleScope& operator=(const HandleScope&) = delete;

 private:
  Mutator& mutator_;
  Word* next_;
  Word* limit_;
};

/// A reference that a collection sees and updates, valid until its HandleScope ends. Holds any
/// Ref, immediates too. Cannot be copied, so it cannot leave its scope by being returned.
class LocalRef {
 public:
  ATOLL_ALWAYS_INLINE LocalRef(Mutator& mutator, Ref value) : word_(mutator.handle_next_) {
    if (ATOLL_UNLIKELY(word_ == mutator.handle_limit_)) word_ = mutator.GrowHandles();
    mutator.handle_next_ = word_ + 1;
    *word_ = value.word;
  }
  LocalRef(const LocalRef&) = delete;
  LocalRef& operator=(const LocalRef&) = delete;

  Ref Get() const { return Ref{*word_}; }
  void Set(Ref value) { *word_ = value.word; }

 protected:
  Word* word_;
};

/// A LocalRef to an object of the C++ type T, under the encodings of typed.h.
template <typename T>
class Local : public LocalRef {
 public:
  ATOLL_ALWAYS_INLINE Local(Mutator& mutator, T* object)
      : LocalRef(mutator, Ref{reinterpret_cast<Word>(object)}) {}
  T* get() const { return reinterpret_cast<T*>(*word_); }
  T* operator->() const { return get(); }
  explicit operator bool() const { return *word_ != 0; }
  void Set(T* object) { *word_ = reinterpret_cast<Word>(object); }
};

/// A reference in a C++ frame that a collection sees and updates: a LocalRef that lies in the frame
/// itself, in a list of the mutator's. Lives on the stack alone, inside a StackScope, which ends
/// it. Cost: a load and three stores, and none waits for another, so it is what deep native
/// recursion should use.
class StackRef {
 public:
  ATOLL_ALWAYS_INLINE StackRef(Mutator& mutator, Ref value)
      : word_(value.word), previous_(mutator.stack_refs_) {
    mutator.stack_refs_ = this;
  }
  StackRef(const StackRef&) = delete;
  StackRef& operator=(const StackRef&) = delete;
  void* operator new(size_t) = delete;

  Ref Get() const { return Ref{word_}; }
  void Set(Ref value) { word_ = value.word; }

 private:
  friend struct MutatorRecord;
  Word word_;
  StackRef* const previous_;
};

/// Ends, when it ends, all StackRefs made since it began: so it stands before them in their block.
/// Stack-like, as HandleScope. Cost: a load and a store.
class StackScope {
 public:
  ATOLL_ALWAYS_INLINE explicit StackScope(Mutator& mutator)
      : mutator_(mutator), newest_(mutator.stack_refs_) {}
  ATOLL_ALWAYS_INLINE ~StackScope() { mutator_.stack_refs_ = newest_; }
  StackScope(const StackScope&) = delete;
  StackScope& operator=(const StackScope&) = delete;

 private:
  Mutator& mutator_;
  StackRef* const newest_;
};

/// A StackRef to an object of the C++ type T, under the encodings of typed.h.
template <typename T>
class StackLocal : public StackRef {
 public:
  ATOLL_ALWAYS_INLINE StackLocal(Mutator& mutator, T* object)
      : StackRef(mutator, Ref{reinterpret_cast<Word>(object)}) {}
  T* get() const { return reinterpret_cast<T*>(Get().word); }
  T* operator->() const { return get(); }
  explicit operator bool() const { return Get().word != 0; }
  void Set(T* object) { StackRef::Set(Ref{reinterpret_cast<Word>(object)}); }
};

class PersistentTable;

/// A root of a region that outlives scopes: alive until reset. Move-only. Get and Set: in managed
/// state of a mutator of the region. May be destroyed anywhere, any time; once its region is gone
/// it holds null. Cost of making and ending one: a lock and a free-list operation.
class Persistent {
 public:
  Persistent() = default;
  Persistent(Region& region, Ref value);
  Persistent(Persistent&& other) noexcept { *this = std::move(other); }
  Persistent& operator=(Persistent&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(index_, other.index_);
    return *this;
  }
  ~Persistent() { Reset(); }
  Ref Get() const;
  void Set(Ref value);
  void Reset();

 protected:
  Persistent(Region& region, Ref value, bool weak);

 private:
  std::shared_ptr<PersistentTable> table_;
  uint32_t index_ = 0;
};

/// The same without keeping its object alive: Get returns the zero word once the object is dead.
class WeakPersistent : public Persistent {
 public:
  WeakPersistent() = default;
  WeakPersistent(Region& region, Ref value) : Persistent(region, value, true) {}
};

}  // namespace Atoll

#endif  // ATOLL_HANDLES_H_
