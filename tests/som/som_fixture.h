// Programs of SOM that a test gives as text.
#ifndef ATOLL_TESTS_SOM_SOM_FIXTURE_H_
#define ATOLL_TESTS_SOM_SOM_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "universe.h"

namespace som {

class SomTest : public ::testing::Test {
 protected:
  struct Ran {
    int code;
    std::string out;
    std::string err;
  };

  SomTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("atoll_som_" + std::to_string(getpid()) + "_" + info->name());
    std::filesystem::create_directories(folder_);
    options.class_path = {SOM_FOLDER "/lib", folder_.string()};
  }
  ~SomTest() override { std::filesystem::remove_all(folder_); }

  /// Writes NAME.som; `text` is the whole of it.
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / (name + ".som")) << text;
  }
  std::string PathOf(const std::string& name) const { return (folder_ / (name + ".som")).string(); }

  /// Runs the class of that name.
  Ran Run(const std::string& name) {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    int code;
    {
      auto universe = Universe::Create(options);
      if (universe.ok()) {
        code = universe.value()->Run({name});
        if (after_run) after_run(*universe.value());
      } else {
        std::fprintf(stderr, "%s\n", universe.status().message().c_str());
        code = -1;
      }
    }
    std::fflush(stdout);
    return {code, ::testing::internal::GetCapturedStdout(),
            ::testing::internal::GetCapturedStderr()};
  }
  /// Runs a class with these methods, of which one is `run`.
  Ran RunMethods(const std::string& methods) {
    Write("Main", "Main = (\n" + methods + "\n)");
    return Run("Main");
  }
  /// What a method of such statements prints; it ends well. With optimized code it prints the same.
  std::string Output(const std::string& statements) {
    const HotCodeOptions given = options.hot_code;
    const Ran ran = RunMethods("run = (\n" + statements + "\n)");
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.err, "");
    CompileAtOnce();
    const Ran optimized = RunMethods("run = (\n" + statements + "\n)");
    options.hot_code = given;
    EXPECT_EQ(optimized.code, 0) << optimized.err;
    EXPECT_EQ(optimized.out, ran.out);
    return ran.out;
  }
  /// All that is called more than once is optimized, before it goes on.
  void CompileAtOnce() {
    options.hot_code.calls = 2;
    options.hot_code.calls_per_look = 1;
    options.hot_code.waits = true;
  }
  /// What an expression is, as a string.
  std::string Value(const std::string& expression) {
    std::string text = Output("(" + expression + ") println");
    if (!text.empty()) text.pop_back();
    return text;
  }
  /// What is said when the statements fail; they do.
  std::string Error(const std::string& statements) {
    const Ran ran = RunMethods("run = (\n" + statements + "\n)");
    EXPECT_EQ(ran.code, 1) << ran.out;
    return ran.err;
  }

  UniverseOptions options;
  std::function<void(Universe&)> after_run;

 private:
  std::filesystem::path folder_;
};

}  // namespace som

#endif  // ATOLL_TESTS_SOM_SOM_FIXTURE_H_
