// What a user of the Ledger relies on, member by member, in simulated time.
#include "dledger/replica.h"

#include <functional>
#include <string>
#include <vector>

#include "base/strings.h"
#include "dledger/hard_state_file.h"
#include "dledger/log_files.h"
#include "dledger/repair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/log_workload.h"
#include "tests/sim/sim_cluster.h"

namespace raftmq::dledger {
namespace {

using sim::Deed;
using sim::kMillisecond;
using sim::kSecond;
using sim::RecordingStateMachine;
using sim::SimCluster;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReplicaTest : public ::testing::Test {
 protected:
  void MakeCluster(int members, SimCluster::Options options = {}) {
    options.members = members;
    cluster_ = std::make_unique<SimCluster>(&scheduler_, options, [this](int member, FileSystem*) {
      auto machine = std::make_unique<RecordingStateMachine>(&oracle_, member);
      machines_[member] = machine.get();
      return machine;
    });
  }

  void StartWithLeader(int members, SimCluster::Options options = {}) {
    MakeCluster(members, std::move(options));
    cluster_->StartAll();
    leader_ = cluster_->AwaitLeader();
    ASSERT_GE(leader_, 0) << "no leader";
  }

  // An outcome that has not come yet has no status code of its own: `done` says.
  struct Answer {
    bool done = false;
    ProposalOutcome outcome;
  };

  std::shared_ptr<Answer> Propose(int member, Deed deed, size_t size = 100,
                                  AckLevel level = AckLevel::kMajorityDisk) {
    auto answer = std::make_shared<Answer>();
    cluster_->replica(member)->Propose(std::make_unique<sim::TestProposal>(
        &oracle_, next_id_++, deed, size, level, [answer](const ProposalOutcome& outcome) {
          answer->done = true;
          answer->outcome = outcome;
        }));
    return answer;
  }

  // Runs until it is answered.
  ProposalOutcome Await(const std::shared_ptr<Answer>& answer, int64_t nanos = 10 * kSecond) {
    EXPECT_TRUE(scheduler_.RunUntil([&] { return answer->done; }, nanos)) << "no answer";
    return answer->outcome;
  }

  ProposalOutcome Call(Deed deed, size_t size = 100, AckLevel level = AckLevel::kMajorityDisk) {
    return Await(Propose(leader_, deed, size, level));
  }

  LedgerStatus StatusOf(int member) { return *cluster_->replica(member)->Status(); }

  bool AwaitApplied(int member, LogIndex index) {
    return scheduler_.RunUntil([&] { return StatusOf(member).applied_index >= index; },
                               10 * kSecond);
  }

  // Everybody has applied all there is.
  bool AwaitAgreement() {
    return scheduler_.RunUntil(
        [&] {
          for (int i = 0; i < cluster_->size(); ++i) {
            if (!cluster_->running(i)) continue;
            if (StatusOf(i).applied_index < oracle_.highest_applied()) return false;
          }
          return true;
        },
        20 * kSecond);
  }

  int Follower() const { return leader_ == 0 ? 1 : 0; }

  static constexpr char kDir[] = "/data/store";
  static std::string Segment(int64_t start) {
    return SegmentPath(StrCat(kDir, "/gen-00000001"), LogPosition(start));
  }

  // Hands leadership on if need be: then the member is whole, durably, and so is what it applied.
  void ExpectRepaired(int damaged) {
    const auto whole = [&] { return !cluster_->replica(damaged)->node().damaged(); };
    if (!scheduler_.RunUntil(whole, kSecond)) {
      cluster_->replica(leader_)->TransferLeadership(kNoMember, [](absl::Status) {});
    }
    ASSERT_TRUE(scheduler_.RunUntil(whole, 10 * kSecond));
    leader_ = cluster_->AwaitLeader();
    ASSERT_TRUE(Call(Deed::kRecord).status.ok());
    EXPECT_TRUE(AwaitAgreement());
    EXPECT_EQ(StatusOf(damaged).damage, "");
    cluster_->Crash(damaged, SimCluster::End::kPowerLoss);
    ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
    const Replica& replica = *cluster_->replica(damaged);
    EXPECT_FALSE(replica.node().damaged()) << "the flag is gone durably";
    for (LogIndex i(1); i <= replica.log().LastIndex(); ++i) {
      const auto entry = replica.log().EntryAt(i);
      ASSERT_TRUE(entry.ok()) << entry.status();
      EXPECT_TRUE(replica.log().ReadSlice(std::span(&*entry, 1)).ok()) << i;
    }
    EXPECT_THAT(oracle_.Violations(), IsEmpty());
  }

  sim::SimScheduler scheduler_{20240101};
  sim::LogOracle oracle_;
  std::map<int, RecordingStateMachine*> machines_;
  std::unique_ptr<SimCluster> cluster_;
  int leader_ = -1;
  uint64_t next_id_ = 1;
};

// ---- One member ----

TEST_F(ReplicaTest, AGroupOfOneCommitsWhenItsDiskHasIt) {
  StartWithLeader(1);
  const ProposalOutcome outcome = Call(Deed::kRecord);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(outcome.committed);
  EXPECT_EQ(outcome.index, LogIndex(3));  // after the configuration and the no-op
  EXPECT_TRUE(AwaitApplied(0, outcome.index));
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaTest, ConsecutiveRecordsShareAFrameAndCommandsHaveTheirOwn) {
  StartWithLeader(1);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 10; ++i) answers.push_back(Propose(0, Deed::kRecord));
  for (int i = 0; i < 10; ++i) answers.push_back(Propose(0, Deed::kCommand));
  answers.push_back(Propose(0, Deed::kRecord));
  for (const auto& answer : answers) EXPECT_TRUE(Await(answer).status.ok());
  EXPECT_EQ(answers[0]->outcome.index, answers[9]->outcome.index);
  EXPECT_EQ(answers[10]->outcome.index, answers[9]->outcome.index + 1);
  EXPECT_EQ(answers[19]->outcome.index, answers[10]->outcome.index);
  EXPECT_EQ(answers[20]->outcome.index, answers[19]->outcome.index + 1);
}

TEST_F(ReplicaTest, ARefusedProposalIsAnsweredAtOnceAndLeavesNothing) {
  StartWithLeader(1);
  const LogIndex before = StatusOf(0).last_index;
  EXPECT_TRUE(absl::IsInvalidArgument(Call(Deed::kRefuse).status));
  EXPECT_TRUE(absl::IsAborted(Call(Deed::kWriteAndRefuse).status));
  scheduler_.RunFor(kSecond);
  EXPECT_EQ(StatusOf(0).last_index, before);
  const ProposalOutcome next = Call(Deed::kRecord);
  EXPECT_EQ(next.index, before + 1);
  EXPECT_TRUE(AwaitApplied(0, next.index));
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaTest, ADecisionThatLogsNothingWaitsForWhatItMayRestOn) {
  StartWithLeader(3);
  cluster_->Isolate({leader_});
  const auto logged = Propose(leader_, Deed::kRecord);
  const auto unlogged = Propose(leader_, Deed::kNothing);
  scheduler_.RunFor(200 * kMillisecond);
  EXPECT_FALSE(logged->done);
  EXPECT_FALSE(unlogged->done) << "answered from a decision that may vanish";
  EXPECT_TRUE(absl::IsUnknown(Await(logged).status));
  EXPECT_TRUE(absl::IsFailedPrecondition(Await(unlogged).status));
}

TEST_F(ReplicaTest, ADecisionThatLogsNothingIsAnsweredOnceAllBeforeItIsCommitted) {
  StartWithLeader(3);
  const auto logged = Propose(leader_, Deed::kRecord);
  const auto unlogged = Propose(leader_, Deed::kNothing);
  EXPECT_TRUE(Await(unlogged).status.ok());
  EXPECT_TRUE(logged->done);
  EXPECT_EQ(unlogged->outcome.index, LogIndex(0));
}

TEST_F(ReplicaTest, ARecordLargerThanAFrameIsRefusedByName) {
  SimCluster::Options options;
  options.segment_size = 16 << 10;
  StartWithLeader(1, options);
  const ProposalOutcome outcome = Call(Deed::kRecord, 5000);
  EXPECT_TRUE(absl::IsInvalidArgument(outcome.status));
  EXPECT_THAT(std::string(Message(outcome.status)), HasSubstr("a quarter of a segment"));
  EXPECT_TRUE(Call(Deed::kRecord, 4000).status.ok());
}

TEST_F(ReplicaTest, PositionsHoldAcrossManySegments) {
  SimCluster::Options options;
  options.segment_size = 8 << 10;
  StartWithLeader(3, options);
  LogIndex last;
  for (int i = 0; i < 300; ++i) {
    const Deed deed = i % 3 == 0   ? Deed::kAtomicRecords
                      : i % 3 == 1 ? Deed::kRecord
                                   : Deed::kCommand;
    const ProposalOutcome outcome = Call(deed, static_cast<size_t>(20 + (i * 37) % 600));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    last = outcome.index;
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(AwaitApplied(i, last));
  EXPECT_GT(StatusOf(leader_).end_position, LogPosition(8 * (8 << 10)));
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaTest, ARestartAppliesTheRestOfTheLogFromTheDisk) {
  SimCluster::Options options;
  options.segment_size = 8 << 10;
  StartWithLeader(1, options);
  LogIndex last;
  for (int i = 0; i < 100; ++i) last = Call(Deed::kRecord, 300).index;
  ASSERT_TRUE(AwaitApplied(0, last));
  oracle_.SetFlushed(0, LogIndex(7));
  cluster_->Crash(0, SimCluster::End::kPowerLoss);
  ASSERT_TRUE(cluster_->Start(0).ok());
  ASSERT_TRUE(AwaitApplied(0, last));
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaTest, TheQueueOfProposalsIsBounded) {
  SimCluster::Options options;
  options.replica.waiting.max_count = 10;
  StartWithLeader(1, options);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 11; ++i) answers.push_back(Propose(0, Deed::kRecord));
  ASSERT_TRUE(answers[10]->done) << "the eleventh is answered on the proposer's thread";
  EXPECT_TRUE(absl::IsResourceExhausted(answers[10]->outcome.status));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Await(answers[i]).status.ok());
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
}

