#include "optimizer.h"

#include <optional>
#include <utility>
#include <vector>

#include "class.h"
#include "universe.h"

namespace som {
namespace {

// ---- Superinstructions: those pairs that programs run most often

struct Pair {
  Op first;
  Op second;
  Op both;
};
constexpr Pair kPairs[] = {
    {Op::kPushSlot, Op::kPushSlot, Op::kPushSlotSlot},
    {Op::kPushSlot, Op::kPopField, Op::kSlotToField},
    {Op::kPushSlot, Op::kReturn, Op::kReturnSlot},
    {Op::kPushField, Op::kPushSlot, Op::kPushFieldSlot},
    {Op::kPushField, Op::kReturn, Op::kReturnField},
    {Op::kPushSmall, Op::kAdd, Op::kAddSmall},
    {Op::kPushSmall, Op::kSubtract, Op::kSubtractSmall},
    {Op::kCount, Op::kJumpBack, Op::kCountJumpBack},
};
constexpr std::pair<Op, Op> kComparisons[] = {
    {Op::kLess, Op::kLessJump},         {Op::kLessEqual, Op::kLessEqualJump},
    {Op::kGreater, Op::kGreaterJump},   {Op::kGreaterEqual, Op::kGreaterEqualJump},
    {Op::kEqual, Op::kEqualJump},       {Op::kIdentical, Op::kEqualJump},
    {Op::kNotEqual, Op::kNotEqualJump},
};
// How a loop by to:do: begins; behind the jump stand three that are not run by themselves.
constexpr size_t kLoopTestLength = 8;
bool IsLoopTest(const Instruction* at) {
  return at[0].op == Op::kDup2 && at[1].op == Op::kLessEqual && at[2].op == Op::kJumpIfNotTrue &&
         at[2].a == 3 && at[6].op == Op::kPushSecond && at[7].op == Op::kPopSlot;
}

// What the instruction begins; `left`: how many there are from it on.
std::optional<Op> SuperinstructionAt(const Instruction* at, size_t left) {
  if (left >= kLoopTestLength && IsLoopTest(at)) return Op::kLoopTest;
  if (left < 2) return std::nullopt;
  for (const Pair& pair : kPairs) {
    if (at[0].op == pair.first && at[1].op == pair.second) return pair.both;
  }
  if (at[1].op == Op::kJumpIfNotTrue || at[1].op == Op::kJumpIfNotFalse) {
    for (const auto& [comparison, both] : kComparisons) {
      if (at[0].op == comparison) return both;
    }
  }
  return std::nullopt;
}

// ---- Sends of which all is known that they do

struct Trivial {
  explicit Trivial(Op does, uint32_t at = 0, Ref with = {}) : op(does), field(at), value(with) {}
  Op op;
  uint32_t field;
  Ref value;
};

std::optional<Ref> ConstantOf(const Universe& universe, const Code& code, Instruction push) {
  switch (push.op) {
    case Op::kPushNil:
      return universe.nil();
    case Op::kPushTrue:
      return universe.true_object();
    case Op::kPushFalse:
      return universe.false_object();
    case Op::kPushSmall:
      return Small(static_cast<int16_t>(push.b));
    case Op::kPushLiteral:
      return code.literals[push.b];
    default:
      return std::nullopt;
  }
}

std::optional<Trivial> TrivialOf(const Universe& universe, const Method& method,
                                 const Class& receiver) {
  if (method.primitive != nullptr) {
    if (method.inlined == Op::kSend) return std::nullopt;
    if (method.inlined != Op::kInlinedNew) return Trivial(method.inlined);
    if (receiver.instance == nullptr || receiver.instance->kind != Kind::kInstance) {
      return std::nullopt;
    }
    return Trivial(method.inlined, 0, receiver.instance->object);
  }
  const Code& code = method.plain_code();
  const Instruction* at = code.begin();
  if (at[0].op == Op::kReturnSelf) return Trivial(Op::kInlinedSelf);
  if (at[1].op == Op::kReturn) {
    if (at[0].op == Op::kPushSlot && at[0].b == 0) return Trivial(Op::kInlinedSelf);
    if (at[0].op == Op::kPushField) return Trivial(Op::kInlinedField, at[0].b);
    if (const auto value = ConstantOf(universe, code, at[0])) {
      return Trivial(Op::kInlinedConstant, 0, *value);
    }
  }
  if (code.count == 3 && at[0].op == Op::kPushSlot && at[0].b == 1 && at[1].op == Op::kPopField &&
      at[2].op == Op::kReturnSelf) {
    return Trivial(Op::kInlinedSetField, at[1].b);
  }
  return std::nullopt;
}

// What the send does for all that it has met; nothing: it has met none, or a method that is not
// trivial.
std::optional<Op> InlineSend(const Universe& universe, const SendSite& site, Inlined* inlined) {
  const Atoll::CallRecord& record = site.calls.record();
  if (record.count == 0 || record.global != nullptr) return std::nullopt;
  std::optional<Op> op;
  for (uint32_t i = 0; i < record.count; ++i) {
    const Atoll::CallRecord::Entry& entry = i == 0 ? record.first : record.more[i - 1];
    const auto& method = *static_cast<const Method*>(entry.target);
    const auto type_id = static_cast<uint32_t>(entry.key);
    const auto trivial = TrivialOf(universe, method, *universe.ClassOfType(type_id));
    if (!trivial || (op && *op != trivial->op)) return std::nullopt;
    op = trivial->op;
    Inlined::Case& made = inlined->cases[inlined->count++];
    made.type_id = type_id;
    made.field = trivial->field;
    made.value = trivial->value;
  }
  return op;
}
static_assert(Inlined::kMaxCases == Atoll::CallRecord::kMaxEntries);

}  // namespace

Code::Owner Optimize(const Universe& universe, Method& method) {
  const Code& plain = method.plain_code();
  std::vector<Instruction> code(plain.begin(), plain.end());
  std::vector<Inlined> all_inlined;
  bool is_better = false;
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i].op == Op::kSend) {
      Inlined inlined;
      inlined.site = code[i].b;
      const auto op = InlineSend(universe, plain.sites[code[i].b], &inlined);
      if (!op || all_inlined.size() > UINT16_MAX) continue;
      code[i] = {*op, 0, static_cast<uint16_t>(all_inlined.size())};
      all_inlined.push_back(inlined);
      is_better = true;
    } else if (const auto op = SuperinstructionAt(plain.begin() + i, code.size() - i)) {
      code[i].op = *op;
      is_better = true;
    }
  }
  if (!is_better) return nullptr;
  return Code::New(method, code, std::move(all_inlined));
}

}  // namespace som
