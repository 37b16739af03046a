#include "tests/fuzz/heap_program.h"

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "atoll/gc.h"
#include "atoll/handles.h"
#include "atoll/heap.h"

namespace Atoll::fuzz {
namespace {

constexpr size_t kRegisters = 16;
enum Shape : uint8_t { kPair, kArray, kWeak, kEphemeron, kShapes };

/// A word that the model expects: null, an immediate (odd), or an object's number.
struct Value {
  static Value Object(int number) { return {number, 0}; }
  static Value Immediate(Word word) { return {-1, word}; }
  int object = -1;
  Word word = 0;
};
struct ModelObject {
  Shape shape;
  std::vector<Value> slots;  // kWeak: weak, strong; kEphemeron: key, value, strong
  uint32_t hash = 0;
  int pins = 0;
  uintptr_t at = 0;  // where the walk found it
  int reached = 0;   // by which walk
};

class Machine final : public RegionClient {
 public:
  Machine(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}
  ~Machine() override {
    if (mutator_ != nullptr && mutator_->manager() != nullptr)
      static_cast<void>(mutator_->Detach());
    mutator_.reset();
    region_.reset();
    heap_.reset();
  }

  std::string Run() {
    if (!Begin()) return wrong_;
    while (data_ != end_ && wrong_.empty()) Step();
    if (wrong_.empty()) Collect(2);
    return wrong_;
  }

  void VisitRoots(RootVisitor& visitor) override {
    visitor.VisitRange(Slot(registers_), kRegisters);
  }

 private:
  uint8_t Byte() { return data_ == end_ ? 0 : *data_++; }
  size_t Register() { return Byte() % kRegisters; }
  void Wrong(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }

  bool Begin() {
    const uint8_t knobs = Byte();
    HeapOptions options;
    options.nursery_bytes = 64 * 1024;
    options.workers = 1 + (Byte() & 3);
    options.seed = 1;
    options.stress.move_everything = (knobs & 1) != 0;
    options.stress.poison = (knobs & 2) != 0;
    options.stress.every_allocation = (knobs & 4) != 0;
    options.stress.collect_every = (knobs & 8) != 0 ? 7 : 0;
    options.stress.parallel = (knobs & 16) != 0;
    options.stress.born_old = (knobs & 32) != 0;
    options.stress.verify = true;
    heap_ = CreateHeap(options).value();
    TypeInfo info;
    info.name = "Pair";
    info.layout = Layout::kFixed;
    info.fixed_size = 32;
    info.ref_offsets = {16, 24};
    types_[kPair] = heap_->RegisterType(info).value();
    info = TypeInfo();
    info.name = "Array";
    info.layout = Layout::kRefArray;
    info.fixed_size = 24;
    info.element_size = 8;
    info.length_offset = 8;
    types_[kArray] = heap_->RegisterType(info).value();
    info = TypeInfo();
    info.name = "Weak";
    info.layout = Layout::kWeakRef;
    info.fixed_size = 32;
    info.ref_offsets = {16};
    types_[kWeak] = heap_->RegisterType(info).value();
    info.name = "Ephemeron";
    info.layout = Layout::kEphemeron;
    info.fixed_size = 40;
    info.ref_offsets = {24};
    types_[kEphemeron] = heap_->RegisterType(info).value();
    RegionOptions region_options;
    region_options.client = this;
    region_ = heap_->CreateRegion(region_options).value();
    mutator_ = region_->AttachMutator("fuzz").value();
    mutator_->LeaveNative();
    return true;
  }

  // ---- Objects

  static size_t IdOffset(Shape shape) {
    return shape == kPair ? 8 : shape == kArray ? 16 : shape == kWeak ? 24 : 32;
  }
  static Slot SlotOf(uintptr_t object, Shape shape, size_t i) {
    return Slot(object + (shape == kPair ? 16 : shape == kArray ? 24 : 8) + i * 8);
  }
  static Word& IdOf(uintptr_t object, Shape shape) {
    return *reinterpret_cast<Word*>(object + IdOffset(shape));
  }
  ModelObject* ModelOf(size_t reg) {
    return expected_[reg].object < 0 ? nullptr
                                     : &objects_[static_cast<size_t>(expected_[reg].object)];
  }
  void Set(size_t reg, Value value, Word word) {
    expected_[reg] = value;
    registers_[reg] = word;
  }
  void StoreSlot(uintptr_t object, ModelObject& model, size_t i, Value value, Word word) {
    Store(*mutator_, ObjectPtr(object), SlotOf(object, model.shape, i), Ref{word});
    model.slots[i] = value;
  }