TEST_F(ReplicaTest, ProposalsBeyondTheUncommittedLimitWaitAndPass) {
  SimCluster::Options options;
  options.replica.max_uncommitted_bytes = 4096;
  StartWithLeader(3, options);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(Propose(leader_, Deed::kRecord, 1000));
  for (const auto& answer : answers) EXPECT_TRUE(Await(answer).status.ok());
  EXPECT_TRUE(AwaitAgreement());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaTest, WhatIsLoggedAndNotAppliedIsBounded) {
  SimCluster::Options options;
  options.replica.max_unapplied_bytes = 8192;
  options.replica.apply.batch_bytes = 1024;
  options.max_apply_nanos = 20 * kMillisecond;
  StartWithLeader(3, options);
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(Propose(leader_, Deed::kRecord, 1000));
  const Replica& leader = *cluster_->replica(leader_);
  int64_t most = 0;
  EXPECT_TRUE(scheduler_.RunUntil(
      [&] {
        most = std::max(
            most, leader.node().last_end() - *leader.log().EndAt(leader.node().applied_index()));
        return answers.back()->done;
      },
      20 * kSecond));
  EXPECT_GT(most, 4096);
  EXPECT_LE(most, 8192 + 2048);
  for (const auto& answer : answers) EXPECT_TRUE(Await(answer).status.ok());
  EXPECT_TRUE(AwaitAgreement());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

// ---- Failing ----

TEST_F(ReplicaTest, AFailedSyncStopsTheReplicaAndNothingIsAcknowledgedAfter) {
  StartWithLeader(1);
  FileFault fault;
  fault.op = FileOp::kDataSync;
  fault.path_contains = "commitlog";
  fault.status = absl::UnavailableError("injected EIO");
  cluster_->disk(0).AddFault(fault);
  const ProposalOutcome outcome = Call(Deed::kRecord);
  EXPECT_TRUE(absl::IsUnknown(outcome.status)) << outcome.status;
  EXPECT_FALSE(cluster_->failure(0).ok());
  EXPECT_EQ(StatusOf(0).role, Role::kStopped);
  EXPECT_THAT(std::string(Message(StatusOf(0).failure)), HasSubstr("injected EIO"));
  EXPECT_TRUE(absl::IsUnavailable(Call(Deed::kRecord).status));
}

TEST_F(ReplicaTest, AHardStateThatCannotBeWrittenStopsTheReplicaBeforeItVotes) {
  MakeCluster(3);
  FileFault fault;
  fault.path_contains = "hardstate";
  fault.times = -1;
  fault.status = absl::UnavailableError("injected EIO");
  for (const FileOp op : {FileOp::kWrite, FileOp::kCreate, FileOp::kRename}) {
    fault.op = op;
    cluster_->disk(0).AddFault(fault);
    cluster_->disk(1).AddFault(fault);
  }
  cluster_->StartAll();
  EXPECT_EQ(cluster_->AwaitLeader(5 * kSecond), -1) << "a vote was given that no disk remembers";
  EXPECT_FALSE(cluster_->failure(0).ok() && cluster_->failure(1).ok());
}

TEST_F(ReplicaTest, AnErrorOfTheStateMachineStopsTheReplica) {
  StartWithLeader(3);
  const int follower = Follower();
  machines_[follower]->FailNextApply(absl::InternalError("unknown command 77"));
  const ProposalOutcome outcome = Call(Deed::kRecord);
  EXPECT_TRUE(outcome.status.ok());
  scheduler_.RunFor(kSecond);
  EXPECT_THAT(std::string(Message(cluster_->failure(follower))), HasSubstr("unknown command 77"));
  EXPECT_TRUE(Call(Deed::kRecord).status.ok()) << "the others go on";
}

TEST_F(ReplicaTest, AFullDiskRefusesProposalsAndRecovers) {
  SimCluster::Options options;
  options.segment_size = 8 << 10;
  options.replica.log.reserve_bytes = 32 << 10;
  StartWithLeader(1, options);
  cluster_->disk(0).SetCapacity(cluster_->disk(0).UsedBytes() + (64 << 10));
  ProposalOutcome outcome;
  for (int i = 0; i < 200; ++i) {
    outcome = Call(Deed::kRecord, 500);
    if (!outcome.status.ok()) break;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(outcome.status)) << outcome.status;
  EXPECT_TRUE(cluster_->failure(0).ok());
  cluster_->disk(0).SetCapacity(-1);
  scheduler_.RunFor(5 * kSecond);
  EXPECT_TRUE(Call(Deed::kRecord, 500).status.ok());
  scheduler_.RunFor(kSecond);
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

// ---- Leading and following ----

TEST_F(ReplicaTest, AFollowerRefusesWithTheLeadersName) {
  StartWithLeader(3);
  scheduler_.RunFor(kSecond);
  const ProposalOutcome outcome = Await(Propose(Follower(), Deed::kRecord));
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status));
  EXPECT_THAT(std::string(Message(outcome.status)),
              HasSubstr(StrCat("member ", SimCluster::IdOf(leader_), " is")));
}

