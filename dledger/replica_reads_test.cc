// Linearizable reads (ReadIndex), by a group of real replicas in simulated time.
#include <memory>
#include <optional>

#include "dledger/read_index.h"
#include "dledger/replica.h"
#include "gtest/gtest.h"
#include "tests/sim/log_workload.h"
#include "tests/sim/sim_cluster.h"

namespace raftmq::dledger {
namespace {

using sim::kSecond;

class ReplicaReadsTest : public ::testing::Test {
 protected:
  using Answer = std::shared_ptr<std::optional<absl::StatusOr<LogIndex>>>;

  void Start(int members) {
    sim::SimCluster::Options options;
    options.members = members;
    cluster_ =
        std::make_unique<sim::SimCluster>(&scheduler_, options, [this](int member, FileSystem*) {
          return std::make_unique<sim::RecordingStateMachine>(&oracle_, member);
        });
    cluster_->StartAll();
    ASSERT_GE(cluster_->AwaitLeader(), 0);
  }

  Answer Read(int member) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<LogIndex>>>();
    cluster_->replica(member)->ReadIndex(
        [answer](absl::StatusOr<LogIndex> index) { *answer = std::move(index); });
    return answer;
  }
  absl::StatusOr<LogIndex> Await(const Answer& answer) {
    EXPECT_TRUE(scheduler_.RunUntil([&] { return answer->has_value(); }, 10 * kSecond));
    return answer->has_value() ? **answer : absl::InternalError("no answer");
  }

  // Where it was committed.
  LogIndex Write(int leader) {
    std::optional<ProposalOutcome> outcome;
    cluster_->replica(leader)->Propose(std::make_unique<sim::TestProposal>(
        &oracle_, next_id_++, sim::Deed::kRecord, 100, AckLevel::kMajorityDisk,
        [&](const ProposalOutcome& ended) { outcome = ended; }));
    EXPECT_TRUE(scheduler_.RunUntil([&] { return outcome.has_value(); }, 10 * kSecond));
    EXPECT_TRUE(outcome->status.ok()) << outcome->status;
    return outcome->index;
  }

  sim::SimScheduler scheduler_{20261127};
  sim::LogOracle oracle_;
  std::unique_ptr<sim::SimCluster> cluster_;
  uint64_t next_id_ = 1;
};

TEST_F(ReplicaReadsTest, AReadSeesWhatWasCommittedBeforeItAndWritesNothing) {
  Start(3);
  const int leader = cluster_->ServingLeader();
  const LogIndex written = Write(leader);
  const LogIndex last = cluster_->replica(leader)->node().last_index();
  for (int i = 0; i < 100; ++i) {
    const auto index = Await(Read(leader));
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_GE(*index, written);
  }
  EXPECT_EQ(cluster_->replica(leader)->node().last_index(), last);
}

TEST_F(ReplicaReadsTest, ALeaderThatWasReplacedUnawaresConfirmsNoRead) {
  Start(3);
  const int old = cluster_->ServingLeader();
  Write(old);
  cluster_->Isolate({old});
  const Answer stale = Read(old);
  const bool replaced = scheduler_.RunUntil(
      [&] { return cluster_->ServingLeader() >= 0 && cluster_->ServingLeader() != old; },
      10 * kSecond);
  ASSERT_TRUE(replaced);
  Write(cluster_->ServingLeader());
  const auto index = Await(stale);
  EXPECT_TRUE(absl::IsFailedPrecondition(index.status())) << index.status();
}

TEST_F(ReplicaReadsTest, OnlyTheLeaderConfirmsReads) {
  Start(3);
  const int follower = (cluster_->ServingLeader() + 1) % 3;
  EXPECT_TRUE(absl::IsFailedPrecondition(Await(Read(follower)).status()));
}

TEST_F(ReplicaReadsTest, ReadsAreConfirmedThroughALossyNetwork) {
  Start(3);
  LinkFaults faults;
  faults.drop = 0.3;
  cluster_->network().SetFaults(faults);
  for (int i = 0; i < 50; ++i) {
    // Elections may come in between.
    const int leader = cluster_->AwaitLeader();
    ASSERT_GE(leader, 0);
    const auto index = Await(Read(leader));
    EXPECT_TRUE(index.ok() || absl::IsFailedPrecondition(index.status())) << index.status();
  }
}

TEST_F(ReplicaReadsTest, WhatWaitsWhenAMemberStopsIsTold) {
  Start(3);
  const int leader = cluster_->ServingLeader();
  cluster_->Isolate({leader});
  const Answer waiting = Read(leader);
  ASSERT_TRUE(cluster_->Stop(leader).ok());
  ASSERT_TRUE(waiting->has_value());
  EXPECT_FALSE((*waiting)->ok());
}

TEST_F(ReplicaReadsTest, AGroupOfOneConfirmsItsOwn) {
  Start(1);
  const LogIndex written = Write(0);
  const auto index = Await(Read(0));
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(*index, written);
}

}  // namespace
}  // namespace raftmq::dledger
