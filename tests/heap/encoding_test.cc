// Under every encoding: references are followed and updated, all other words are left alone,
// whatever they look like, and bits beside the address stay.
#include "heap/mutator_record.h"
#include "heap/remembered_set.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

/// An encoding that only its masks describe: pattern 5, sixteen free bits on top, bias 16.
struct Described {
  static constexpr RefEncoding kEncoding{7, 5, 0x0000'FFFF'FFFF'FFF8u, 16};
  using Type = RuntimeEncoding;
};
template <typename E>
struct Known {
  static constexpr RefEncoding kEncoding = E::kEncoding;
  using Type = E;
};

template <typename T>
class Encodings : public HeapTest {
 protected:
  using E = typename T::Type;
  Encodings() { options().encoding = T::kEncoding; }

  static Word Encode(ObjectPtr object, Word other_bits = 0) {
    const RefEncoding& e = T::kEncoding;
    return e.Make(object.address()) | (other_bits & ~e.address_mask & ~e.ref_mask);
  }
  static ObjectPtr Decode(Word word) { return ObjectPtr(T::kEncoding.Decode(word)); }
  static Slot At(ObjectPtr object, size_t offset) {
    return ObjectSlot<E>(object.address() + offset);
  }
  static size_t Element(size_t index) { return kElements + index * kSlotSize<E>; }
  static Ref Weak(ObjectPtr object) { return WeakGet<E>(object); }
  static void StoreWord(Mutator& mutator, ObjectPtr object, size_t offset, Word word) {
    Store<E>(mutator, object, At(object, offset), Ref{word});
  }
  /// What a slot can hold of words that are no references: compressed ones nothing but zero.
  static Word InSlot(Word word) { return E::kCompressed ? 0 : word; }
  /// Words that are no references, or references to no object.
  std::vector<Word> ForeignWords(Mutator& mutator) {
    const RefEncoding& e = T::kEncoding;
    static uint64_t outside;
    std::vector<Word> words;
    for (const uintptr_t address :
         {uintptr_t{0x1000}, reinterpret_cast<uintptr_t>(&outside), uintptr_t{1} << 46,
          (uintptr_t{1} << 47) - 64, reinterpret_cast<uintptr_t>(this) & ~uintptr_t{7}}) {
      words.push_back(e.Make(address));
    }
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < 2'000; ++i) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      words.push_back(random >> (i % 50));
      words.push_back(static_cast<Word>(i));
      words.push_back(~Word{0} - static_cast<Word>(i));
    }
    std::erase_if(
        words, [&](Word word) { return e.IsRef(word) && mutator.InReservation(e.Decode(word)); });
    return words;
  }
};

using AllEncodings = ::testing::Types<Known<PlainPointers>, Known<LowTagOne>, Known<NanBoxing>,
                                      Known<HeaderBefore>, Known<CompressedPointers>, Described>;
TYPED_TEST_SUITE(Encodings, AllEncodings);

TYPED_TEST(Encodings, ReferencesAreFollowedAndKeepTheirOtherBits) {
  TestRegion region(this->heap());
  Mutator& mutator = region.Enter();
  const Word bits = 0xABCD'0000'0000'0006u;
  region.Root(0) = this->Encode(this->NewPair(mutator, 1), bits);
  const ObjectPtr child = this->NewPair(mutator, 2);
  this->StoreWord(mutator, this->Decode(region.Root(0)), kA, this->Encode(child, ~bits));
  HandleScope scope(mutator);
  LocalRef local(mutator, Ref{this->Encode(child, bits)});
  for (int i = 0; i < 5; ++i) {
    i == 3 ? this->Major(region) : i == 4 ? this->Group() : this->Minor(region);
    const ObjectPtr parent = this->Decode(region.Root(0));
    ASSERT_EQ(region.Root(0), this->Encode(parent, bits));
    ASSERT_EQ(IdAt(parent), 1u);
    const Word word = this->At(parent, kA).Load().word;
    ASSERT_EQ(word, this->Encode(this->Decode(word), ~bits));
    ASSERT_EQ(IdAt(this->Decode(word)), 2u);
    ASSERT_EQ(local.Get().word, this->Encode(this->Decode(word), bits));
    this->ExpectValid();
  }
}