  // ---- Steps

  void Step() {
    switch (Byte() % 16) {
      case 0:
      case 1:
        return Allocate(static_cast<Shape>(Byte() % kShapes));
      case 2:
      case 3:
        return StoreStep();
      case 4:
        return LoadStep();
      case 5: {
        const size_t from = Register();
        return Set(Register(), expected_[from], registers_[from]);
      }
      case 6:
        return Set(Register(), Value(), 0);
      case 7: {
        const Word word = Word{Byte()} << 32 | 1;
        return Set(Register(), Value::Immediate(word), word);
      }
      case 8:
        return Collect(0);
      case 9:
        return Collect(1);
      case 10:
        return Collect(2);
      case 11:
        return Shrink();
      case 12:
        return HashAndPin();
      case 13:
        return Copy();
      case 14:
        return AdoptStep();
      default:
        mutator_->Poll();
    }
  }

  void Allocate(Shape shape) {
    size_t slots = shape == kPair || shape == kWeak ? 2 : 3;
    if (shape == kArray) {
      slots = Byte();
      if (slots > 250) slots *= 40;  // a large object
    }
    const ObjectPtr object = shape == kArray ? mutator_->AllocateArray(*types_[kArray], slots)
                                             : mutator_->Allocate(*types_[shape]);
    if (!object) return Wrong("allocation: " + mutator_->last_error().message());
    for (size_t i = 0; i < slots; ++i) {
      if (SlotOf(object.address(), shape, i).Load().word != 0)
        return Wrong("a fresh slot is not zero");
    }
    IdOf(object.address(), shape) = objects_.size();
    objects_.push_back({shape, std::vector<Value>(slots), 0, 0, 0, 0});
    Set(Register(), Value::Object(static_cast<int>(objects_.size() - 1)), object.address());
  }

  void StoreStep() {
    const size_t to = Register();
    const size_t from = Register();
    const uint8_t slot = Byte();
    ModelObject* model = ModelOf(to);
    if (model == nullptr || model->slots.empty()) return;
    const size_t i =
        slot * (model->slots.size() > 256 ? model->slots.size() / 256 : 1) % model->slots.size();
    // Key and value of an ephemeron come and go together, and the key is an object.
    if (model->shape == kEphemeron && i < 2) {
      const bool none = expected_[from].object < 0;
      StoreSlot(registers_[to], *model, 0, none ? Value() : expected_[from],
                none ? 0 : registers_[from]);
      StoreSlot(registers_[to], *model, 1, none ? Value() : expected_[slot % kRegisters],
                none ? 0 : registers_[slot % kRegisters]);
      return;
    }
    StoreSlot(registers_[to], *model, i, expected_[from], registers_[from]);
  }

  void LoadStep() {
    const size_t to = Register();
    const size_t from = Register();
    const uint8_t slot = Byte();
    ModelObject* model = ModelOf(from);
    if (model == nullptr || model->slots.empty()) return;
    const size_t i = slot % model->slots.size();
    const Word word = SlotOf(registers_[from], model->shape, i).Load().word;
    const bool may_be_cleared =
        (model->shape == kWeak && i == 0) || (model->shape == kEphemeron && i < 2);
    if (may_be_cleared && word == 0) return Set(to, Value(), 0);
    Set(to, model->slots[i], word);
  }

  void Shrink() {
    const size_t reg = Register();
    const uint8_t to = Byte();
    ModelObject* model = ModelOf(reg);
    if (model == nullptr || model->shape != kArray) return;
    const size_t length = model->slots.size() * to / 256;
    const Status status = mutator_->ShrinkInPlace(ObjectPtr(registers_[reg]), length);
    if (!status.ok()) return Wrong(status.message());
    model->slots.resize(length);
  }

