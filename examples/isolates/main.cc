// The smallest program with two isolates: one makes a list, the other gets it. README.md shows it.

// [program]
#include <atoll/atoll.h>

#include <cstdio>

struct Node : Atoll::Object {
  Atoll::Member<Node> next;
  int64_t value;
};
template <>
struct Atoll::Fields<Node> : Atoll::References<ATOLL_FIELD(Node, next)> {};

struct Task {
  const Atoll::Type* node_type;
  int64_t sum = 0;
};
// Runs in an isolate of its own, on another thread: makes a list.
Atoll::Result<Atoll::Ref> MakeList(Atoll::Isolate& isolate, void* task) {
  const Atoll::HandleScope scope(isolate.mutator());
  Atoll::Local<Node> list(isolate.mutator(), nullptr);
  for (int64_t i = 0; i < 1'000'000 && isolate.Poll(); ++i) {
    Node* node = Atoll::New<Node>(isolate.mutator(), *static_cast<Task*>(task)->node_type);
    if (node == nullptr) return isolate.mutator().last_error();
    node->value = i;
    node->next.Init(isolate.mutator(), node, list.get());
    list.Set(node);
  }
  return list.Get();  // all that the isolate owns is handed over, and the isolate ends
}
// Runs in the isolate that asked: the list is its own now, and nothing was copied.
void SumList(Atoll::Isolate&, const Atoll::Result<Atoll::Ref>& list, void* task) {
  if (!list.ok()) return;
  const Node* node = reinterpret_cast<Node*>(list.value().word);
  for (; node != nullptr; node = node->next.get()) static_cast<Task*>(task)->sum += node->value;
}
int main() {
  auto group = Atoll::IsolateGroup::Create({}).value();
  Task task{group->heap().RegisterType(Atoll::Describe<Node>("Node")).value()};
  auto entered = Atoll::EnteredIsolate::Enter(*group, {.name = "main"}).value();  // this thread's
  if (!Atoll::Run(entered->isolate(), {.name = "worker"}, MakeList, SumList, &task).ok()) return 1;
  entered->Receive();  // waits for the result, and calls SumList
  std::printf("sum %lld\n", static_cast<long long>(task.sum));
  return task.sum == 499'999'500'000 ? 0 : 1;
}
// [/program]