TEST_F(ReplicaTest, ProposalsThatCameBeforeTheNoOpWasAppliedAreDecidedThen) {
  MakeCluster(3);
  cluster_->StartAll();
  ASSERT_TRUE(scheduler_.RunUntil(
      [&] {
        for (int i = 0; i < 3; ++i) {
          if (cluster_->replica(i)->node().role() == raft::Role::kLeader) leader_ = i;
        }
        return leader_ >= 0;
      },
      10 * kSecond));
  ASSERT_FALSE(StatusOf(leader_).serving);
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
}

TEST_F(ReplicaTest, TheOtherMembersTakeOverFromAKilledLeaderFast) {
  StartWithLeader(3);
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
  const int old = leader_;
  const int64_t killed = scheduler_.now();
  cluster_->Crash(old, SimCluster::End::kKill);
  leader_ = cluster_->AwaitLeader();
  ASSERT_GE(leader_, 0);
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
  // The closed connection starts the election, not the timeout.
  EXPECT_LT(scheduler_.now() - killed, 200 * kMillisecond);
  ASSERT_TRUE(cluster_->Start(old).ok());
  EXPECT_TRUE(AwaitAgreement());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaTest, ALeaderThatWasStoppedForLongDoesNotServeWhenItWakes) {
  StartWithLeader(3);
  const int old = leader_;
  cluster_->Pause(old, 3 * kSecond);
  // Asked the moment it wakes: it must know better than to decide.
  const auto late = Propose(old, Deed::kRecord);
  scheduler_.RunFor(2900 * kMillisecond);
  EXPECT_FALSE(late->done);
  leader_ = cluster_->AwaitLeader();
  ASSERT_GE(leader_, 0);
  const ProposalOutcome outcome = Await(late);
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status)) << outcome.status;
  EXPECT_NE(cluster_->AwaitLeader(), old);
}

