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
  size_t acknowledged = 0;
  size_t redelivered = 0;
  size_t waited = 0;
  size_t dead_lettered = 0;
  size_t repeats = 0;
  size_t redriven = 0;
  size_t bystanders_consumed = 0;
  size_t bystanders_spared = 0;
  size_t expired = 0;
  size_t kept_delivered = 0;
  size_t classic_consumed = 0;
  size_t hand_overs = 0;
  size_t moves = 0;
  size_t undos = 0;
  size_t fenced = 0;
  size_t lite_consumed = 0;
  size_t lite_subscriptions = 0;
  size_t over_lite_quota = 0;
  size_t lite_deleted = 0;
  size_t renewed = 0;
  size_t outlasted = 0;
  size_t not_renewed = 0;
  size_t priority_consumed = 0;
  size_t overtaken = 0;
  for (uint64_t i = 0; i < kSeedsPerCase; ++i) {
    const SimulationOptions options =
        OptionsOf(static_cast<uint64_t>(GetParam()) * kSeedsPerCase + i + 1);
    const SimulationResult result = RunSimulation(options);
    EXPECT_THAT(result.violations, IsEmpty())
        << "replay: mqsim --seed " << options.seed << " --runs 1 --members " << options.members
        << " --seconds 20 --trace";
    acknowledged += result.acknowledged;
    redelivered += result.redelivered;
    waited += result.waited;
    dead_lettered += result.dead_lettered;
    repeats += result.repeats;
    redriven += result.redriven;
    bystanders_consumed += result.bystanders_consumed;
    bystanders_spared += result.bystanders_spared;
    expired += result.expired;
    kept_delivered += result.kept_delivered;
    classic_consumed += result.classic_consumed;
    hand_overs += result.hand_overs;
    moves += result.moves;
    undos += result.undos;
    fenced += result.fenced;
    lite_consumed += result.lite_consumed;
    lite_subscriptions += result.lite_subscriptions;
    over_lite_quota += result.over_lite_quota;
    lite_deleted += result.lite_deleted;
    renewed += result.renewed;
    outlasted += result.outlasted;
    not_renewed += result.not_renewed;
    priority_consumed += result.priority_consumed;
    overtaken += result.overtaken;
  }
  // A run in which nothing ever succeeds would keep every promise too.
  EXPECT_GT(acknowledged, 1'000u);
  EXPECT_GT(redelivered, 100u);
  EXPECT_GT(waited, 1'000u);
  EXPECT_GT(dead_lettered, 100u);
  EXPECT_GT(repeats, 100u);
  EXPECT_GT(redriven, 100u);
  EXPECT_GT(bystanders_consumed, 1'000u);
  EXPECT_GT(bystanders_spared, 10u);
  EXPECT_GT(expired, 1'000u);
  EXPECT_GT(kept_delivered, 0u);
  EXPECT_GT(classic_consumed, 1'000u);
  EXPECT_GT(hand_overs, 130u);
  EXPECT_GT(moves, 35u);
  EXPECT_GT(undos, 6u);
  EXPECT_GT(fenced, 0u);
  EXPECT_GT(lite_consumed, 160u);
  EXPECT_GT(lite_subscriptions, 90u);
  EXPECT_GT(over_lite_quota, 10u);
  EXPECT_GT(lite_deleted, 25u);
  EXPECT_GT(renewed, 200u);
  EXPECT_GT(outlasted, 150u);
  EXPECT_GT(not_renewed, 80u);
  EXPECT_GT(priority_consumed, 600u);
  EXPECT_GT(overtaken, 80u);
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
