#include <string>

#include "messaging/messaging_state.h"

namespace Atoll {
namespace {

// Takes a port's entry out of its isolate's list and frees it.
void Remove(MessagingState& messaging, IsolateState& isolate, uint32_t index) {
  PortEntry& entry = *messaging.ports.At(index);
  // Release: a sender that finds another port here finds all of it.
  entry.key.store(0, std::memory_order_release);
  if (entry.previous != 0) {
    messaging.ports.At(entry.previous)->next = entry.next;
  } else {
    isolate.extension_data = entry.next;
  }
  if (entry.next != 0) messaging.ports.At(entry.next)->previous = entry.previous & 0x7FFFFFFF;
  entry.owns_data = 0;
  MessageCache* cache = messaging.CacheOfThread();
  messaging.ports.Give(index, cache == nullptr ? nullptr : &cache->ports);
}

struct OpenPorts final : IsolateExtension {
  static void End(IsolateState& isolate) {
    MessagingState& messaging = MessagingState::Of(isolate.group_state());
    while (isolate.extension_data != 0) {
      const auto index = static_cast<uint32_t>(isolate.extension_data);
      const PortEntry& entry = *messaging.ports.At(index);
      auto* data = entry.owns_data ? static_cast<PortData*>(entry.data) : nullptr;
      Remove(messaging, isolate, index);
      if (data != nullptr) data->isolate_ended(data);
    }
  }
  constexpr OpenPorts() : IsolateExtension{End} {}
};
OpenPorts open_ports;

}  // namespace

Result<ReceivePort> ReceivePort::Open(Isolate& isolate, MessageHandler handler, void* data,
                                      const PortOptions& options) {
  auto& state = static_cast<IsolateState&>(isolate);
  MessagingState& messaging = MessagingState::Of(state.group_state());
  MessageCache* cache = messaging.CacheOfThread();
  const uint32_t index = messaging.ports.Take(cache == nullptr ? nullptr : &cache->ports);
  if (index == 0) {
    return Status(StatusCode::kResourceExhausted, "group \"" + std::string(isolate.group().name()) +
                                                      "\": no memory for a port; close some");
  }
  PortEntry& entry = *messaging.ports.At(index);
  entry.handler = handler;
  entry.data = data;
  entry.previous = 0;
  entry.next = static_cast<uint32_t>(state.extension_data);
  if (entry.next != 0) messaging.ports.At(entry.next)->previous = index & 0x7FFFFFFF;
  state.extension = &open_ports;
  state.extension_data = index;
  // Relaxed: published with the key.
  entry.owner.store(&state.record, std::memory_order_relaxed);
  entry.max_messages.store(options.max_messages, std::memory_order_relaxed);
  entry.max_bytes.store(options.max_bytes, std::memory_order_relaxed);
  ReceivePort port;
  port.group_ = &state.group_state();
  port.port_ = {index, messaging.id, messaging.NewKey()};
  while (!entry.waiting.Differs(port.port_.key)) port.port_.key = messaging.NewKey();
  entry.waiting.Begin(port.port_.key);
  entry.key.store(port.port_.key, std::memory_order_release);
  isolate.Hold();
  return port;
}

void ReceivePort::Close() {
  if (group_ == nullptr) return;
  Isolate* current = Isolate::Current();
  MessagingState& messaging = MessagingState::Of(*group_);
  PortEntry* entry = messaging.Find(port_);
  group_ = nullptr;
  if (entry == nullptr) return;  // closed by the end of its isolate
  auto* state = static_cast<IsolateState*>(current);
  ATOLL_CHECK(state != nullptr && entry->owner.load(std::memory_order_relaxed) == &state->record,
              "a ReceivePort is closed outside the turns of its isolate");
  Remove(messaging, *state, port_.index);
  current->Unhold();
}

}  // namespace Atoll