TEST_F(ReplicaTest, ALeaderCutOffStepsDownAndAnswersUnknown) {
  StartWithLeader(3);
  cluster_->Isolate({leader_});
  const auto logged = Propose(leader_, Deed::kRecord);
  const ProposalOutcome outcome = Await(logged, 2 * kSecond);
  EXPECT_TRUE(absl::IsUnknown(outcome.status)) << outcome.status;
  EXPECT_FALSE(StatusOf(leader_).serving);
  cluster_->HealNetwork();
  ASSERT_GE(cluster_->AwaitLeader(), 0);
  EXPECT_TRUE(AwaitAgreement());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaTest, LeadershipIsHandedToTheMemberAskedFor) {
  StartWithLeader(3);
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
  const int target = Follower();
  absl::Status result = absl::UnknownError("not answered");
  cluster_->replica(leader_)->TransferLeadership(SimCluster::IdOf(target),
                                                 [&](absl::Status status) { result = status; });
  ASSERT_TRUE(scheduler_.RunUntil([&] { return cluster_->ServingLeader() == target; }, kSecond));
  scheduler_.RunFor(100 * kMillisecond);
  EXPECT_TRUE(result.ok()) << result;
  leader_ = target;
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
}

TEST_F(ReplicaTest, ALeaderThatIsToldToStepDownHandsOverToWhoeverIsBest) {
  StartWithLeader(3);
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
  const int old = leader_;
  absl::Status result = absl::UnknownError("not answered");
  const auto step_down = [&] {
    cluster_->replica(leader_)->TransferLeadership(kNoMember,
                                                   [&](absl::Status status) { result = status; });
  };
  step_down();
  ASSERT_TRUE(scheduler_.RunUntil([&] { return cluster_->ServingLeader() != old; }, kSecond));
  scheduler_.RunFor(200 * kMillisecond);
  EXPECT_TRUE(result.ok()) << result;
  leader_ = cluster_->AwaitLeader();
  ASSERT_NE(leader_, old);
  for (int i = 0; i < 3; ++i) {
    if (i != leader_) cluster_->Crash(i, SimCluster::End::kKill);
  }
  scheduler_.RunFor(50 * kMillisecond);
  step_down();
  scheduler_.RunFor(50 * kMillisecond);
  EXPECT_TRUE(absl::IsFailedPrecondition(result)) << "there is nobody to lead: " << result;
}

