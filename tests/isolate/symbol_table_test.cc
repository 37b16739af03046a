// One object for each text, whoever asks, and however many at once.
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "atoll/become.h"
#include "isolate/published_set.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SymbolTableTest : public IsolateTest {
 protected:
  Program& program() {
    Program& made = group().program();
    EXPECT_TRUE(made.SetSymbolType(*types().bytes).ok());
    return made;
  }
  static Ref Intern(Program& program, std::string_view text) {
    Result<Ref> symbol = program.Intern(text);
    EXPECT_TRUE(symbol.ok()) << symbol.status().message();
    return symbol.ok() ? symbol.value() : Ref{};
  }
  static std::string TextOf(Ref symbol) {
    const ObjectPtr object = ObjectOf(symbol);
    return {reinterpret_cast<const char*>(object.address() + kElements), IdAt(object)};
  }
};

TEST_F(SymbolTableTest, OneObjectForEachText) {
  Program& symbols = program();
  EXPECT_EQ(symbols.FindSymbol("foo"), Ref{});
  const Ref foo = Intern(symbols, "foo");
  EXPECT_EQ(Intern(symbols, std::string("fo") + "o"), foo);
  EXPECT_EQ(symbols.FindSymbol("foo"), foo);
  std::set<Word> words = {foo.word};
  for (const std::string_view text :
       {std::string_view(""), std::string_view("fop"), std::string_view("fo"),
        std::string_view("foo\0", 4), std::string_view("a text of more than eight bytes"),
        std::string_view("a text of more than eight bytez")}) {
    const Ref symbol = Intern(symbols, text);
    EXPECT_TRUE(words.insert(symbol.word).second) << text;
    EXPECT_EQ(TextOf(symbol), text);
  }
  EXPECT_EQ(symbols.symbol_count(), words.size());
  ExpectValid();
}

// What a symbol becomes stands for another text, and the table would not find it there.
TEST_F(SymbolTableTest, WhatBecomesAnotherIsForgottenByTheTable) {
  for (const size_t pairs : {1, 2}) {  // replaced; exchanged
    Program& symbols = pairs == 1 ? program() : group().program();
    RunIsolate([&](Isolate& isolate) {
      SetField(isolate, 0, Intern(symbols, "one"));
      SetField(isolate, 1, Intern(symbols, "other"));
      const Ref one = isolate.field(0);
      const Ref other = isolate.field(1);
      const Status changed =
          symbols.Change(SafepointLevel::kReload, "test", [&](const StoppedScope& stopped) {
            const Ref both[] = {one, other};
            const Ref crosswise[] = {other, one};
            const Status status = Become(heap(), stopped, {both, pairs}, {crosswise, pairs});
            EXPECT_TRUE(status.ok()) << status.message();
          });
      EXPECT_TRUE(changed.ok()) << changed.message();
      EXPECT_EQ(isolate.field(0), other);
      EXPECT_EQ(isolate.field(1), pairs == 1 ? other : one);
      EXPECT_EQ(symbols.FindSymbol("one"), Ref{});
      EXPECT_EQ(symbols.FindSymbol("other"), pairs == 1 ? other : Ref{});
      const Ref anew = Intern(symbols, "one");
      EXPECT_NE(anew, one);
      EXPECT_EQ(TextOf(anew), "one");
    });
    ExpectValid();
    CollectAll();
  }
}

// ---- What nothing refers to goes, by a group collection

TEST_F(SymbolTableTest, WhatNothingRefersToGoesAndTheRestStays) {
  constexpr size_t kTexts = 3'000;
  Program& symbols = program();
  const auto text_of = [](size_t i) { return "name" + std::to_string(i); };
  RunIsolate([&](Isolate& isolate) {
    std::vector<Word> words;
    for (size_t i = 0; i < kTexts; ++i) {
      const Ref symbol = Intern(symbols, text_of(i));
      words.push_back(symbol.word);
      if (i % 3 == 0) {
        ASSERT_TRUE(isolate.SetField(i, symbol).ok());
      } else if (i % 3 == 1) {
        ASSERT_TRUE(symbols.AddField(symbol).ok());
      }
    }
    EXPECT_EQ(symbols.symbol_count(), kTexts);
    for (int collection = 0; collection < 2; ++collection) {
      ASSERT_TRUE(heap().CollectAll().ok());
      EXPECT_EQ(symbols.symbol_count(), kTexts / 3 * 2);
      for (size_t i = 0; i < kTexts; ++i) {
        const Ref found = symbols.FindSymbol(text_of(i));
        ASSERT_EQ(found, (i % 3 == 2 ? Ref{} : Ref{words[i]})) << i;
        if (found.word != 0) {
          EXPECT_EQ(TextOf(found), text_of(i));
        }
      }
    }
    for (size_t i = 2; i < kTexts; i += 3) {
      EXPECT_EQ(TextOf(Intern(symbols, text_of(i))), text_of(i));
    }
    EXPECT_EQ(symbols.symbol_count(), kTexts);
  });
  CollectAll();
  EXPECT_EQ(symbols.symbol_count(), kTexts / 3)
      << "those of the program, when its isolate has gone";
  ExpectValid();
  for (size_t i = 0; i < kTexts / 3; ++i) ASSERT_TRUE(symbols.SetInitialField(i, {}).ok());
  CollectAll();
  EXPECT_EQ(symbols.symbol_count(), 0u);
}

