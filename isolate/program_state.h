// A program's inside.
#ifndef ATOLL_ISOLATE_PROGRAM_STATE_H_
#define ATOLL_ISOLATE_PROGRAM_STATE_H_

#include "atoll/program.h"
#include "isolate/call_site_table.h"
#include "isolate/initial_fields.h"
#include "isolate/symbol_table.h"

namespace Atoll {

struct ProgramState {
  explicit ProgramState(GroupState& of_group);

  GroupState& group;
  InitialFields fields;
  SymbolTable symbols;
  ProgramLock lock;
  CallSiteTable call_sites;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_PROGRAM_STATE_H_
