// Groups of replicas under random faults, on simulated time: crashes with and without power loss,
// partitions, pauses, slow disks, and links that drop, delay, repeat and reorder.
//
// Each run prints its seed; RAFTMQ_SEED=<n> repeats one, RAFTMQ_RUNS=<n> sets how many there are.
#include "tests/sim/sim_cluster.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/log_workload.h"

namespace raftmq::dledger {
namespace {

using sim::Deed;
using sim::kMillisecond;
using sim::kSecond;
using sim::SimCluster;
using ::testing::IsEmpty;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

struct Faults {
  bool crashes = false;
  bool power_loss = false;
  bool partitions = false;
  bool pauses = false;
  bool links = false;
};

// One run of a group under faults.
class Run {
 public:
  Run(uint64_t seed, int members, Faults faults)
      : scheduler_(seed), faults_(faults), random_(scheduler_.random().Fork()) {
    SimCluster::Options options;
    options.members = members;
    options.segment_size = int64_t{8 << 10} << random_.Between(0, 3);
    options.replica.soft_frame_bytes = static_cast<size_t>(random_.Between(200, 4000));
    options.replica.max_uncommitted_bytes = random_.Between(4'000, 200'000);
    options.replica.log.tail_bytes = static_cast<size_t>(random_.Between(0, 20'000));
    options.replica.log.recent_bytes = static_cast<size_t>(random_.Between(0, 20'000));
    options.replica.apply.recent_bytes = static_cast<size_t>(random_.Between(0, 20'000));
    options.replica.apply.batch_bytes = static_cast<size_t>(random_.Between(100, 5'000));
    options.replica.all_disks_timeout_ms = 500;
    // Disks of all kinds: what is acknowledged too early is lost only if a flush takes its time.
    options.max_flush_nanos = random_.Chance(0.5) ? 10 * kMillisecond : kMillisecond;
    options.max_apply_nanos = random_.Chance(0.5) ? 10 * kMillisecond : kMillisecond;
    cluster_ = std::make_unique<SimCluster>(&scheduler_, options, [this](int member, FileSystem*) {
      return std::make_unique<sim::RecordingStateMachine>(&oracle_, member,
                                                          static_cast<int>(random_.Between(1, 20)));
    });
  }

  void Go(int64_t nanos) {
    cluster_->StartAll();
    const int64_t end = scheduler_.now() + nanos;
    int64_t next_fault = scheduler_.now() + 300 * kMillisecond;
    while (scheduler_.now() < end) {
      ProposeSome();
      scheduler_.RunFor(random_.Between(1, 20'000) * sim::kMicrosecond);
      if (scheduler_.now() < next_fault) continue;
      DisturbOrHeal();
      next_fault = scheduler_.now() + random_.Between(50, 1000) * kMillisecond;
    }
  }

  // All faults end; the group must find together, take proposals, and agree.
  void Settle() {
    cluster_->HealNetwork();
    for (int i = 0; i < cluster_->size(); ++i) {
      if (cluster_->running(i)) continue;
      const absl::Status started = cluster_->Start(i);
      ASSERT_TRUE(started.ok()) << started;
    }
    for (int i = 0; i < cluster_->size(); ++i) {
      ASSERT_TRUE(cluster_->failure(i).ok()) << cluster_->failure(i);
    }
    const size_t before = oracle_.acknowledged();
    for (int tries = 0; tries < 50 && oracle_.acknowledged() == before; ++tries) {
      const int leader = cluster_->AwaitLeader(30 * kSecond);
      ASSERT_GE(leader, 0) << "no leader after all faults ended";
      Propose(leader, Deed::kRecord, AckLevel::kMajorityDisk);
      scheduler_.RunFor(500 * kMillisecond);
    }
    ASSERT_GT(oracle_.acknowledged(), before) << "nothing is acknowledged any more";
    ASSERT_TRUE(scheduler_.RunUntil([this] { return Agreed(); }, 60 * kSecond))
        << "the members do not apply the same";
    EXPECT_THAT(oracle_.Violations(), IsEmpty());
  }

  const sim::LogOracle& oracle() const { return oracle_; }

 private:
  bool Agreed() {
    for (int i = 0; i < cluster_->size(); ++i) {
      const auto status = cluster_->replica(i)->Status();
      if (status->applied_index < oracle_.highest_applied()) return false;
      if (status->applied_index < status->last_index) return false;
    }
    return oracle_.answered() == oracle_.proposed();
  }

  void ProposeSome() {
    for (int64_t n = random_.Between(0, 20); n > 0; --n) {
      const int member = WhomToAsk();
      if (!cluster_->running(member)) continue;
      constexpr Deed kDeeds[] = {Deed::kRecord,  Deed::kRecord,  Deed::kRecord,
                                 Deed::kRecords, Deed::kCommand, Deed::kAtomicRecords,
                                 Deed::kNothing, Deed::kRefuse,  Deed::kWriteAndRefuse};
      constexpr AckLevel kLevels[] = {AckLevel::kMajorityDisk, AckLevel::kMajorityDisk,
                                      AckLevel::kMajorityMemory, AckLevel::kLeaderMemory,
                                      AckLevel::kAllDisks};
      Propose(member, kDeeds[random_.Below(std::size(kDeeds))],
              kLevels[random_.Below(std::size(kLevels))]);
    }
  }

  // Mostly one that takes itself for the leader, also if it was deposed without its knowing.
  int WhomToAsk() {
    std::vector<int> leaders;
    for (int i = 0; i < cluster_->size(); ++i) {
      if (cluster_->running(i) && cluster_->replica(i)->Status()->serving) leaders.push_back(i);
    }
    if (leaders.empty() || random_.Chance(0.1)) return AnyMember();
    return leaders[random_.Below(leaders.size())];
  }

  void Propose(int member, Deed deed, AckLevel level) {
    const auto size = static_cast<size_t>(random_.Between(20, 400));
    cluster_->replica(member)->Propose(
        std::make_unique<sim::TestProposal>(&oracle_, next_id_++, deed, size, level));
  }

  int AnyMember() { return static_cast<int>(random_.Below(cluster_->size())); }

  void DisturbOrHeal() {
    if (random_.Chance(0.3)) {
      cluster_->HealNetwork();
      StartSome(1.0);
      return;
    }
    if (faults_.crashes && random_.Chance(0.4)) Crash();
    if (faults_.partitions && random_.Chance(0.5)) Partition();
    if (faults_.pauses && random_.Chance(0.3)) Pause();
    if (faults_.links && random_.Chance(0.3)) SpoilLinks();
    StartSome(0.5);
  }

  void StartSome(double chance) {
    for (int i = 0; i < cluster_->size(); ++i) {
      if (cluster_->running(i) || !random_.Chance(chance)) continue;
      const absl::Status started = cluster_->Start(i);
      EXPECT_TRUE(started.ok()) << started;
    }
  }

  void Crash() {
    const auto end = [this] {
      return faults_.power_loss && random_.Chance(0.6) ? SimCluster::End::kPowerLoss
                                                       : SimCluster::End::kKill;
    };
    // In the middle of something.
    for (int64_t n = random_.Between(0, 3); n > 0; --n) {
      ProposeSome();
      scheduler_.RunFor(random_.Between(1, 3'000) * sim::kMicrosecond);
    }
    if (random_.Chance(0.15)) {  // the whole rack
      for (int i = 0; i < cluster_->size(); ++i) {
        if (cluster_->running(i)) cluster_->Crash(i, end());
      }
      return;
    }
    const int leader = cluster_->ServingLeader();
    const int member = leader >= 0 && random_.Chance(0.5) ? leader : AnyMember();
    if (!cluster_->running(member)) return;
    if (random_.Chance(0.2)) {
      const absl::Status stopped = cluster_->Stop(member);
      EXPECT_TRUE(stopped.ok()) << stopped;
    } else {
      cluster_->Crash(member, end());
    }
  }

  void Partition() {
    if (random_.Chance(0.3)) {
      cluster_->network().Cut(SimCluster::IdOf(AnyMember()), SimCluster::IdOf(AnyMember()));
      return;
    }
    std::vector<int> side;
    if (const int leader = cluster_->ServingLeader(); leader >= 0 && random_.Chance(0.5)) {
      // With whom it can't commit, but goes on for a while: what it logs will have to be cut.
      side.push_back(leader);
      for (int i = 0; i < cluster_->size() && std::ssize(side) * 2 + 2 < cluster_->size(); ++i) {
        if (i != leader && random_.Chance(0.5)) side.push_back(i);
      }
    } else {
      for (int i = 0; i < cluster_->size(); ++i) {
        if (random_.Chance(0.4)) side.push_back(i);
      }
    }
    cluster_->Isolate(side);
  }

  void Pause() {
    const int member = AnyMember();
    if (random_.Chance(0.5)) {
      cluster_->PauseDisk(member, random_.Between(10, 1000) * kMillisecond);
    } else {
      cluster_->Pause(member, random_.Between(10, 1500) * kMillisecond);
    }
  }

  void SpoilLinks() {
    LinkFaults faults;
    faults.drop = random_.Chance(0.5) ? 0.2 : 0;
    faults.duplicate = random_.Chance(0.5) ? 0.2 : 0;
    faults.reorder = random_.Chance(0.5) ? 0.3 : 0;
    faults.max_delay_nanos = random_.Chance(0.5) ? random_.Between(1, 50) * kMillisecond : 0;
    cluster_->network().SetFaults(faults);
  }

  sim::SimScheduler scheduler_;
  const Faults faults_;
  Random random_;
  sim::LogOracle oracle_;
  std::unique_ptr<SimCluster> cluster_;
  uint64_t next_id_ = 1;
};

void RunMany(int members, Faults faults, uint64_t first_seed) {
  const bool one = std::getenv("RAFTMQ_SEED") != nullptr;
  const uint64_t first = FromEnvironment("RAFTMQ_SEED", first_seed);
  const uint64_t runs = one ? 1 : FromEnvironment("RAFTMQ_RUNS", 8);
  size_t acknowledged = 0;
  for (uint64_t seed = first; seed < first + runs; ++seed) {
    SCOPED_TRACE(StrCat("repeat with RAFTMQ_SEED=", seed));
    Run run(seed, members, faults);
    run.Go(15 * kSecond);
    run.Settle();
    acknowledged += run.oracle().acknowledged();
    if (::testing::Test::HasFailure()) return;
  }
  // A run in which nothing happens proves nothing.
  EXPECT_GT(acknowledged, runs * 50);
}

TEST(SimCluster, LosesNothingToKillsAndRestarts) { RunMany(3, {.crashes = true}, 1'000); }

TEST(SimCluster, LosesNothingToPowerLoss) {
  RunMany(3, {.crashes = true, .power_loss = true}, 2'000);
}

TEST(SimCluster, LosesNothingToPartitionsAndPauses) {
  RunMany(3, {.partitions = true, .pauses = true}, 3'000);
}

TEST(SimCluster, LosesNothingToLinksThatDropRepeatAndReorder) {
  RunMany(3, {.links = true}, 4'000);
}

TEST(SimCluster, ThreeMembersUnderEverythingAtOnce) {
  RunMany(3, {true, true, true, true, true}, 5'000);
}

TEST(SimCluster, FiveMembersUnderEverythingAtOnce) {
  RunMany(5, {true, true, true, true, true}, 6'000);
}

TEST(SimCluster, AGroupOfOneUnderPowerLoss) {
  RunMany(1, {.crashes = true, .power_loss = true, .pauses = true}, 7'000);
}

// Two members go on; the pivot loses power, the first one comes back: what the two had must stand
// (Jepsen's part-kill sequence).
TEST(SimCluster, WhatAMajorityAcknowledgedSurvivesPowerLossOfThePivot) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    sim::SimScheduler scheduler(seed);
    sim::LogOracle oracle;
    SimCluster cluster(&scheduler, {}, [&](int member, FileSystem*) {
      return std::make_unique<sim::RecordingStateMachine>(&oracle, member);
    });
    cluster.StartAll();
    const int leader = cluster.AwaitLeader();
    ASSERT_GE(leader, 0);
    const int left_out = (leader + 1) % 3;
    const int pivot = (leader + 2) % 3;
    cluster.Isolate({left_out});
    for (uint64_t id = 1; id <= 200; ++id) {
      cluster.replica(leader)->Propose(
          std::make_unique<sim::TestProposal>(&oracle, id, Deed::kRecord, 100));
      scheduler.RunFor(kMillisecond);
    }
    ASSERT_GT(oracle.acknowledged(), 150u);
    cluster.Crash(pivot, SimCluster::End::kPowerLoss);
    cluster.Crash(leader, SimCluster::End::kKill);
    cluster.HealNetwork();
    ASSERT_TRUE(cluster.Start(pivot).ok());
    ASSERT_EQ(cluster.AwaitLeader(), pivot) << "only the pivot has all that was acknowledged";
    ASSERT_TRUE(cluster.Start(leader).ok());
    ASSERT_TRUE(scheduler.RunUntil(
        [&] {
          for (int i = 0; i < 3; ++i) {
            const auto status = cluster.replica(i)->Status();
            if (status->applied_index < LogIndex(200)) return false;
          }
          return true;
        },
        20 * kSecond));
    EXPECT_THAT(oracle.Violations(), IsEmpty());
  }
}

}  // namespace
}  // namespace raftmq::dledger
