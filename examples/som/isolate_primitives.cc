// Isolate and Port: the language's own names for what Atoll's isolates do.

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "primitives.h"
#include "process.h"

namespace som {
namespace {

using Atoll::Isolate;
using Atoll::SendStatus;

// [port]
Ref NewPortObject(Process& process, const Class& info, const Atoll::SendPort& port) {
  const ObjectPtr made = process.Allocate(info);
  if (made) reinterpret_cast<PortObject*>(made.address())->port = port;
  return RefOf(made);
}

Outcome OpenNewPort(Process& process, Ref* values) {
  const Class& info = *To<ClassObject>(values[0])->info;
  const OpenPort* opened = process.NewPort();
  if (opened == nullptr) return process.Fail("no memory for a port");
  return process.ReturnNew(values, NewPortObject(process, info, opened->receive.send_port()));
}

// Answers whether the port was still open. What cannot be sent at all is an error.
Outcome SendTo(Process& process, Ref* values) {
  const Atoll::SendPort port = To<PortObject>(values[0])->port;
  Atoll::Status why;
  const SendStatus status = Atoll::Send(process.isolate(), port, values[1], &why);
  if (status != SendStatus::kDelivered && status != SendStatus::kClosed) {
    return process.Fail(why.message());
  }
  return Process::Return(values, process.universe().Boolean(status == SendStatus::kDelivered));
}
// [/port]

// The port that this isolate opened; null: process.Fail has been called.
OpenPort* OwnPort(Process& process, Ref port) {
  OpenPort* open = process.FindPort(To<PortObject>(port)->port);
  if (open == nullptr) process.Fail("the port is closed, or it is another isolate's");
  return open;
}

Outcome Receive(Process& process, Ref* values) {
  OpenPort* open = OwnPort(process, values[0]);
  return open == nullptr ? Outcome::kFailed : process.Receive(*open);
}

Outcome OnMessage(Process& process, Ref* values) {
  OpenPort* open = OwnPort(process, values[0]);
  if (open == nullptr) return Outcome::kFailed;
  open->handler = values[1];
  return Outcome::kValue;
}

// Closing twice does no harm.
Outcome Close(Process& process, Ref* values) {
  OpenPort* open = process.FindPort(To<PortObject>(values[0])->port);
  if (open != nullptr) process.ClosePort(open);
  return Outcome::kValue;
}

Outcome SamePort(Process& process, Ref* values) {
  const bool same = process.universe().KindOf(values[1]) == Kind::kPort &&
                    To<PortObject>(values[0])->port == To<PortObject>(values[1])->port;
  return Process::Return(values, process.universe().Boolean(same));
}
Outcome PortHash(Process&, Ref* values) {
  return Process::Return(values, Small(To<PortObject>(values[0])->port.index));
}

// ---- Isolate

Ref NewIsolateObject(Process& process, const Class& info, const Atoll::IsolateId& id) {
  const ObjectPtr made = process.Allocate(info);
  if (made) reinterpret_cast<IsolateObject*>(made.address())->id = id;
  return RefOf(made);
}

bool IsBlock(Process& process, Ref value) {
  return process.universe().KindOf(value) == Kind::kBlock;
}

// [spawn]
// The new isolate's first message: an Array of a block and its arguments, copied. What is pushed
// first says where the result goes.
void Begin(Isolate& isolate, Ref message, void*) {
  Process& process = Process::Of(isolate);
  process.stack().Take();
  auto* start = To<Array>(message);
  if (!process.Reserve(start->length + 1)) {
    return isolate.Fail({Atoll::StatusCode::kResourceExhausted, "no memory for a stack"});
  }
  const Ref result_port = start->elements()[0];
  if (result_port != process.universe().nil()) {
    process.set_result_port(To<PortObject>(result_port)->port);
  }
  for (size_t i = 1; i < start->length; ++i) process.Push(start->elements()[i]);
  const auto& selectors = process.universe().selectors();
  const int arity = static_cast<int>(start->length) - 2;
  process.Run(arity == 0 ? selectors.value : selectors.value_with, arity);
}

// Spawns with what is topmost on the stack: a port or nil, a block, its arguments.
Atoll::Result<Atoll::IsolateId> SpawnTopmost(Process& process, size_t count,
                                             Atoll::ExitListener listener) {
  const Ref array = process.NewArray(count);
  if (array.word == 0) return process.mutator().last_error();
  const Ref* const from = process.stack().top - count;
  for (size_t i = 0; i < count; ++i) To<Array>(array)->elements()[i] = from[i];  // fresh
  return Atoll::Spawn(process.isolate(),
                      {.name = "som",
                       .limit_bytes = process.universe().options().isolate_limit_bytes,
                       .on_exit = listener},
                      array, Begin, nullptr);
}

// Pushes what an isolate begins with: no port for its result, the block, and its argument, if it
// takes one. Returns how many these are; 0: it has failed.
size_t PushStart(Process& process, const Ref* values) {
  const bool is_block = IsBlock(process, values[1]);
  const int arity = is_block ? To<Closure>(values[1])->code->arity : 0;
  if (!is_block || arity > 1) {
    (void)process.Fail(is_block ? "the Block of an isolate takes at most one argument"
                                : "an isolate begins with a Block");
    return 0;
  }
  process.Push(process.universe().nil());
  process.Push(values[1]);
  if (arity == 1) process.Push(values[2]);
  return static_cast<size_t>(arity) + 2;
}

// Isolate spawn: aBlock with: anObject
Outcome Spawn(Process& process, Ref* values) {
  const size_t count = PushStart(process, values);
  if (count == 0) return Outcome::kFailed;
  const auto spawned = SpawnTopmost(process, count, {});
  if (!spawned.ok()) return process.Fail(spawned.status().message());
  return process.ReturnNew(
      values, NewIsolateObject(process, *To<ClassObject>(values[0])->info, spawned.value()));
}
// [/spawn]

// ---- How isolates end, as messages. A listener is called on any thread, in no isolate: what it
// ---- knows waits in a Watch until the isolate that asked is in a turn.

void EndWatch(Watch& watch) {
  watch.notice.Close();
  watch.result.Close();
  watch.process.RemoveWatch(&watch);  // it is gone, unless a listener has it still
}

void TellEnd(void* data, const Atoll::ExitInfo& info) {
  const std::unique_ptr<std::shared_ptr<Watch>> watch(static_cast<std::shared_ptr<Watch>*>(data));
  (*watch)->info = info;
  // The result of run: has gone its own way. Nobody is told if the isolate that asked has ended.
  if ((*watch)->is_run && info.reason == Atoll::ExitReason::kHandedOver) return;
  (void)Atoll::SendImmediate((*watch)->group, (*watch)->notice_port, Small(0));
}

std::string Words(const Atoll::ExitInfo& info) {
  if (info.reason == Atoll::ExitReason::kFailed) return info.error.message();
  if (info.reason == Atoll::ExitReason::kGone) return "the isolate had ended before it was asked";
  return std::string("the isolate ended early: it ") +
         (info.reason == Atoll::ExitReason::kKilled ? "was killed" : ToString(info.reason));
}

// anIsolate onEnd: aPort. Sends the port nil when the isolate has ended well, else a String.
void OnEndTold(Isolate& isolate, Ref, void* data) {
  Watch& watch = *static_cast<Watch*>(data);
  Process& process = watch.process;
  const bool is_well = watch.info.reason == Atoll::ExitReason::kReturned ||
                       watch.info.reason == Atoll::ExitReason::kHandedOver;
  const Atoll::SendPort told = watch.told;
  const std::string words = is_well ? "" : Words(watch.info);
  EndWatch(watch);
  const Ref message = is_well ? process.universe().nil() : process.NewString(words);
  if (message.word == 0) return isolate.Fail(process.mutator().last_error());
  // Whoever has closed the port does not want to know.
  (void)Atoll::Send(isolate, told, message);
  process.EndIfNothingCanRun();
}

Outcome OnEnd(Process& process, Ref* values) {
  if (process.universe().KindOf(values[1]) != Kind::kPort) {
    return process.Fail("the argument is a Port");
  }
  const auto watch = process.NewWatch(OnEndTold);
  if (watch == nullptr) return process.Fail("no memory for a port");
  watch->told = To<PortObject>(values[1])->port;
  process.universe().group().AddExitListener(To<IsolateObject>(values[0])->id,
                                             {TellEnd, new std::shared_ptr<Watch>(watch)});
  return Outcome::kValue;
}

// Isolate spawn: aBlock with: anObject onEnd: aPort. The port hears of any end, however soon.
Outcome SpawnOnEnd(Process& process, Ref* values) {
  if (process.universe().KindOf(values[3]) != Kind::kPort) {
    return process.Fail("the third argument is a Port");
  }
  const size_t count = PushStart(process, values);
  if (count == 0) return Outcome::kFailed;
  const auto watch = process.NewWatch(OnEndTold);
  if (watch == nullptr) return process.Fail("no memory for a port");
  watch->told = To<PortObject>(values[3])->port;
  auto listener = std::make_unique<std::shared_ptr<Watch>>(watch);
  const auto spawned = SpawnTopmost(process, count, {TellEnd, listener.get()});
  if (!spawned.ok()) return EndWatch(*watch), process.Fail(spawned.status().message());
  (void)listener.release();  // the isolate's end frees it
  return process.ReturnNew(
      values, NewIsolateObject(process, *To<ClassObject>(values[0])->info, spawned.value()));
}

// [run]
// Isolate run: aBlock. The isolate that asks waits, and takes no thread meanwhile. The result comes
// to a port by sendAndExit: it is the very objects that the other isolate made.
void OnResult(Isolate&, Ref message, void* data) {
  Watch& watch = *static_cast<Watch*>(data);
  Process& process = watch.process;
  EndWatch(watch);
  process.Resume(message);
}

void OnNoResult(Isolate&, Ref, void* data) {
  Watch& watch = *static_cast<Watch*>(data);
  Process& process = watch.process;
  const std::string words = Words(watch.info);
  EndWatch(watch);
  process.Resume({}, words);
}

template <int kArity>
Outcome Run(Process& process, Ref* values) {
  if (!IsBlock(process, values[1]) || To<Closure>(values[1])->code->arity != kArity) {
    return process.Fail("what an isolate runs is a Block with " + std::to_string(kArity) +
                        " parameters");
  }
  const auto watch = process.NewWatch(OnNoResult);
  if (watch == nullptr) return process.Fail("no memory for a port");
  watch->is_run = true;
  auto port = Atoll::ReceivePort::Open(process.isolate(), OnResult, watch.get());
  if (!port.ok()) return EndWatch(*watch), process.Fail(port.status().message());
  watch->result = std::move(port).value();
  const Class* port_class = process.PortClass();
  if (port_class == nullptr) return EndWatch(*watch), process.Fail("there is no class Port");
  const Ref result_port = NewPortObject(process, *port_class, watch->result.send_port());
  if (result_port.word == 0) return EndWatch(*watch), process.FailOfMemory();
  process.Push(result_port);
  process.Push(values[1]);
  if (kArity == 1) process.Push(values[2]);
  auto listener = std::make_unique<std::shared_ptr<Watch>>(watch);
  const auto spawned = SpawnTopmost(process, kArity + 2, {TellEnd, listener.get()});
  if (!spawned.ok()) return EndWatch(*watch), process.Fail(spawned.status().message());
  (void)listener.release();  // the isolate's end frees it
  process.stack().top = values + 1;
  return process.Wait();
}
// [/run]

Outcome Current(Process& process, Ref* values) {
  const Class& info = *To<ClassObject>(values[0])->info;
  return process.ReturnNew(values, NewIsolateObject(process, info, process.isolate().id()));
}

Outcome Kill(Process& process, Ref* values) {
  process.universe().group().Kill(To<IsolateObject>(values[0])->id);
  return Outcome::kValue;
}

Outcome SameIsolate(Process& process, Ref* values) {
  const bool same = process.universe().KindOf(values[1]) == Kind::kIsolate &&
                    To<IsolateObject>(values[0])->id == To<IsolateObject>(values[1])->id;
  return Process::Return(values, process.universe().Boolean(same));
}

// [exit]
// Isolate exit: anObject to: aPort. All that this isolate owns becomes the receiver's.
Outcome ExitTo(Process& process, Ref* values) {
  if (process.universe().KindOf(values[2]) != Kind::kPort) {
    return process.Fail("the second argument is a Port");
  }
  const Atoll::SendPort port = To<PortObject>(values[2])->port;
  const auto began = std::chrono::steady_clock::now();
  auto ticket = Atoll::PrepareExit(process.isolate(), port, values[1]);
  const Atoll::Status status = ticket.ok() ? ticket.value().Commit() : ticket.status();
  if (!status.ok()) return process.Fail(status.message());
  process.universe().NoteExit(std::chrono::steady_clock::now() - began);
  return process.End();
}
// [/exit]

// ---- Sharing

Outcome Freeze(Process& process, Ref* values) {
  const Atoll::Result<Ref> frozen = Atoll::Freeze(process.isolate(), values[0]);
  if (!frozen.ok()) return process.Fail(frozen.status().message());
  return Process::Return(values, frozen.value());
}
Outcome IsFrozen(Process& process, Ref* values) {
  return Process::Return(values, process.universe().Boolean(process.IsFrozen(values[0])));
}

constexpr PrimitiveEntry kIsolates[] = {
    {"Port class", "new", OpenNewPort},
    {"Port", "send:", SendTo},
    {"Port", "receive", Receive},
    {"Port", "onMessage:", OnMessage},
    {"Port", "close", Close},
    {"Port", "=", SamePort},
    {"Port", "hashcode", PortHash},
    {"Isolate class", "spawn:with:", Spawn},
    {"Isolate class", "spawn:with:onEnd:", SpawnOnEnd},
    {"Isolate class", "run:", Run<0>},
    {"Isolate class", "run:with:", Run<1>},
    {"Isolate class", "exit:to:", ExitTo},
    {"Isolate class", "current", Current},
    {"Isolate", "onEnd:", OnEnd},
    {"Isolate", "kill", Kill},
    {"Isolate", "=", SameIsolate},
    {"Object", "freeze", Freeze},
    {"Object", "isFrozen", IsFrozen},
};

}  // namespace

std::span<const PrimitiveEntry> IsolatePrimitives() { return kIsolates; }

}  // namespace som