TEST_F(ReplicaTest, AStoppedLeaderHandsOverFirstAndLosesNothing) {
  StartWithLeader(3);
  const int old = leader_;
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 20; ++i) answers.push_back(Propose(old, Deed::kRecord));
  scheduler_.RunFor(300 * sim::kMicrosecond);
  const int64_t began = scheduler_.now();
  EXPECT_TRUE(cluster_->Stop(old).ok());
  EXPECT_LT(scheduler_.now() - began, kSecond);
  for (const auto& answer : answers) EXPECT_TRUE(answer->done);
  leader_ = cluster_->AwaitLeader(100 * kMillisecond);
  ASSERT_GE(leader_, 0) << "the successor was to lead at once";
  ASSERT_TRUE(cluster_->Start(old).ok());
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
  EXPECT_TRUE(AwaitAgreement());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

// ---- Ack levels ----

TEST_F(ReplicaTest, LeaderMemoryIsAnsweredWithoutAnybodyElse) {
  StartWithLeader(3);
  cluster_->Isolate({leader_});
  const auto answer = Propose(leader_, Deed::kRecord, 100, AckLevel::kLeaderMemory);
  scheduler_.RunFor(5 * kMillisecond);
  EXPECT_TRUE(answer->done);
  EXPECT_TRUE(answer->outcome.status.ok());
  EXPECT_FALSE(answer->outcome.committed);
}

TEST_F(ReplicaTest, MajorityMemoryDoesNotWaitForTheDisks) {
  StartWithLeader(3);
  for (int i = 0; i < 3; ++i) {
    if (i == leader_) continue;
    cluster_->PauseDisk(i, 300 * kMillisecond);
  }
  const auto memory = Propose(leader_, Deed::kRecord, 100, AckLevel::kMajorityMemory);
  const auto disk = Propose(leader_, Deed::kRecord, 100, AckLevel::kMajorityDisk);
  scheduler_.RunFor(50 * kMillisecond);
  EXPECT_TRUE(memory->done);
  EXPECT_FALSE(disk->done);
  EXPECT_TRUE(Await(disk).status.ok());
}

TEST_F(ReplicaTest, AllDisksWaitsForTheLastVoterOrSaysThatItDidNotCome) {
  StartWithLeader(3);
  EXPECT_TRUE(Call(Deed::kRecord, 100, AckLevel::kAllDisks).status.ok());
  cluster_->Crash(Follower(), SimCluster::End::kKill);
  const ProposalOutcome outcome = Call(Deed::kRecord, 100, AckLevel::kAllDisks);
  EXPECT_TRUE(absl::IsUnknown(outcome.status));
  EXPECT_TRUE(outcome.committed);
}

// ---- Damage ----

TEST_F(ReplicaTest, AGroupOfOneWithADamagedLogRefusesToStart) {
  StartWithLeader(1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(Deed::kRecord).status.ok());
  scheduler_.RunFor(kSecond);
  ASSERT_TRUE(cluster_->Stop(0).ok());
  cluster_->DamageLog(0);
  const absl::Status started = cluster_->Start(0);
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_THAT(std::string(Message(started)), HasSubstr("Restore the directory from a backup"));
}

TEST_F(ReplicaTest, AGroupOfOneGoesOnAfterTheLossWasAccepted) {
  StartWithLeader(1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(Deed::kRecord).status.ok());
  scheduler_.RunFor(kSecond);
  const LogIndex before = StatusOf(0).last_index;
  ASSERT_TRUE(cluster_->Stop(0).ok());
  const auto repair = [&] {
    return AcceptLossAfterDamage(&cluster_->disk(0), kDir, [&](const std::string& generation) {
      EXPECT_EQ(generation, StrCat(kDir, "/gen-00000001"));
      oracle_.SetFlushed(0, LogIndex(0));
      return absl::OkStatus();
    });
  };
  EXPECT_FALSE(repair()->was_damaged) << "a whole log is left alone";
  cluster_->DamageLog(0);
  EXPECT_FALSE(cluster_->Start(0).ok());
  const auto repaired = repair();
  ASSERT_TRUE(repaired.ok()) << repaired.status();
  EXPECT_TRUE(repaired->was_damaged);
  EXPECT_THAT(repaired->damage, HasSubstr("known durable up to"));
  EXPECT_GE(repaired->last_index, LogIndex(1));
  EXPECT_LT(repaired->last_index, before);
  ASSERT_EQ(cluster_->Start(0), absl::OkStatus());
  ASSERT_EQ(cluster_->AwaitLeader(), 0);
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
}

