#include "process.h"

#include <cstring>
#include <utility>

#include "class_loader.h"

namespace som {

using Atoll::Slot;

Process::~Process() = default;

// [roots]
void Process::VisitRoots(Atoll::RootVisitor& visitor) {
  for (Ref* value = stack_.values; value != stack_.top; ++value) {
    visitor.VisitSlot(Slot(&value->word));
  }
  for (const auto& port : ports_) {
    visitor.VisitSlot(Slot(&port->handler.word));
    for (size_t i = port->first; i < port->queue.size(); ++i) {
      visitor.VisitSlot(Slot(&port->queue[i].word));
    }
  }
}
// [/roots]

void Process::LeaveTurn() {
  if (!stack_.has_frames()) {
    stack_.top = stack_.values;
    stack_.Give();
  } else if (waits_ || waits_for_ != nullptr) {
    stack_.Pack();
  }
}

// ---- Running

void Process::Run(const Symbol* selector, int arity) { GoOn(Send(selector, arity)); }

void Process::GoOn(Outcome outcome) {
  if (outcome != Outcome::kStopped && stack_.has_frames()) outcome = Interpret();
  if (outcome != Outcome::kStopped) Finish();
}

void Process::Finish() {
  const Ref result = stack_.top[-1];
  stack_.top = stack_.values;
  if (!result_port_) return RunHandlers();
  auto ticket = Atoll::PrepareExit(*isolate_, result_port_, result);
  const Atoll::Status status = ticket.ok() ? ticket.value().Commit() : ticket.status();
  has_ended_ = true;
  if (!status.ok()) isolate_->Fail(status);
}

void Process::RunHandlers() {
  for (size_t i = 0; i < ports_.size();) {
    OpenPort& port = *ports_[i];
    if (port.handler.word == 0 || !port.has_messages()) {
      ++i;
      continue;
    }
    stack_.Take();
    if (!Reserve(2)) return void(Die("no memory for the stack of a handler"));
    Push(port.handler);
    Push(port.Take());
    Outcome outcome = Send(universe_.selectors().value_with, 1);
    if (outcome != Outcome::kStopped && stack_.has_frames()) outcome = Interpret();
    if (outcome == Outcome::kStopped) return;
    stack_.top = stack_.values;
    i = 0;  // ports may have come and gone
  }
  EndIfNothingCanRun();
}

// Ports without a handler are received from by code alone, and none is running.
void Process::EndIfNothingCanRun() {
  if (has_ended_ || stack_.has_frames() || !watches_.empty()) return;
  for (const auto& port : ports_) {
    if (port->handler.word != 0) return;
  }
  has_ended_ = true;
  isolate_->Exit();
}

void Process::Resume(Ref result, const std::string& error) {
  waits_ = false;
  waits_for_ = nullptr;
  if (has_ended_) return;
  if (!stack_.Unpack(stack_.frame->method().slots() + kSpare)) {
    return void(Die("no memory for a stack"));
  }
  if (error.empty()) {
    stack_.top[-1] = result;
    return GoOn(Outcome::kValue);
  }
  GoOn(Raise(static_cast<size_t>(stack_.top - 1 - stack_.values), error));
}

// ---- Errors and the end

void Process::PrintStack(std::FILE* to) const {
  constexpr ptrdiff_t kShown = 15;
  if (!stack_.has_frames()) return;
  const ptrdiff_t depth = stack_.frame - stack_.frames + 1;
  for (ptrdiff_t i = depth - 1; i >= 0; --i) {
    if (depth > 2 * kShown && i == depth - 1 - kShown) {
      std::fprintf(to, "  ... %td more ...\n", depth - 2 * kShown);
      i = kShown;
      continue;
    }
    const Frame& frame = stack_.frames[i];
    const Method& method = frame.method();
    const Location at = method.PlaceOf(*frame.code, frame.pc);
    std::fprintf(to, "  %s%s (%s:%u:%u)\n", method.is_block ? "a block in " : "",
                 method.Name().c_str(), method.holder->file.c_str(), at.line, at.column);
  }
}

Outcome Process::Die(const std::string& words) {
  std::fflush(stdout);
  std::fprintf(stderr, "ERROR: %s\n", words.c_str());
  PrintStack(stderr);
  has_ended_ = true;
  isolate_->Fail({Atoll::StatusCode::kFailedPrecondition, words});
  if (is_main_) universe_.EndAll(1);
  return Outcome::kStopped;
}

std::string Process::ErrorInHand() const {
  if (!stack_.has_frames()) return "";
  for (const Frame* at = stack_.frame; at >= stack_.frames; --at) {
    const Method& method = at->method();
    if (method.is_block || method.selector != universe_.selectors().error) continue;
    const Ref text = stack_.values[at->base + 1];
    const Kind kind = universe_.KindOf(text);
    if (kind != Kind::kString && kind != Kind::kSymbol) return "an error";
    return std::string(universe_.TextOf(text));
  }
  return "";
}

Outcome Process::Exit(int64_t code) {
  const std::string error = ErrorInHand();
  std::fflush(stdout);
  if (code != 0 && !error.empty() && !has_printed_stack_) PrintStack(stderr);
  has_ended_ = true;
  if (code == 0) {
    isolate_->Exit();
  } else {
    isolate_->Fail({Atoll::StatusCode::kFailedPrecondition,
                    error.empty() ? "it exited with " + std::to_string(code) : error});
  }
  if (is_main_) universe_.EndAll(static_cast<int>(code & 0xFF));
  return Outcome::kStopped;
}

// ---- Objects

Ref Process::NewString(std::string_view text) {
  const ObjectPtr made = mutator().AllocateArray(*universe_.classes().string->type, text.size());
  if (made)
    std::memcpy(reinterpret_cast<String*>(made.address())->bytes(), text.data(), text.size());
  return RefOf(made);
}

Ref Process::NewDouble(double value) {
  const ObjectPtr made = mutator().Allocate(*universe_.classes().double_->type);
  if (made) reinterpret_cast<Double*>(made.address())->value = value;
  return RefOf(made);
}

// [new_array]
Ref Process::NewArray(size_t length) {
  const ObjectPtr made = mutator().AllocateArray(*universe_.classes().array->type, length);
  if (!made) return {};
  Ref* elements = reinterpret_cast<Array*>(made.address())->elements();
  for (size_t i = 0; i < length; ++i) elements[i] = universe_.nil();
  return RefOf(made);
}
// [/new_array]

// ---- Ports

OpenPort* Process::NewPort() {
  auto port = std::make_unique<OpenPort>();
  port->process = this;
  auto opened = Atoll::ReceivePort::Open(*isolate_, OnMessage, port.get());
  if (!opened.ok()) return nullptr;
  port->receive = std::move(opened).value();
  return ports_.emplace_back(std::move(port)).get();
}

OpenPort* Process::FindPort(const Atoll::SendPort& port) {
  for (const auto& open : ports_) {
    if (open->receive.send_port() == port) return open.get();
  }
  return nullptr;
}

void Process::ClosePort(OpenPort* port) {
  for (auto& open : ports_) {
    if (open.get() != port) continue;
    open.swap(ports_.back());
    ports_.pop_back();
    return;
  }
}

std::shared_ptr<Watch> Process::NewWatch(Atoll::MessageHandler on_notice) {
  auto watch = std::make_shared<Watch>(Watch{universe_.group(), *this, {}, {}, {}, {}, false, {}});
  auto port = Atoll::ReceivePort::Open(*isolate_, on_notice, watch.get());
  if (!port.ok()) return nullptr;
  watch->notice = std::move(port).value();
  watch->notice_port = watch->notice.send_port();
  watches_.push_back(watch);
  return watch;
}

void Process::RemoveWatch(const Watch* watch) {
  for (auto& known : watches_) {
    if (known.get() != watch) continue;
    known.swap(watches_.back());
    watches_.pop_back();
    return;
  }
}

const Class* Process::PortClass() const { return universe_.loader().Load("Port").info; }

// [receive]
// With the port topmost on the stack: its next message takes the port's place, now or in a later
// turn. Meanwhile the isolate takes no thread.
Outcome Process::Receive(OpenPort& port) {
  if (port.has_messages()) {
    stack_.top[-1] = port.Take();
    return Outcome::kValue;
  }
  waits_for_ = &port;
  return Outcome::kStopped;
}

void Process::OnMessage(Atoll::Isolate&, Ref message, void* data) {
  OpenPort& port = *static_cast<OpenPort*>(data);
  Process& self = *port.process;
  if (self.waits_for_ == &port) return self.Resume(message);
  port.queue.push_back(message);
  if (!self.stack_.has_frames() && !self.waits_ && !self.has_ended_) self.RunHandlers();
}
// [/receive]

}  // namespace som
