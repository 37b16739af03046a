#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATE_WORLD_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATE_WORLD_H_

#include <cstdint>
#include <memory>
#include <semaphore>

#include "atoll/atoll.h"
#include "atoll/messaging.h"
#include "benchmarks/workloads/atoll_heap.h"

namespace bench {

/// An id, a reference and a number: what is sent in most workloads.
struct Msg : Atoll::Object {
  int64_t id;
  Atoll::Member<Msg> ref;
  int64_t payload;
};

}  // namespace bench

template <>
struct Atoll::Fields<bench::Msg> : Atoll::References<ATOLL_FIELD(bench::Msg, ref)> {};

namespace bench {

/// A sign that something has ended, for the thread outside.
class Done {
 public:
  void Set() { semaphore_.release(); }
  void Wait() { semaphore_.acquire(); }

 private:
  std::binary_semaphore semaphore_{0};
};

[[noreturn]] inline void GiveUp(const char* why) {
  std::fprintf(stderr, "atoll: %s\n", why);
  std::exit(1);
}

/// A group with the types that the workloads send.
class IsolateWorld {
 public:
  explicit IsolateWorld(int workers, Atoll::GroupClient* client = nullptr,
                        size_t nursery_bytes = 0) {
    Atoll::GroupOptions options;
    options.workers = workers;
    options.client = client;
    options.heap.nursery_bytes = options.heap.max_nursery_bytes = nursery_bytes;
    group_ = OrExit(Atoll::IsolateGroup::Create(options));
    msg_type_ = OrExit(group_->heap().RegisterType(Atoll::Describe<Msg>("Msg")));
    node_type_ = OrExit(group_->heap().RegisterType(Atoll::Describe<AtollNode>("Node")));
    table_type_ = OrExit(group_->heap().RegisterType(Atoll::DescribeRefArray("Table")));
  }

  using Table = Atoll::RefArray<AtollNode>;

  Atoll::IsolateGroup& group() { return *group_; }
  const Atoll::Type& msg_type() const { return *msg_type_; }
  const Atoll::Type& node_type() const { return *node_type_; }
  const Atoll::Type& table_type() const { return *table_type_; }

  template <typename T>
  void Spawn(void (*entry)(Atoll::Isolate&, void*), T* data) {
    OrExit(group_->Spawn({.entry = entry, .data = data}));
  }

  /// Sends a fresh Msg.
  ATOLL_ALWAYS_INLINE void SendMsg(Atoll::Isolate& isolate, const Atoll::SendPort& port, int64_t id,
                                   int64_t payload) {
    Msg* msg = Atoll::New<Msg>(isolate.mutator(), *msg_type_);
    msg->id = id;
    msg->payload = payload;
    SendRef(isolate, port, Atoll::Ref{reinterpret_cast<Atoll::Word>(msg)});
  }
  ATOLL_ALWAYS_INLINE static void SendRef(Atoll::Isolate& isolate, const Atoll::SendPort& port,
                                          Atoll::Ref message) {
    Atoll::Status why;
    if (Atoll::Send(isolate, port, message, &why) != Atoll::SendStatus::kDelivered) OrExit(why);
  }
  static Msg* AsMsg(Atoll::Ref message) { return reinterpret_cast<Msg*>(message.word); }

 private:
  std::unique_ptr<Atoll::IsolateGroup> group_;
  const Atoll::Type* msg_type_ = nullptr;
  const Atoll::Type* node_type_ = nullptr;
  const Atoll::Type* table_type_ = nullptr;
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATE_WORLD_H_