TEST_F(ReplicaTest, TheLossOfAGroupOfOneThatKeptNothingCanBeAcceptedToo) {
  StartWithLeader(1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(Deed::kRecord).status.ok());
  ASSERT_TRUE(cluster_->Stop(0).ok());
  ASSERT_TRUE(cluster_->disk(0).Remove(Segment(0)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster_->Start(0)));
  const auto repaired = AcceptLossAfterDamage(&cluster_->disk(0), kDir, [&](const std::string&) {
    oracle_.SetFlushed(0, LogIndex(0));
    return absl::OkStatus();
  });
  ASSERT_TRUE(repaired.ok()) << repaired.status();
  EXPECT_EQ(repaired->last_index, LogIndex(1));
  ASSERT_EQ(cluster_->Start(0), absl::OkStatus());
  EXPECT_EQ(cluster_->AwaitLeader(), 0);
}

TEST_F(ReplicaTest, AMemberWhoseFirstEntryRottedIsRepairedByTheOthers) {
  StartWithLeader(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(Deed::kRecord).status.ok());
  EXPECT_TRUE(AwaitAgreement());
  const int damaged = Follower();
  ASSERT_TRUE(cluster_->Stop(damaged).ok());
  cluster_->disk(damaged).FlipBit(Segment(0), 60, 1);
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged());
  ExpectRepaired(damaged);
}

TEST_F(ReplicaTest, AMemberWhoseFirstSegmentIsGoneIsRepairedByTheOthers) {
  StartWithLeader(3);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Call(Deed::kRecord, 1000).status.ok());
  EXPECT_TRUE(AwaitAgreement());
  const int damaged = Follower();
  ASSERT_TRUE(cluster_->Stop(damaged).ok());
  ASSERT_TRUE(cluster_->disk(damaged).Remove(Segment(0)).ok());
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged());
  ExpectRepaired(damaged);
}

TEST_F(ReplicaTest, AnEmptyLogOfABootstrappedMemberIsDamage) {
  StartWithLeader(3);
  EXPECT_TRUE(AwaitAgreement());
  const int damaged = Follower();
  ASSERT_TRUE(cluster_->Stop(damaged).ok());
  // As if the whole file were new: nothing of it tells that it ever held anything.
  const size_t size = ReadFile(&cluster_->disk(damaged), Segment(0))->size();
  cluster_->disk(damaged).Overwrite(Segment(0), 0, std::string(size, '\0'));
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged());
  ExpectRepaired(damaged);
}

TEST_F(ReplicaTest, RotInAnOldSegmentIsFoundByTheScrubAndRepairedByTheOthers) {
  SimCluster::Options options;
  options.replica.scrub = {
      .first_ms = 500, .pause_ms = 500, .bytes_per_second = 1 << 20, .step_bytes = 16 << 10};
  StartWithLeader(3, options);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Call(Deed::kRecord, 1000).status.ok());
  EXPECT_TRUE(AwaitAgreement());
  scheduler_.RunFor(5 * kSecond);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(cluster_->failure(i).ok()) << cluster_->failure(i);
  const int damaged = Follower();
  cluster_->disk(damaged).FlipBit(Segment(65536), 30000, 3);
  ASSERT_TRUE(scheduler_.RunUntil([&] { return !cluster_->failure(damaged).ok(); }, 10 * kSecond));
  EXPECT_TRUE(absl::IsDataLoss(cluster_->failure(damaged))) << cluster_->failure(damaged);
  EXPECT_NE(StatusOf(damaged).damage, "");
  cluster_->Crash(damaged, SimCluster::End::kPowerLoss);
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged());
  ExpectRepaired(damaged);
  scheduler_.RunFor(5 * kSecond);
  EXPECT_TRUE(cluster_->failure(damaged).ok()) << "the next scrub finds nothing";
}