TEST_F(SymbolTableTest, SymbolsThatAreMadeWhileOthersGoAreOneForEachText) {
  constexpr int kIsolates = 3;
  constexpr size_t kTexts = 60;
  Program& symbols = program();
  std::atomic<int> running{kIsolates};
  std::atomic<uint64_t> kept{0};
  for (int n = 0; n < kIsolates; ++n) {
    Spawn([&, n](Isolate& isolate) {
      std::mt19937_64 random(static_cast<uint64_t>(n) + 1);
      for (int round = 0; round < 4'000; ++round) {
        const size_t i = random() % kTexts;
        const std::string text = "t" + std::to_string(i);
        const Ref symbol = Intern(symbols, text);
        const Ref held = isolate.field(i);
        EXPECT_EQ(TextOf(symbol), text);
        if (held.word != 0) {
          ASSERT_EQ(symbol, held) << "two symbols of one text";
          kept.fetch_add(1);
        }
        ASSERT_TRUE(isolate.SetField(i, random() % 3 == 0 ? Ref{} : symbol).ok());
        if (!isolate.Poll()) break;
      }
      running.fetch_sub(1);
    });
  }
  int collections = 0;
  for (; running.load() != 0; ++collections) CollectAll();
  exits.WaitFor(kIsolates);
  EXPECT_GE(collections, 1);
  EXPECT_GE(kept.load(), 100u);
  CollectAll();
  EXPECT_EQ(symbols.symbol_count(), 0u);
  ExpectValid();
}

TEST_F(SymbolTableTest, IsolatesThatInternTheSameTextsGetTheSameObjects) {
  constexpr int kIsolates = 4;
  constexpr int kTexts = 5'000;
  Program& symbols = program();
  std::vector<std::vector<Ref>> seen(kIsolates, std::vector<Ref>(kTexts));
  std::atomic<int> ready{0};
  for (int n = 0; n < kIsolates; ++n) {
    Spawn([&, n](Isolate& isolate) {
      ready.fetch_add(1);
      // As many as there are workers race from the start on.
      if (!PollUntil(isolate, [&] { return ready.load() >= 2; })) return;
      for (int i = 0; i < kTexts; ++i) {
        seen[static_cast<size_t>(n)][static_cast<size_t>(i)] =
            Intern(symbols, "selector" + std::to_string(i));
        isolate.Poll();
      }
    });
  }
  exits.WaitFor(kIsolates);
  EXPECT_EQ(symbols.symbol_count(), static_cast<size_t>(kTexts));
  std::set<Word> words;
  for (size_t i = 0; i < kTexts; ++i) {
    words.insert(seen[0][i].word);
    EXPECT_EQ(TextOf(seen[0][i]), "selector" + std::to_string(i));
    for (const auto& of_isolate : seen) ASSERT_EQ(of_isolate[i], seen[0][i]);
  }
  EXPECT_EQ(words.size(), static_cast<size_t>(kTexts));
}

TEST_F(SymbolTableTest, ReadersFindWhatIsThereWhileTheTableGrows) {
  constexpr size_t kTexts = 20'000;
  Program& symbols = program();
  std::atomic<size_t> interned{0};
  std::atomic<uint64_t> found{0};
  for (int reader = 0; reader < 2; ++reader) {
    Spawn([&](Isolate& isolate) {
      size_t count = 0;
      while (count < kTexts) {
        count = interned.load();
        for (size_t i = count > 50 ? count - 50 : 0; i < count; ++i) {
          const Ref symbol = symbols.FindSymbol(std::to_string(i));
          ASSERT_NE(symbol, Ref{}) << i << " of " << count;
          ASSERT_EQ(TextOf(symbol), std::to_string(i));
          found.fetch_add(1);
        }
        if (!isolate.Poll()) return;
      }
    });
  }
  for (size_t i = 0; i < kTexts; ++i) {
    Intern(symbols, std::to_string(i));
    interned.store(i + 1);
  }
  exits.WaitFor(2);
  EXPECT_GE(found.load(), 100u);
}

TEST_F(SymbolTableTest, TheTextMayLieInAnObjectThatMoves) {
  Program& symbols = program();
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    for (int i = 0; i < 300; ++i) {
      const std::string text = "text" + std::to_string(i);
      const ObjectPtr object = mutator.AllocateArray(*types().bytes, text.size());
      std::memcpy(reinterpret_cast<char*>(object.address() + kElements), text.data(), text.size());
      const Ref symbol = Intern(
          symbols, {reinterpret_cast<const char*>(object.address() + kElements), text.size()});
      EXPECT_EQ(TextOf(symbol), text);
    }
  });
  EXPECT_EQ(symbols.symbol_count(), 300u);
}

