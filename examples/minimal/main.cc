// A whole virtual machine on Atoll: a stack of tagged words, one type of object, ten instructions.
// What every virtual machine must do for its collector is marked: values, types, roots,
// allocation, barrier, poll, setup.

#include <atoll/atoll.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string_view>

namespace {

// [values]
// A value is one word: a small integer times two, or a reference to a cell, whose low bit is set.
// Nil is the integer 0. The encoding tells Atoll which words to follow.
using Encoding = Atoll::LowTagOne;

Atoll::Ref FromInteger(int64_t value) { return {static_cast<Atoll::Word>(value) << 1}; }
int64_t ToInteger(Atoll::Ref value) { return static_cast<int64_t>(value.word) >> 1; }
bool IsCell(Atoll::Ref value) { return Encoding::IsRef(value.word); }
// [/values]

// [types]
// Every object begins with Atoll's header word. The type says where its references are.
struct Cell {
  Atoll::Word header, head, tail;
};
Cell* ToCell(Atoll::Ref value) { return reinterpret_cast<Cell*>(Encoding::Decode(value.word)); }

Atoll::TypeInfo DescribeCell() {
  Atoll::TypeInfo info;
  info.name = "Cell";
  info.layout = Atoll::Layout::kFixed;
  info.fixed_size = sizeof(Cell);
  info.ref_offsets = {offsetof(Cell, head), offsetof(Cell, tail)};
  return info;
}
// [/types]

enum Operation { kPush, kGet, kSet, kAdd, kCons, kHead, kTail, kSetTail, kJumpIf, kReturn };
struct Instruction {
  Operation operation;
  int32_t operand = 0;
};

// [roots]
class Vm final : public Atoll::RegionClient {
 public:
  // A collection asks for the roots, wherever they are, and may change them: here the stack.
  void VisitRoots(Atoll::RootVisitor& visitor) override {
    visitor.VisitRange(Atoll::Slot(stack_), static_cast<size_t>(top_));
  }
  // [/roots]
  Vm(const Atoll::Type& cell_type) : cell_type_(cell_type) {}

  /// Runs a program with `locals` local variables, first on the stack. Returns an error, or null.
  const char* Run(Atoll::Mutator& mutator, std::span<const Instruction> program, int locals);
  /// What the program returned.
  int64_t result() const { return ToInteger({stack_[top_]}); }

 private:
  void Push(Atoll::Ref value) { stack_[top_++] = value.word; }
  Atoll::Ref Pop() { return {stack_[--top_]}; }

  // [allocation]
  // Replaces head and tail on the stack by a new cell. Allocate may collect, and then cells move;
  // so both stay where the collector sees them until it has returned.
  bool Cons(Atoll::Mutator& mutator) {
    const Atoll::ObjectPtr object = mutator.Allocate(cell_type_);
    if (!object) return false;  // a limit is reached: the virtual machine makes it its own error
    Cell* cell = reinterpret_cast<Cell*>(object.address());
    cell->tail = Pop().word;  // the first stores into a fresh object need no barrier
    cell->head = Pop().word;
    Push({Encoding::Make(object.address())});
    return true;
  }
  // [/allocation]