TEST_F(ReplicaTest, ALeaderThatFindsRotWhileItSendsIsRepairedAfterItsRestart) {
  SimCluster::Options options;
  options.replica.log.tail_bytes = options.replica.log.recent_bytes = 4096;
  StartWithLeader(3, options);
  const int late = Follower();
  cluster_->Crash(late, SimCluster::End::kKill);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Call(Deed::kRecord, 1000).status.ok());
  EXPECT_TRUE(AwaitAgreement());
  const int rotten = leader_;
  cluster_->disk(rotten).FlipBit(Segment(65536), 30000, 3);
  ASSERT_EQ(cluster_->Start(late), absl::OkStatus());
  ASSERT_TRUE(scheduler_.RunUntil([&] { return !cluster_->failure(rotten).ok(); }, 10 * kSecond));
  EXPECT_TRUE(absl::IsDataLoss(cluster_->failure(rotten))) << cluster_->failure(rotten);
  cluster_->Crash(rotten, SimCluster::End::kPowerLoss);
  leader_ = cluster_->AwaitLeader();
  ASSERT_EQ(cluster_->Start(rotten), absl::OkStatus());
  EXPECT_TRUE(cluster_->replica(rotten)->node().damaged()) << "it does not die again of the same";
  leader_ = cluster_->AwaitLeader();
  ExpectRepaired(rotten);
}

TEST_F(ReplicaTest, DamageThatIsFoundWhileStillFlaggedNeedsALaterLeader) {
  StartWithLeader(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(Deed::kRecord).status.ok());
  scheduler_.RunFor(kSecond);
  const int damaged = Follower();
  ASSERT_TRUE(cluster_->Stop(damaged).ok());
  // An earlier start found damage in term 1, and has not been healed since.
  const std::string flag = StrCat(kDir, "/damaged");
  ASSERT_TRUE(DamagedFlag(&cluster_->disk(damaged), flag).Set(Term(1), "earlier").ok());
  cluster_->DamageLog(damaged);
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_TRUE(AwaitAgreement());
  scheduler_.RunFor(kSecond);
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged())
      << "the present leader may owe its election to what was lost now";
  EXPECT_EQ(DamagedFlag::FoundIn(*DamagedFlag(&cluster_->disk(damaged), flag).Read()),
            StatusOf(leader_).term);
  ExpectRepaired(damaged);
}

TEST_F(ReplicaTest, ADamagedMemberIsRepairedByTheNextLeaderAndThenVotesAgain) {
  StartWithLeader(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(Deed::kRecord).status.ok());
  scheduler_.RunFor(kSecond);
  const int damaged = Follower();
  ASSERT_TRUE(cluster_->Stop(damaged).ok());
  cluster_->DamageLog(damaged);
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged());
  EXPECT_TRUE(AwaitAgreement());
  EXPECT_THAT(StatusOf(damaged).damage, HasSubstr("known durable up to"));
  EXPECT_TRUE(StatusOf(damaged).members[damaged].damaged);
  scheduler_.RunFor(kSecond);
  EXPECT_TRUE(StatusOf(leader_).members[damaged].damaged) << "the leader tells too";
  EXPECT_FALSE(StatusOf(leader_).members[leader_].damaged);
  // Neither the damage nor the flag is healed by the leader that it may have helped to elect.
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged());
  cluster_->Crash(damaged, SimCluster::End::kPowerLoss);
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_TRUE(cluster_->replica(damaged)->node().damaged()) << "the flag is durable";

  const int third = 3 - leader_ - damaged;
  cluster_->replica(leader_)->TransferLeadership(SimCluster::IdOf(third), [](absl::Status) {});
  ASSERT_TRUE(scheduler_.RunUntil([&] { return !cluster_->replica(damaged)->node().damaged(); },
                                  10 * kSecond));
  leader_ = cluster_->AwaitLeader();
  scheduler_.RunFor(kSecond);
  cluster_->Crash(damaged, SimCluster::End::kPowerLoss);
  ASSERT_EQ(cluster_->Start(damaged), absl::OkStatus());
  EXPECT_FALSE(cluster_->replica(damaged)->node().damaged()) << "the flag is gone durably";
  cluster_->Crash(leader_, SimCluster::End::kKill);
  leader_ = cluster_->AwaitLeader();
  EXPECT_GE(leader_, 0) << "its vote counts again";
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

// ---- Retention ----