TEST_F(SymbolTableTest, AWrongTypeOrNoneIsRefused) {
  Program& without = group().program();
  EXPECT_EQ(without.FindSymbol("x"), Ref{});
  Result<Ref> symbol = without.Intern("name");
  ASSERT_FALSE(symbol.ok());
  EXPECT_THAT(symbol.status().message(), AllOf(HasSubstr("\"name\""), HasSubstr("SetSymbolType")));
  const Status not_a_leaf = without.SetSymbolType(*types().pair);
  EXPECT_EQ(not_a_leaf.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(not_a_leaf.message(), HasSubstr("Pair"));
  EXPECT_TRUE(without.SetSymbolType(*types().bytes).ok());
  EXPECT_TRUE(without.SetSymbolType(*types().bytes).ok());
  TypeInfo info;
  info.name = "Other";
  info.fixed_size = kElements;
  info.element_size = 1;
  info.length_offset = 8;
  const Status second = without.SetSymbolType(*heap().RegisterType(info).value());
  EXPECT_EQ(second.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(second.message(), HasSubstr("Bytes"));
}

TEST_F(SymbolTableTest, ASymbolThatThereIsNoMemoryForIsRefused) {
  Program& symbols = program();
  platform::faults::FailNth(platform::faults::Request::kRaw, 1, true);
  Result<Ref> refused = symbols.Intern("name");
  platform::faults::Reset();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(symbols.symbol_count(), 0u);
  EXPECT_EQ(symbols.FindSymbol("name"), Ref{});
  EXPECT_EQ(TextOf(Intern(symbols, "name")), "name");
}

TEST_F(SymbolTableTest, ItemsAreRemovedFromChainsThatWrapAround) {
  GroupAllocator allocator;
  PublishedSet set(allocator);
  // Hashes at the end of the first table, of 64 entries: its chains go on at its beginning.
  const auto hash_of = [](uintptr_t item) { return uint64_t{60} + item % 4; };
  for (uintptr_t kept = 0; kept < 5; ++kept) {
    set.Clear();
    for (uintptr_t item = 1; item <= 24; ++item) {
      ASSERT_TRUE(set.Reserve());
      set.Add(hash_of(item), item);
    }
    set.RemoveUnless([&](uintptr_t item) { return item % 5 == kept; });
    for (uintptr_t item = 1; item <= 24; ++item) {
      EXPECT_EQ(set.Find(hash_of(item), [&](uintptr_t at) { return at == item; }),
                item % 5 == kept ? item : 0);
    }
    ASSERT_TRUE(set.Reserve());
    set.Add(63, 100);
    EXPECT_EQ(set.Find(63, [](uintptr_t at) { return at == 100; }), 100u);
  }
}

TEST_F(SymbolTableTest, ItemsOfOneHashAreToldApart) {
  GroupAllocator allocator;
  {
    PublishedSet set(allocator);
    for (uintptr_t item = 1; item <= 500; ++item) {
      ASSERT_TRUE(set.Reserve());
      set.Add(item % 3, item);
    }
    EXPECT_EQ(set.native_bytes(), allocator.bytes());
    for (uintptr_t item = 1; item <= 500; ++item) {
      EXPECT_EQ(set.Find(item % 3, [&](uintptr_t at) { return at == item; }), item);
      EXPECT_EQ(set.Find(item % 3 + 1, [&](uintptr_t at) { return at == item && at % 3 == 2; }),
                0u);
    }
    size_t visited = 0;
    set.ForEach([&](uintptr_t) { ++visited; });
    EXPECT_EQ(visited, 500u);
    const size_t with_old_tables = set.native_bytes();
    set.RemoveUnless([](uintptr_t item) { return item % 5 != 0; });
    EXPECT_LT(set.native_bytes(), with_old_tables);
    EXPECT_EQ(set.native_bytes(), allocator.bytes());
    EXPECT_EQ(set.count(), 400u);
    for (uintptr_t item = 1; item <= 500; ++item) {
      EXPECT_EQ(set.Find(item % 3, [&](uintptr_t at) { return at == item; }),
                item % 5 == 0 ? 0 : item);
    }
    set.Clear();
    EXPECT_EQ(allocator.bytes(), 0u);
    EXPECT_EQ(set.Find(0, [](uintptr_t) { return true; }), 0u);
    ASSERT_TRUE(set.Reserve());
    set.Add(7, 8);
    EXPECT_EQ(set.Find(7, [](uintptr_t) { return true; }), 8u);
  }
  EXPECT_EQ(allocator.bytes(), 0u);
}

}  // namespace
}  // namespace Atoll
