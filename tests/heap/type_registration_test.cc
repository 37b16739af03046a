// Is every wrong description of a type refused, with a message that names the type, the field and
// the cause?
#include <thread>

#include "safepoint/platform.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TypeRegistration : public HeapTest {
 protected:
  static TypeInfo Fixed(uint32_t size, std::vector<uint32_t> offsets) {
    TypeInfo info;
    info.name = "Suspect";
    info.layout = Layout::kFixed;
    info.fixed_size = size;
    info.ref_offsets = std::move(offsets);
    return info;
  }
  static TypeInfo Array(Layout layout, uint32_t element_size) {
    TypeInfo info;
    info.name = "Suspect";
    info.layout = layout;
    info.fixed_size = 16;
    info.element_size = element_size;
    info.length_offset = 8;
    return info;
  }
  void ExpectRefused(const TypeInfo& info, const std::string& field, const std::string& cause) {
    const Result<const Type*> type = heap().RegisterType(info);
    ASSERT_FALSE(type.ok());
    EXPECT_EQ(type.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(type.status().message(),
                AllOf(HasSubstr("Suspect"), HasSubstr(field), HasSubstr(cause)));
  }
};

TEST_F(TypeRegistration, MisalignedReference) {
  ExpectRefused(Fixed(32, {12}), "ref_offsets", "misaligned");
}
TEST_F(TypeRegistration, ReferenceInTheHeader) {
  ExpectRefused(Fixed(32, {0}), "ref_offsets", "header");
}
TEST_F(TypeRegistration, ReferenceOutsideTheObject) {
  ExpectRefused(Fixed(32, {32}), "ref_offsets", "outside");
  ExpectRefused(Fixed(32, {0xFFFFFFF8u}), "ref_offsets", "outside");
}
TEST_F(TypeRegistration, ReferenceNamedTwice) {
  ExpectRefused(Fixed(32, {8, 16, 8}), "ref_offsets", "twice");
}
TEST_F(TypeRegistration, SizeWithoutRoomForTheHeader) {
  ExpectRefused(Fixed(0, {}), "fixed_size", "header");
}
TEST_F(TypeRegistration, SizeThatIsNoMultipleOfEight) {
  ExpectRefused(Fixed(20, {}), "fixed_size", "multiple");
}
TEST_F(TypeRegistration, SizeBeyondAllMeasure) {
  ExpectRefused(Fixed(0xFFFFFFF8u, {}), "fixed_size", "bytes");
}
TEST_F(TypeRegistration, LeafWithReferences) {
  TypeInfo info = Fixed(32, {8});
  info.layout = Layout::kLeaf;
  ExpectRefused(info, "ref_offsets", "leaf");
}
TEST_F(TypeRegistration, FixedLayoutWithElements) {
  TypeInfo info = Fixed(32, {16});
  info.element_size = 8;
  ExpectRefused(info, "kFixed", "elements");
}
TEST_F(TypeRegistration, RefArrayOfOtherThanWords) {
  ExpectRefused(Array(Layout::kRefArray, 0), "element_size", "8");
  ExpectRefused(Array(Layout::kRefArray, 16), "element_size", "8");
}
TEST_F(TypeRegistration, StructArrayOfOddStructs) {
  ExpectRefused(Array(Layout::kStructArray, 12), "element_size", "multiple");
  ExpectRefused(Array(Layout::kStructArray, 0), "element_size", "multiple");
}
TEST_F(TypeRegistration, ElementReferencesOutsideTheElement) {
  TypeInfo info = Array(Layout::kStructArray, 24);
  info.element_ref_offsets = {24};
  ExpectRefused(info, "element_ref_offsets", "outside");
  info.element_ref_offsets = {4};
  ExpectRefused(info, "element_ref_offsets", "misaligned");
  info.element_ref_offsets = {8, 8};
  ExpectRefused(info, "element_ref_offsets", "twice");
}
TEST_F(TypeRegistration, ElementReferencesOfAnotherLayout) {
  TypeInfo info = Array(Layout::kRefArray, 8);
  info.element_ref_offsets = {0};
  ExpectRefused(info, "element_ref_offsets", "kStructArray");
}
TEST_F(TypeRegistration, LengthOutsideTheObject) {
  TypeInfo info = Array(Layout::kRefArray, 8);
  info.length_offset = 16;
  ExpectRefused(info, "length_offset", "outside");
  info.length_offset = 0;
  ExpectRefused(info, "length_offset", "outside");
  info.length_offset = 0xFFFFFFF8u;
  ExpectRefused(info, "length_offset", "outside");
}
TEST_F(TypeRegistration, MisalignedLength) {
  TypeInfo info = Array(Layout::kRefArray, 8);
  info.fixed_size = 24;
  info.length_offset = 12;
  ExpectRefused(info, "length_offset", "misaligned");
}
TEST_F(TypeRegistration, LengthOfAnOddWidth) {
  TypeInfo info = Array(Layout::kRefArray, 8);
  info.length_width = 2;
  ExpectRefused(info, "length_width", "4 or 8");
}
TEST_F(TypeRegistration, ReferenceOverTheLength) {
  TypeInfo info = Array(Layout::kRefArray, 8);
  info.ref_offsets = {8};
  ExpectRefused(info, "ref_offsets", "overlaps the length");
}
TEST_F(TypeRegistration, StrongReferenceOverTheWeakWords) {
  TypeInfo info = Fixed(32, {8});
  info.layout = Layout::kWeakRef;
  ExpectRefused(info, "ref_offsets", "weak");
  info.layout = Layout::kEphemeron;
  info.ref_offsets = {16};
  ExpectRefused(info, "ref_offsets", "weak");
}
TEST_F(TypeRegistration, NoRoomForTheWeakWords) {
  TypeInfo info = Fixed(8, {});
  info.layout = Layout::kWeakRef;
  ExpectRefused(info, "fixed_size", "weak");
  info.layout = Layout::kEphemeron;
  info.fixed_size = 16;
  ExpectRefused(info, "fixed_size", "weak");
}
TEST_F(TypeRegistration, WeakReferenceWithElements) {
  TypeInfo info = Array(Layout::kWeakRef, 8);
  ExpectRefused(info, "weak", "elements");
}
TEST_F(TypeRegistration, CustomWithoutATracer) {
  TypeInfo info = Fixed(32, {});
  info.layout = Layout::kCustom;
  ExpectRefused(info, "kCustom", "trace");
  info.trace = [](ObjectPtr, SlotVisitor&) {};
  info.ref_offsets = {8};
  ExpectRefused(info, "kCustom", "ref_offsets");
  info.layout = Layout::kFixed;
  ExpectRefused(info, "trace callback", "kCustom");
}

