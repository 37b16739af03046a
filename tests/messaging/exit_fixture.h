// Isolates that end by sendAndExit.
#ifndef ATOLL_TESTS_MESSAGING_EXIT_FIXTURE_H_
#define ATOLL_TESTS_MESSAGING_EXIT_FIXTURE_H_

#include <gmock/gmock.h>

#include "tests/messaging/port_fixture.h"

namespace Atoll {

class ExitTest : public PortTest {
 protected:
  static Result<ExitTicket> Prepare(Isolate& isolate, const HeldPort& port, Ref root,
                                    SendStatus* status = nullptr) {
    return PrepareExit(isolate, port.to(), root, status, {.always_adopt = true});
  }
  static void SendAndExit(Isolate& isolate, const HeldPort& port, Ref root) {
    auto ticket = Prepare(isolate, port, root);
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    const Status committed = ticket.value().Commit();
    EXPECT_TRUE(committed.ok()) << committed.message();
  }
  const Type* AddUnsendable() {
    TypeInfo info;
    info.name = "Socket";
    info.layout = Layout::kFixed;
    info.fixed_size = sizeof(PairObject);
    info.ref_offsets = {kA, kB};
    info.flags.unsendable = true;
    return heap().RegisterType(info).value();
  }
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_MESSAGING_EXIT_FIXTURE_H_
