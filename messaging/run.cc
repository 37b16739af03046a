#include <atomic>
#include <new>
#include <string>
#include <utility>

#include "messaging/messaging_state.h"

namespace Atoll {
namespace {

// One call of Run. Belongs to the caller's isolate, through a port, and to the one that computes.
struct RunCall final : PortData {
  RunCall(IsolateGroup& isolate_group, const SpawnOptions& options, ComputeFn compute_fn,
          ResultFn done_fn, void* fn_data)
      : PortData{Release},
        group(isolate_group),
        compute(compute_fn),
        done(done_fn),
        data(fn_data),
        on_exit(options.on_exit) {}

  static void Release(PortData* data) {
    auto* call = static_cast<RunCall*>(data);
    // Acquire and release: the last one frees what the other has written.
    if (call->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete call;
  }

  IsolateGroup& group;
  const ComputeFn compute;
  const ResultFn done;
  void* const data;
  const ExitListener on_exit;
  ReceivePort port;  // the caller's
  SendPort to;
  Status error;  // written before the message that tells of it
  std::atomic<int> owners{2};
};

// In the isolate that computes.
void Compute(Isolate& isolate, void* data) {
  auto& call = *static_cast<RunCall*>(data);
  Result<Ref> result = call.compute(isolate, call.data);
  if (!result.ok()) return isolate.Fail(result.status());
  auto ticket = PrepareExit(isolate, call.to, result.value());
  Status status = ticket.ok() ? ticket.value().Commit() : ticket.status();
  if (!status.ok()) isolate.Fail(std::move(status));
}

// That isolate has ended.
void Ended(void* data, const ExitInfo& info) {
  auto* call = static_cast<RunCall*>(data);
  if (info.reason != ExitReason::kHandedOver) {
    call->error = info.reason == ExitReason::kFailed
                      ? info.error
                      : Status(StatusCode::kCancelled,
                               std::string("the isolate that was to compute it ended without a "
                                           "result: it ") +
                                   (info.reason == ExitReason::kKilled ? "was killed" : "exited"));
    // Nobody is told if the caller has ended.
    SendImmediate(call->group, call->to, Ref{});
  }
  if (call->on_exit.fn != nullptr) call->on_exit.fn(call->on_exit.data, info);
  RunCall::Release(call);
}

// In the caller's isolate.
void Receive(Isolate& isolate, Ref message, void* data) {
  auto* call = static_cast<RunCall*>(static_cast<PortData*>(data));
  call->port.Close();
  const Result<Ref> result =
      call->error.ok() ? Result<Ref>(message) : Result<Ref>(std::move(call->error));
  call->done(isolate, result, call->data);
  RunCall::Release(call);
}

}  // namespace

Status Run(Isolate& isolate, const SpawnOptions& options, ComputeFn compute, ResultFn done,
           void* data) {
  auto* call = new RunCall(isolate.group(), options, compute, done, data);
  auto port = ReceivePort::Open(isolate, Receive, static_cast<PortData*>(call));
  if (!port.ok()) {
    delete call;
    return port.status();
  }
  call->port = std::move(port).value();
  call->to = call->port.send_port();
  SpawnOptions spawn = options;
  spawn.entry = Compute;
  spawn.data = call;
  spawn.on_exit = {Ended, call};
  if (auto spawned = isolate.group().Spawn(spawn); !spawned.ok()) {
    call->port.Close();
    delete call;
    return spawned.status();
  }
  MessagingState::Of(static_cast<IsolateState&>(isolate).group_state()).TellOfEnd(call->to);
  return Status::Ok();
}

}  // namespace Atoll