TYPED_TEST(Encodings, ForeignWordsAreNeverFollowed) {
  TestRegion region(this->heap());
  Mutator& mutator = region.Enter();
  const std::vector<Word> words = this->ForeignWords(mutator);
  ASSERT_GT(words.size(), 3'000u);
  // In an array (its first half stored young, its second old), in roots, handles, weak references.
  region.Root(0) = this->Encode(mutator.AllocateArray(*this->types().array, words.size()));
  region.Root(1) = this->Encode(mutator.Allocate(*this->types().weak));
  Persistent persistent(region.region(), Ref{words[1]});
  HandleScope scope(mutator);
  LocalRef local(mutator, Ref{words[2]});
  region.Root(2) = words[3];
  this->StoreWord(mutator, this->Decode(region.Root(1)), 8, this->InSlot(words[0]));
  for (size_t i = 0; i < words.size(); ++i) {
    if (i == words.size() / 2) this->Major(region);
    this->StoreWord(mutator, this->Decode(region.Root(0)), this->Element(i),
                    this->InSlot(words[i]));
  }
  for (int round = 0; round < 5; ++round) {
    const ObjectPtr array = this->Decode(region.Root(0));
    for (size_t i = 0; i < words.size(); ++i) {
      ASSERT_EQ(this->At(array, this->Element(i)).Load().word, this->InSlot(words[i]));
    }
    EXPECT_EQ(this->Weak(this->Decode(region.Root(1))).word, this->InSlot(words[0]));
    EXPECT_EQ(persistent.Get().word, words[1]);
    EXPECT_EQ(local.Get().word, words[2]);
    EXPECT_EQ(region.Root(2), words[3]);
    this->ExpectValid();
    round == 3 ? this->Group() : round == 2 ? this->Major(region) : this->Minor(region);
  }
  EXPECT_TRUE(this->violations().empty());
}

TYPED_TEST(Encodings, AZeroedSlotIsNoReference) {
  TestRegion region(this->heap());
  Mutator& mutator = region.Enter();
  region.Root(0) = this->Encode(mutator.AllocateArray(*this->types().array, 100));
  this->Minor(region);
  this->Major(region);
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(this->At(this->Decode(region.Root(0)), this->Element(i)).Load().word, 0u);
  }
}