  void HashAndPin() {
    const size_t reg = Register();
    ModelObject* model = ModelOf(reg);
    if (model == nullptr) return;
    const ObjectPtr object(registers_[reg]);
    const uint32_t hash = mutator_->IdentityHash(object);
    if (hash == 0 || (model->hash != 0 && model->hash != hash))
      Wrong("an identity hash has changed");
    model->hash = hash;
    const bool pin = Byte() % 2 == 0;
    if (!pin && model->pins == 0) return;
    const Status status = pin ? mutator_->Pin(object) : mutator_->Unpin(object);
    if (!status.ok()) return Wrong(status.message());
    model->pins += pin ? 1 : -1;
    model->at = object.address();
  }

  void Copy() {
    const size_t reg = Register();
    const uint8_t from = Byte();
    const uint8_t to = Byte();
    ModelObject* model = ModelOf(reg);
    if (model == nullptr || model->shape != kArray || model->slots.size() < 2) return;
    const size_t count = model->slots.size() / 2;
    const size_t a = from % count;
    const size_t b = to % count;
    CopyRefs(*mutator_, ObjectPtr(registers_[reg]), SlotOf(registers_[reg], kArray, b),
             SlotOf(registers_[reg], kArray, a), count);
    const std::vector<Value> copied(model->slots.begin() + static_cast<long>(a),
                                    model->slots.begin() + static_cast<long>(a + count));
    std::copy(copied.begin(), copied.end(), model->slots.begin() + static_cast<long>(b));
  }

  // A list made in another region, adopted.
  void AdoptStep() {
    const size_t reg = Register();
    const size_t count = Byte() % 32;
    const bool aged = Byte() % 2 == 0;
    mutator_->EnterNative();
    std::unique_ptr<Region> other = heap_->CreateRegion({}).value();
    std::unique_ptr<Mutator> sender = other->AttachMutator("sender").value();
    sender->LeaveNative();
    Persistent head(*other, Ref{});
    Value expected;
    for (size_t i = 0; i < count; ++i) {
      const ObjectPtr pair = sender->Allocate(*types_[kPair]);
      if (!pair) return Wrong("allocation: " + sender->last_error().message());
      IdOf(pair.address(), kPair) = objects_.size();
      Store(*sender, pair, SlotOf(pair.address(), kPair, 0), head.Get());
      objects_.push_back({kPair, {expected, Value()}, 0, 0, 0, 0});
      expected = Value::Object(static_cast<int>(objects_.size() - 1));
      head.Set(Ref{pair.address()});
      if (aged && i == count / 2) static_cast<void>(sender->Collect(Mutator::Collection::kMajor));
    }
    const Word word = head.Get().word;
    if (!sender->Detach().ok()) return Wrong("the sender cannot detach");
    sender.reset();
    mutator_->LeaveNative();
    const Status status = region_->Adopt(*other);
    if (!status.ok()) return Wrong(status.message());
    Set(reg, expected, word);
  }

  // ---- Collections and comparison

  void Collect(int kind) {
    const Status status = kind == 2   ? heap_->CollectAll()
                          : kind == 1 ? mutator_->Collect(Mutator::Collection::kMajor)
                                      : mutator_->Collect(Mutator::Collection::kMinor);
    if (!status.ok()) return Wrong(status.message());
    Compare(kind != 0);
  }

  void Reach(Value value, Word word) {
    if (value.object < 0) {
      if (word != value.word) Wrong("an immediate has changed");
      return;
    }
    ModelObject& model = objects_[static_cast<size_t>(value.object)];
    if (model.reached == walk_) {
      if (model.at != word) Wrong("one object in two places");
      return;
    }
    if (!mutator_->InReservation(word) || word % 8 != 0) return Wrong("a reference to nowhere");
    if (&mutator_->TypeOf(ObjectPtr(word)) != types_[model.shape]) return Wrong("another type");
    if (IdOf(word, model.shape) != static_cast<Word>(value.object)) return Wrong("another object");
    if (model.shape == kArray && mutator_->LengthOf(ObjectPtr(word)) != model.slots.size()) {
      return Wrong("another length");
    }
    if (model.pins != 0 && model.at != word) return Wrong("a pinned object has moved");
    model.reached = walk_;
    model.at = word;
    pending_.push_back(value.object);
  }

