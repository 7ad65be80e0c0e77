// 500 seeds of the whole group under faults. A failing seed is replayed with
//   mqsim --seed S --runs 1 --members M --trace
#include "tests/sim/store_simulation.h"

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::sim {
namespace {

using ::testing::IsEmpty;

SimulationOptions OptionsOf(uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.members = seed % 4 == 3 ? 5 : 3;
  options.fault_nanos = 20 * kSecond;
  return options;
}

// Tens of seeds in each case, so that cases can run side by side.
class StoreSimulation : public ::testing::TestWithParam<int> {
 protected:
  static void SetUpTestSuite() { FLAGS_minloglevel = google::GLOG_FATAL; }
};

TEST_P(StoreSimulation, KeepsEveryPromiseUnderFaultsAndConvergesAfterwards) {
  constexpr uint64_t kSeedsPerCase = 25;
  SimulationResult total;
  for (uint64_t i = 0; i < kSeedsPerCase; ++i) {
    const SimulationOptions options =
        OptionsOf(static_cast<uint64_t>(GetParam()) * kSeedsPerCase + i + 1);
    const SimulationResult result = RunSimulation(options);
    EXPECT_THAT(result.violations, IsEmpty())
        << "replay: mqsim --seed " << options.seed << " --runs 1 --members " << options.members
        << " --seconds 20 --trace";
    for (const SimulationCount& count : kSimulationCounts) total.*count.of += result.*count.of;
  }
  for (const SimulationCount& count : kSimulationCounts) {
    if (count.expected > 0) EXPECT_GT(total.*count.of, count.expected) << count.what;
  }
  EXPECT_GT(total.kept_delivered, 0u);
  EXPECT_GT(total.fenced, 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreSimulation, ::testing::Range(0, 20));

TEST(StoreSimulationRepeats, EqualSeedsGiveEqualHistories) {
  for (uint64_t seed : {7, 8, 11}) {
    const SimulationResult first = RunSimulation(OptionsOf(seed));
    const SimulationResult second = RunSimulation(OptionsOf(seed));
    EXPECT_EQ(first.fingerprint, second.fingerprint) << "seed " << seed;
    EXPECT_EQ(first.tasks, second.tasks) << "seed " << seed;
  }
}

}  // namespace
}  // namespace raftmq::sim