class DroppingReplicaTest : public ReplicaTest {
 protected:
  static SimCluster::Options SmallSegments() {
    SimCluster::Options options;
    options.segment_size = 16 << 10;
    return options;
  }
  // About 60 KiB of log.
  void Fill() {
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(Call(Deed::kRecord, 1'000).status.ok());
  }
  bool AwaitHeldByAll(LogPosition position) {
    return scheduler_.RunUntil([&] { return StatusOf(leader_).held_by_all >= position; },
                               10 * kSecond);
  }
};

TEST_F(DroppingReplicaTest, AllDropWhatIsReleasedAndGoOnAfterARestart) {
  StartWithLeader(3, SmallSegments());
  Fill();
  ASSERT_TRUE(AwaitAgreement());
  ASSERT_TRUE(AwaitHeldByAll(LogPosition(48 << 10)));
  EXPECT_EQ(StatusOf(leader_).segment_size, 16 << 10);
  for (int i = 0; i < 3; ++i) {
    cluster_->replica(i)->ReleaseBefore(LogPosition(33 << 10));
    ASSERT_TRUE(scheduler_.RunUntil(
        [&] { return StatusOf(i).first_position == LogPosition(32 << 10); }, 10 * kSecond));
    EXPECT_EQ(StatusOf(i).first_index, StatusOf(0).first_index);
    EXPECT_GT(StatusOf(i).first_index, LogIndex(25));
    EXPECT_EQ(cluster_->replica(i)->Read(LogPosition(1'000), 10).status().code(),
              absl::StatusCode::kOutOfRange);
  }
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
  // A log that begins later is as good as any: after power losses, and for those who lead next.
  for (int i = 0; i < 3; ++i) cluster_->Crash(i, SimCluster::End::kPowerLoss);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cluster_->Start(i), absl::OkStatus());
  leader_ = cluster_->AwaitLeader();
  Fill();
  cluster_->Crash(leader_, SimCluster::End::kKill);
  const int killed = leader_;
  leader_ = cluster_->AwaitLeader();
  EXPECT_TRUE(Call(Deed::kRecord).status.ok());
  ASSERT_EQ(cluster_->Start(killed), absl::OkStatus());
  EXPECT_TRUE(AwaitAgreement());
  EXPECT_FALSE(StatusOf(leader_).members[killed].needs_snapshot);
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(DroppingReplicaTest, WhatADeadVoterMayLackIsNotHeldByAll) {
  StartWithLeader(3, SmallSegments());
  const int dead = Follower();
  cluster_->Crash(dead, SimCluster::End::kKill);
  Fill();
  scheduler_.RunFor(kSecond);
  EXPECT_EQ(StatusOf(leader_).held_by_all, LogPosition(0));
  EXPECT_EQ(StatusOf(leader_).held_up_by, SimCluster::IdOf(dead));
  ASSERT_EQ(cluster_->Start(dead), absl::OkStatus());
  EXPECT_TRUE(AwaitHeldByAll(LogPosition(48 << 10)));
}

TEST_F(DroppingReplicaTest, AMemberThatNeedsDroppedEntriesIsToldOfAndTheOthersGoOn) {
  StartWithLeader(3, SmallSegments());
  const int dead = Follower();
  cluster_->Crash(dead, SimCluster::End::kKill);
  Fill();
  cluster_->replica(leader_)->ReleaseBefore(LogPosition(32 << 10));
  ASSERT_TRUE(scheduler_.RunUntil(
      [&] { return StatusOf(leader_).first_position == LogPosition(32 << 10); }, 10 * kSecond));
  ASSERT_EQ(cluster_->Start(dead), absl::OkStatus());
  EXPECT_TRUE(scheduler_.RunUntil([&] { return StatusOf(leader_).members[dead].needs_snapshot; },
                                  10 * kSecond));
  const ProposalOutcome outcome = Call(Deed::kRecord);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(AwaitApplied(leader_, outcome.index));
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(DroppingReplicaTest, AStateThatIsLostCannotBeMadeFromALogThatBeginsLater) {
  StartWithLeader(1, SmallSegments());
  Fill();
  ASSERT_TRUE(AwaitAgreement());
  cluster_->replica(0)->ReleaseBefore(LogPosition(32 << 10));
  ASSERT_TRUE(scheduler_.RunUntil(
      [&] { return StatusOf(0).first_position == LogPosition(32 << 10); }, 10 * kSecond));
  cluster_->Crash(0, SimCluster::End::kKill);
  oracle_.SetFlushed(0, LogIndex(0));
  const absl::Status refused = cluster_->Start(0);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("dropped by retention"));
}

// ---- Status ----

TEST_F(ReplicaTest, StatusNamesMembersConnectionsAndProgress) {
  StartWithLeader(3);
  const LogIndex last = Call(Deed::kRecord).index;
  EXPECT_TRUE(AwaitAgreement());
  scheduler_.RunFor(200 * kMillisecond);
  const LedgerStatus status = StatusOf(leader_);
  EXPECT_EQ(status.role, Role::kLeader);
  EXPECT_EQ(status.leader, SimCluster::IdOf(leader_));
  EXPECT_EQ(status.commit_index, last);
  ASSERT_EQ(status.members.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(status.members[i].name, StrCat("n", i));
    EXPECT_TRUE(status.members[i].connected);
    EXPECT_EQ(status.members[i].durable_index, last);
    EXPECT_FALSE(status.members[i].client_address.empty());
  }
  EXPECT_EQ(status.leaderless_since_ms, 0);
}

}  // namespace
}  // namespace raftmq::dledger