  void Drain(std::vector<int>& weak, std::vector<int>& ephemerons) {
    while (!pending_.empty() && wrong_.empty()) {
      const int number = pending_.back();
      pending_.pop_back();
      ModelObject& model = objects_[static_cast<size_t>(number)];
      size_t first = 0;
      if (model.shape == kWeak) {
        weak.push_back(number);
        first = 1;
      } else if (model.shape == kEphemeron) {
        ephemerons.push_back(number);
        first = 2;
      }
      for (size_t i = first; i < model.slots.size(); ++i) {
        Reach(model.slots[i], SlotOf(model.at, model.shape, i).Load().word);
      }
    }
  }

  bool IsReached(Value value) const {
    return value.object < 0 || objects_[static_cast<size_t>(value.object)].reached == walk_;
  }

  void Compare(bool exact) {
    ++walk_;
    std::vector<int> weak;
    std::vector<int> ephemerons;
    for (size_t i = 0; i < kRegisters; ++i) Reach(expected_[i], registers_[i]);
    for (size_t i = 0; i < objects_.size(); ++i) {
      if (objects_[i].pins != 0) Reach(Value::Object(static_cast<int>(i)), objects_[i].at);
    }
    Drain(weak, ephemerons);
    for (bool progress = true; progress && wrong_.empty();) {
      progress = false;
      for (size_t i = 0; i < ephemerons.size();) {
        ModelObject& model = objects_[static_cast<size_t>(ephemerons[i])];
        if (!IsReached(model.slots[0])) {
          ++i;
          continue;
        }
        for (size_t j = 0; j < 2; ++j)
          Reach(model.slots[j], SlotOf(model.at, kEphemeron, j).Load().word);
        ephemerons[i] = ephemerons.back();
        ephemerons.pop_back();
        Drain(weak, ephemerons);
        progress = true;
      }
    }
    if (!wrong_.empty()) return;
    for (const int number : ephemerons) {
      ModelObject& model = objects_[static_cast<size_t>(number)];
      const Word key = SlotOf(model.at, kEphemeron, 0).Load().word;
      const Word value = SlotOf(model.at, kEphemeron, 1).Load().word;
      if (exact && key != 0) return Wrong("an ephemeron has kept a dead key");
      if (key == 0 && value != 0) return Wrong("an ephemeron has lost its key and kept its value");
      if (key == 0) model.slots[0] = model.slots[1] = Value();
    }
    for (const int number : weak) {
      ModelObject& model = objects_[static_cast<size_t>(number)];
      const Word word = SlotOf(model.at, kWeak, 0).Load().word;
      if (IsReached(model.slots[0])) {
        Reach(model.slots[0], word);
      } else if (exact && word != 0) {
        return Wrong("a weak reference to a dead object");
      } else if (word == 0) {
        model.slots[0] = Value();
      }
    }
  }

  const uint8_t* data_;
  const uint8_t* const end_;
  std::string wrong_;
  std::unique_ptr<Heap> heap_;
  const Type* types_[kShapes] = {};
  std::unique_ptr<Region> region_;
  std::unique_ptr<Mutator> mutator_;
  Word registers_[kRegisters] = {};
  Value expected_[kRegisters];
  std::deque<ModelObject> objects_;
  std::vector<int> pending_;
  int walk_ = 0;
};

}  // namespace

std::string RunHeapProgram(const uint8_t* data, size_t size) { return Machine(data, size).Run(); }

}  // namespace Atoll::fuzz

#ifdef ATOLL_LIBFUZZER
// clang++ -fsanitize=fuzzer,address -DATOLL_LIBFUZZER: coverage chooses the bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (!Atoll::fuzz::RunHeapProgram(data, size).empty()) __builtin_trap();
  return 0;
}
#endif