TYPED_TEST(Encodings, TheBarrierSeesReferencesInTheirEncoding) {
  TestRegion region(this->heap());
  Mutator& mutator = region.Enter();
  region.Root(0) = this->Encode(this->NewPair(mutator, 1));
  region.Root(1) = this->Encode(mutator.AllocateArray(*this->types().array, 4'000));
  this->Major(region);
  const Word word = this->Encode(this->NewPair(mutator, 2));
  this->StoreWord(mutator, this->Decode(region.Root(0)), kA, word);
  this->StoreWord(mutator, this->Decode(region.Root(1)), this->Element(3'999), word);
  this->ExpectValid();
  this->Minor(region);
  const Word now = this->At(this->Decode(region.Root(0)), kA).Load().word;
  EXPECT_EQ(IdAt(this->Decode(now)), 2u);
  EXPECT_EQ(this->At(this->Decode(region.Root(1)), this->Element(3'999)).Load().word, now);
}

// Numbers that lie between references may look like these.
TYPED_TEST(Encodings, NumbersOnADirtyCardAreNoReferences) {
  using E = typename TypeParam::Type;
  constexpr size_t kSlot = kSlotSize<E>;
  this->options().stress.move_everything = true;
  TestRegion region(this->heap());
  Mutator& mutator = region.Enter();
  TypeInfo info;
  info.name = "Numbered";
  info.layout = Layout::kStructArray;
  info.slot_size = kSlot;
  info.fixed_size = 16;
  info.element_size = 2 * kSlot;  // { number, reference }
  info.length_offset = 8;
  info.element_ref_offsets = {kSlot};
  const Type& numbered = *this->heap().RegisterType(info).value();
  constexpr size_t kLength = 3 * RememberedSet::kMaxSlots;
  region.Root(0) = this->Encode(mutator.AllocateArray(numbered, kLength));
  this->Major(region);
  // Young objects, which the next collection moves; each number is that of the reference beside it.
  const auto number_at = [&](size_t i) {
    return this->At(this->Decode(region.Root(0)), 16 + 2 * i * kSlot);
  };
  for (size_t i = 0; i < kLength; ++i) {
    const Word fresh = this->Encode(this->NewPair(mutator, i));
    number_at(i).StoreRaw(Ref{fresh});
    Store<E>(mutator, this->Decode(region.Root(0)), number_at(i).Next(), Ref{fresh});
  }
  ASSERT_GT(mutator.record().remembered.carded.size(), 0u);
  std::vector<Word> before;
  for (size_t i = 0; i < kLength; ++i) before.push_back(number_at(i).Load().word);
  this->Minor(region);
  for (size_t i = 0; i < kLength; ++i) {
    ASSERT_EQ(number_at(i).Load().word, before[i]) << "number " << i << " has changed";
    const Word moved = number_at(i).Next().Load().word;
    ASSERT_NE(moved, before[i]);
    ASSERT_EQ(IdAt(this->Decode(moved)), i);
  }
  this->ExpectValid();
}

TYPED_TEST(Encodings, PinsAndFinalizersWork) {
  TestRegion region(this->heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr pinned = this->NewPair(mutator, 1);
  ASSERT_TRUE(mutator.Pin(pinned).ok());
  Counter finalized;
  const ObjectPtr doomed = this->NewPair(mutator, 2);
  ASSERT_TRUE(mutator.AddFinalizer(doomed, FinalizerKind::kNative, Counter::Add, &finalized).ok());
  ASSERT_TRUE(mutator.AddFinalizer(doomed, FinalizerKind::kGuardian, nullptr, nullptr).ok());
  this->Major(region);
  EXPECT_EQ(IdAt(pinned), 1u);
  EXPECT_EQ(finalized.calls, 0);
  const Ref guarded = region.region().NextGuarded();
  ASSERT_NE(guarded.word, 0u);
  EXPECT_EQ(guarded.word, this->Encode(this->Decode(guarded.word)));
  EXPECT_EQ(IdAt(this->Decode(guarded.word)), 2u);
  this->Major(region);
  EXPECT_EQ(finalized.calls, 1);
  ASSERT_TRUE(mutator.Unpin(pinned).ok());
}

class WrongEncodings : public ::testing::Test {
 protected:
  static void ExpectRefused(const RefEncoding& encoding, const std::string& what) {
    HeapOptions options;
    options.encoding = encoding;
    const Result<std::unique_ptr<Heap>> heap = CreateHeap(options);
    ASSERT_FALSE(heap.ok());
    EXPECT_EQ(heap.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(heap.status().message(), HasSubstr(what));
  }
};

TEST_F(WrongEncodings, APatternThatTheMaskHides) {
  ExpectRefused({3, 4, ~Word{7}, 0}, "ref_pattern");
}
TEST_F(WrongEncodings, AnAddressMaskThatCutsAddresses) {
  ExpectRefused({7, 0, 0xFFFF'FFF8u, 0}, "address_mask");
}
TEST_F(WrongEncodings, APatternAmongTheAddressBits) {
  ExpectRefused({0x10, 0x10, ~Word{7}, 0}, "ref_pattern");
}
TEST_F(WrongEncodings, ACompressedOneWithMasksOfItsOwn) {
  RefEncoding encoding = LowTagOne::kEncoding;
  encoding.compressed = true;
  ExpectRefused(encoding, "CompressedPointers");
}
TEST_F(WrongEncodings, AMisalignedBias) { ExpectRefused({7, 0, ~Word{0}, 4}, "bias"); }

}  // namespace
}  // namespace Atoll