  static constexpr int kStackSize = 256;
  const Atoll::Type& cell_type_;
  Atoll::Word stack_[kStackSize];
  int top_ = 0;
};

const char* Vm::Run(Atoll::Mutator& mutator, std::span<const Instruction> program, int locals) {
  for (top_ = 0; top_ < locals;) Push(FromInteger(0));
  for (size_t pc = 0; top_ < kStackSize;) {
    const auto [operation, operand] = program[pc++];
    switch (operation) {
      case kPush:
        Push(FromInteger(operand));
        break;
      case kGet:
        Push({stack_[operand]});
        break;
      case kSet:
        stack_[operand] = Pop().word;
        break;
      case kAdd: {
        const int64_t right = ToInteger(Pop());
        Push(FromInteger(ToInteger(Pop()) + right));
        break;
      }
      case kCons:
        if (!Cons(mutator)) return "out of memory";
        break;
      case kHead:
      case kTail: {
        const Atoll::Ref value = Pop();
        if (!IsCell(value)) return "not a cell";
        Push({operation == kHead ? ToCell(value)->head : ToCell(value)->tail});
        break;
      }
      case kSetTail: {
        // [barrier]
        const Atoll::Ref tail = Pop();
        const Atoll::Ref value = Pop();
        if (!IsCell(value)) return "not a cell";
        Cell* cell = ToCell(value);
        // The cell may be old by now and the tail young: every later store goes through Store.
        const Atoll::ObjectPtr object(reinterpret_cast<uintptr_t>(cell));
        Atoll::Store<Encoding>(mutator, object, Atoll::Slot(&cell->tail), tail);
        // [/barrier]
        break;
      }
      case kJumpIf:
        if (Pop() == FromInteger(0)) break;
        // [poll]
        pc = static_cast<size_t>(operand);
        mutator.Poll();  // a loop: here another thread may stop this one, and collect
        // [/poll]
        break;
      case kReturn:
        --top_;
        return nullptr;
    }
  }
  return "stack overflow";
}

// clang-format off
enum Local { kTotal, kRounds, kAnchor, kList, kNumber, kLocals };
/// A thousand times over: makes a list of 1,000 numbers, hangs it below an old cell, sums it there.
constexpr Instruction kSumLists[] = {
    /*  0 */ {kPush, 1000}, {kSet, kRounds}, {kPush}, {kPush}, {kCons}, {kSet, kAnchor},
    /*  6 */ {kPush}, {kSet, kList}, {kPush, 1000}, {kSet, kNumber},
    /* 10 */ {kGet, kNumber}, {kGet, kList}, {kCons}, {kSet, kList},
    /* 14 */ {kGet, kNumber}, {kPush, -1}, {kAdd}, {kSet, kNumber}, {kGet, kNumber}, {kJumpIf, 10},
    /* 20 */ {kGet, kAnchor}, {kGet, kList}, {kSetTail}, {kGet, kAnchor}, {kTail}, {kSet, kList},
    /* 26 */ {kGet, kTotal}, {kGet, kList}, {kHead}, {kAdd}, {kSet, kTotal},
    /* 31 */ {kGet, kList}, {kTail}, {kSet, kList}, {kGet, kList}, {kJumpIf, 26},
    /* 36 */ {kGet, kRounds}, {kPush, -1}, {kAdd}, {kSet, kRounds}, {kGet, kRounds}, {kJumpIf, 6},
    /* 42 */ {kGet, kTotal}, {kReturn}};
constexpr int64_t kSumOfLists = int64_t{1000} * (1000 * 1001 / 2);
/// Makes one list longer and longer, until there is no memory left.
constexpr Instruction kGrow[] = {
    /*  0 */ {kPush, 1}, {kGet, 0}, {kCons}, {kSet, 0}, {kPush, 1}, {kJumpIf, 0}};
// clang-format on

}  // namespace

int main() {
  // [setup]
  Atoll::HeapOptions options;
  options.encoding = Encoding::kEncoding;
  auto heap = Atoll::CreateHeap(options);
  if (!heap.ok()) return std::fprintf(stderr, "%s\n", heap.status().message().c_str()), 1;
  Vm vm(*heap.value()->RegisterType(DescribeCell()).value());
  auto region = heap.value()->CreateRegion({.limit_bytes = size_t{16} << 20, .client = &vm});
  auto mutator = region.value()->AttachMutator("main");
  // [/setup]
  {
    const Atoll::ManagedScope managed(*mutator.value());
    const char* error = vm.Run(*mutator.value(), kSumLists, kLocals);
    const int64_t sum = vm.result();
    const char* expected_error = vm.Run(*mutator.value(), kGrow, 1);
    const Atoll::RegionStats stats = region.value()->stats();
    std::printf("sum %lld, then %s; %llu minor and %llu major collections\n",
                static_cast<long long>(sum), expected_error,
                static_cast<unsigned long long>(stats.minors),
                static_cast<unsigned long long>(stats.majors));
    const bool right = error == nullptr && sum == kSumOfLists && stats.minors > 0 &&
                       std::string_view(expected_error) == "out of memory";
    if (!right) return std::fprintf(stderr, "wrong, error: %s\n", error ? error : "none"), 1;
  }
  return mutator.value()->Detach().ok() ? 0 : 1;
}