TEST_F(TypeRegistration, ARefusedTypeTakesNoId) {
  const uint32_t before = heap().RegisterType(Fixed(16, {8})).value()->id();
  ExpectRefused(Fixed(16, {9}), "ref_offsets", "misaligned");
  EXPECT_EQ(heap().RegisterType(Fixed(16, {8})).value()->id(), before + 1);
}

TEST_F(TypeRegistration, KeepsWhatWasDescribed) {
  TypeInfo info = Array(Layout::kStructArray, 24);
  info.length_width = 4;
  info.element_ref_offsets = {0, 16};
  info.flags.identity_free = true;
  const Type* type = heap().RegisterType(info).value();
  EXPECT_EQ(type->name(), "Suspect");
  EXPECT_EQ(type->fixed_size, 16u);
  EXPECT_EQ(type->element_size, 24u);
  EXPECT_EQ(type->element_bitmap, 0b101u);
  EXPECT_EQ(type->length_width, 4);
  EXPECT_TRUE(type->flags.identity_free);
  EXPECT_TRUE(type->has_elements());
}

TEST_F(TypeRegistration, TypesNeverMoveWhileOthersAreRegistered) {
  heap();
  std::vector<const Type*> types;
  std::vector<std::thread> threads;
  platform::Mutex mutex;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < 2'000; ++i) {
        TypeInfo info = Fixed(16 + 8 * (i % 100), {8});
        info.name = std::to_string(t) + "." + std::to_string(i);
        const Type* type = heap().RegisterType(info).value();
        platform::MutexLock lock(mutex);
        types.push_back(type);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<bool> ids(types.size() + 100);
  for (const Type* type : types) {
    ASSERT_LT(type->id(), ids.size());
    EXPECT_FALSE(ids[type->id()]);
    ids[type->id()] = true;
    const uint32_t i = static_cast<uint32_t>(std::stoul(type->name().substr(2)));
    EXPECT_EQ(type->fixed_size, 16 + 8 * (i % 100));
  }
}

TEST_F(TypeRegistration, AsManyTypesAsHeadersCanNameAndNotOneMore) {
  const TypeInfo info = Fixed(16, {8});
  Status last;
  uint32_t most = 0;
  for (uint32_t i = 0; i <= header::kMaxTypeId + 1; ++i) {
    const Result<const Type*> type = heap().RegisterType(info);
    if (!type.ok()) {
      last = type.status();
      break;
    }
    most = type.value()->id();
  }
  EXPECT_EQ(most, header::kMaxTypeId);
  EXPECT_EQ(last.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(last.message(), HasSubstr("Suspect"));
  // The last type is as good as the first.
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  EXPECT_EQ(mutator.TypeOf(NewPair(mutator, 1)).id(), types().pair->id());
}

}  // namespace
}  // namespace Atoll
