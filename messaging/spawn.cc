#include <utility>

#include "messaging/messaging_state.h"

namespace Atoll {
namespace {

// What an isolate begins with: a port of its own, opened before its first turn, for one message.
struct FirstPort final : PortData {
  FirstPort(MessageHandler message_handler, void* handler_data)
      : PortData{Release}, handler(message_handler), data(handler_data) {}

  // The isolate has ended, or the message has come.
  static void Release(PortData* data) { delete static_cast<FirstPort*>(data); }

  const MessageHandler handler;
  void* const data;
  ReceivePort port;
};

void ReceiveFirst(Isolate& isolate, Ref message, void* data) {
  auto* first = static_cast<FirstPort*>(static_cast<PortData*>(data));
  const MessageHandler handler = first->handler;
  void* const handler_data = first->data;
  first->port.Close();
  FirstPort::Release(first);
  handler(isolate, message, handler_data);
}

}  // namespace

Result<IsolateId> Spawn(Isolate& sender, const SpawnOptions& options, Ref root,
                        MessageHandler handler, void* data) {
  auto& state = static_cast<IsolateState&>(sender);
  GroupState& group = state.group_state();
  MessagingState& messaging = MessagingState::Of(group);
  Status why;
  const Explanation explanation{group, &why};
  Message* message = messaging.NewMessage();
  if (message == nullptr) {
    explanation.NoMemory();
    return why;
  }
  message->is_counted = 0;
  GraphCopier* to_commit = nullptr;
  if (PackMessage(state, root, *message, &to_commit, explanation) != SendStatus::kDelivered) {
    messaging.FreeMessage(message);
    return why;
  }
  auto made = group.Make(options, nullptr);
  if (!made.ok()) {
    message->kind->discard(group, message);
    return made.status();
  }
  // This thread owns the isolate until it is ready, so it may act for it.
  IsolateRecord& record = *made.value();
  IsolateState& child = record.state();
  const IsolateId id{record.index, record.generation.load(std::memory_order_relaxed)};
  auto* first = new FirstPort(handler, data);
  auto port = ReceivePort::Open(child, ReceiveFirst, static_cast<PortData*>(first));
  if (!port.ok()) {
    delete first;
    message->kind->discard(group, message);
    child.on_exit = {};  // nobody is told of an isolate that was not spawned
    child.FailWith(port.status());
    group.scheduler.Ready(&record);
    return port.status();
  }
  first->port = std::move(port).value();
  messaging.TellOfEnd(first->port.send_port());
  message->port_key = first->port.send_port().key;
  message->port_index = first->port.send_port().index;
  if (to_commit != nullptr) {
    const bool committed = to_commit->Commit(state.mutator());
    ATOLL_CHECK(committed, "a copy that publishes nothing was not committed");
  }
  // Never closed: that is done by the isolate's own last turn.
  record.inbox.Push(message);
  group.scheduler.Ready(&record);
  return id;
}

}  // namespace Atoll
