// Runs testdata/*.txt and compares each command's output with the expected text beside it.
//
//   RAFTMQ_REWRITE=1 bazel run //raft:script_test
//
// writes the actual output into the files instead: read the diff as you would read code.
#include "raft/testing/script.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace raftmq::raft {
namespace {

namespace fs = std::filesystem;

fs::path TestData() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");  // set by `bazel run`
  return fs::path(workspace == nullptr ? "." : workspace) / "raft" / "testdata";
}

std::vector<std::string> ScriptNames() {
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(TestData())) {
    if (file.path().extension() == ".txt") names.push_back(file.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class ScriptTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ScriptTest, GivesTheExpectedOutput) {
  const fs::path path = TestData() / (GetParam() + ".txt");
  const std::string expected = Read(path);
  ASSERT_FALSE(expected.empty()) << path;
  const std::string actual = testing::Script().Run(expected);
  if (std::getenv("RAFTMQ_REWRITE") != nullptr) {
    std::ofstream(path, std::ios::binary) << actual;
    return;
  }
  EXPECT_EQ(actual, expected) << "if this change is meant: RAFTMQ_REWRITE=1 bazel run "
                                 "//raft:script_test, and review the diff of "
                              << path;
}

INSTANTIATE_TEST_SUITE_P(Scripts, ScriptTest, ::testing::ValuesIn(ScriptNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace raftmq::raft
