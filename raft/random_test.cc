// Clusters under faults drawn from a seed. Safety is checked after every step; then the faults end
// and the cluster must converge.
//
// A failure prints its seed; replay it alone with
//   RAFTMQ_SEED=<seed> bazel test //raft:random_test --test_env=RAFTMQ_SEED --test_output=all
// and run more with RAFTMQ_SEEDS=<count>.
#include "base/random.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/strings.h"
#include "gtest/gtest.h"
#include "raft/quorum.h"
#include "raft/testing/cluster.h"

namespace raftmq::raft {
namespace {

using testing::Cluster;
using testing::ClusterOptions;

int64_t FromEnv(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

ClusterOptions DrawOptions(Random& random) {
  ClusterOptions options;
  constexpr int32_t kSizes[] = {1, 2, 3, 3, 3, 5, 5};
  options.members = kSizes[random.Below(std::size(kSizes))];
  options.seed = random.Next();
  options.auto_sync = random.Chance(0.2);
  Options& node = options.node;
  node.heartbeat_ticks = 2;
  node.election_ticks_min = 8;
  node.election_ticks_max = 16;
  node.max_inflight_messages = static_cast<int32_t>(random.Between(1, 8));
  node.max_inflight_bytes = random.Between(100, 10000);
  node.max_bytes_per_append = random.Between(50, 2000);
  node.max_entries_per_append = static_cast<int32_t>(random.Between(1, 10));
  node.max_uncommitted_bytes = random.Between(500, 20000);
  node.segment_size = random.Between(8, 40) * 100 + random.Between(0, 99);
  node.pre_vote = random.Chance(0.8);
  node.check_quorum = random.Chance(0.8);
  return options;
}

// How often each fault strikes in this run (swarm testing: many runs lack some of them).
struct Faults {
  explicit Faults(Random& random) {
    const auto draw = [&random](double p) { return random.Chance(0.7) ? p : 0; };
    drop = draw(0.1);
    duplicate = draw(0.1);
    reorder = draw(0.5);
    crash = draw(0.004);
    damage = draw(0.3);
    partition = draw(0.01);
    transfer = draw(0.005);
    notices = draw(0.01);
    if (random.Chance(0.4)) {  // leaders come and go before they get much done: long, mixed tails
      drop = 0.3;
      crash = 0.01;
      partition = 0.03;
      transfer = 0.02;
    }
  }
  double drop, duplicate, reorder, crash, damage, partition, transfer, notices;
};

class RandomRun {
 public:
  explicit RandomRun(uint64_t seed)
      : random_(seed), options_(DrawOptions(random_)), faults_(random_), cluster_(options_) {}

  absl::Status Safety(int32_t steps) {
    for (int32_t i = 0; i < steps; ++i) {
      Step();
      RAFTMQ_RETURN_IF_ERROR(cluster_.Check());
    }
    return absl::OkStatus();
  }

  // All faults end: within a bounded time one leads, and all hold and know to be committed the
  // same.
  absl::Status Liveness() {
    cluster_.Heal();
    for (int32_t id = 1; id <= cluster_.size(); ++id) {
      if (!cluster_.member(id).up()) cluster_.Restart(id);
      cluster_.member(id).set_auto_sync(true);
      cluster_.Sync(id);
    }
    absl::Status state;
    for (int32_t i = 0; i < 1000; ++i) {
      cluster_.TickAll(1, /*deliver=*/true);
      RAFTMQ_RETURN_IF_ERROR(cluster_.Check());
      if (i == 500) NewTermIfDamaged();
      state = Converged();
      if (state.ok()) return state;
    }
    return state;
  }

  // Leaders that last for a few messages only, each elected by a random majority that hears nobody
  // else: the histories of figure 8 of the paper, which faults by the step hardly ever build.
  absl::Status BriefReigns(int32_t reigns) {
    for (int32_t i = 0; i < reigns; ++i) {
      cluster_.Heal();
      std::vector<int32_t> inside = RandomMajority();
      RAFTMQ_RETURN_IF_ERROR(Reign(inside));
    }
    return absl::OkStatus();
  }

  size_t reads() { return cluster_.reads_confirmed(); }
  int64_t committed() { return cluster_.node(1).commit_index().value(); }

 private:
  int32_t Any() { return static_cast<int32_t>(random_.Between(1, cluster_.size())); }

  std::vector<int32_t> RandomMajority() {
    std::vector<int32_t> inside;
    for (int32_t id = 1; id <= cluster_.size(); ++id) {
      inside.insert(inside.begin() + random_.Below(inside.size() + 1), id);
    }
    inside.resize(Majority(inside.size()));
    for (int32_t id = 1; id <= cluster_.size(); ++id) {
      if (std::find(inside.begin(), inside.end(), id) != inside.end()) continue;
      cluster_.Isolate(id);
    }
    return inside;
  }

  // The first of `inside` tries to be elected by the others; then up to a dozen of its messages and
  // their answers arrive.
  absl::Status Reign(const std::vector<int32_t>& inside) {
    const int32_t leader = inside.front();
    for (int32_t id : inside) {
      Node& node = cluster_.node(id);
      if (node.leader() != kNoMember) node.LeaderConnectionClosed(node.leader());
      node.StepDown();
      cluster_.member(id).Drain();
    }
    cluster_.Drop();
    for (int32_t i = 0; i < 40 && cluster_.node(leader).role() != Role::kLeader; ++i) {
      cluster_.Tick(leader);
      cluster_.Deliver([](const Message& m) { return m.type < MessageType::kAppend; });
      RAFTMQ_RETURN_IF_ERROR(cluster_.Check());
    }
    if (random_.Chance(0.3)) Propose(leader);
    for (int64_t left = random_.Between(0, 12); left > 0 && !cluster_.network().empty(); --left) {
      cluster_.DeliverAt(random_.Below(cluster_.network().size()));
      if (random_.Chance(0.7)) cluster_.Sync(inside[random_.Below(inside.size())]);
      RAFTMQ_RETURN_IF_ERROR(cluster_.Check());
    }
    return absl::OkStatus();
  }

  void Step() {
    const double what = random_.Chance(0.5) ? 0 : 1;
    if (what == 0 && !cluster_.network().empty()) {
      MoveMessage();
    } else {
      const int32_t id = Any();
      switch (random_.Below(4)) {
        case 0:
          if (cluster_.member(id).up()) cluster_.Tick(id);
          break;
        case 1:
          Propose(id);
          break;
        case 2:
          Disk(id);
          break;
        case 3:
          if (cluster_.member(id).up() && random_.Chance(0.1)) Compact(id);
          if (cluster_.member(id).up() && random_.Chance(0.3)) cluster_.Read(id).IgnoreError();
          break;
      }
    }
    Fault(Any());
    // Bounds the network without favour.
    while (cluster_.network().size() > 200) {
      cluster_.network().erase(cluster_.network().begin() +
                               random_.Below(cluster_.network().size()));
    }
  }

  void MoveMessage() {
    auto& network = cluster_.network();
    const size_t at = random_.Chance(faults_.reorder) ? random_.Below(network.size()) : 0;
    if (random_.Chance(faults_.duplicate)) network.push_back(network[at]);
    if (random_.Chance(faults_.drop)) {
      network.erase(network.begin() + at);
    } else {
      cluster_.DeliverAt(at);
    }
  }

  void Propose(int32_t id) {
    if (!cluster_.member(id).up()) return;
    const int32_t count = static_cast<int32_t>(random_.Between(1, 3));
    for (int32_t i = 0; i < count; ++i) {
      const int64_t largest = MaxFrameSize(options_.node.segment_size);
      (void)cluster_.Propose(id, static_cast<int32_t>(random_.Between(kFrameHeaderSize, largest)),
                             random_.Chance(0.3));
    }
  }

  void Disk(int32_t id) {
    auto& member = cluster_.member(id);
    if (!member.up()) return;
    if (member.syncing()) {
      member.FinishSync();
    } else {
      member.StartSync();
    }
    cluster_.Collect();
  }

  void Compact(int32_t id) {
    Node& node = cluster_.node(id);
    const LogIndex limit = std::min(node.applied_index(), node.durable_index());
    node.CompactMetadata(LogIndex(random_.Between(0, limit.value())));
  }

  void Fault(int32_t id) {
    auto& member = cluster_.member(id);
    if (random_.Chance(faults_.crash) && member.up()) {
      cluster_.Crash(id);
      MaybeDamage(id);
    } else if (!member.up() && random_.Chance(0.02)) {
      cluster_.Restart(id);
    }
    if (random_.Chance(faults_.partition)) {
      switch (random_.Below(3)) {
        case 0:
          cluster_.Isolate(id);
          break;
        case 1:
          cluster_.CutOneWay(id, Any());
          break;
        case 2:
          cluster_.Heal();
          break;
      }
    }
    if (!member.up()) return;
    if (random_.Chance(faults_.transfer)) {
      if (random_.Chance(0.5)) {
        (void)member.node().TransferLeadership(MemberId(Any()));
      } else {
        member.node().StepDown();
      }
    }
    if (random_.Chance(faults_.notices)) {
      member.node().ReportUnreachable(MemberId(Any()));
      member.node().LeaderConnectionClosed(MemberId(Any()));
    }
    member.Drain();
    cluster_.Collect();
  }

  // At most one member at a time has lost part of its log, and only in a group that can spare it:
  // else no protocol could keep what is committed.
  void MaybeDamage(int32_t id) {
    if (cluster_.size() < 3 || !random_.Chance(faults_.damage)) return;
    for (int32_t other = 1; other <= cluster_.size(); ++other) {
      auto& member = cluster_.member(other);
      if (damaged_ == other && (!member.up() || member.node().damaged())) return;
    }
    damaged_ = id;
    const auto held = static_cast<int64_t>(cluster_.member(id).log().disk().size());
    cluster_.member(id).Damage(LogIndex(random_.Between(1, held + 1)));
    cluster_.CountDamage(id);
  }

  // A damaged member is healed by a term that began after the damage: an operator's transfer.
  void NewTermIfDamaged() {
    const int32_t leader = cluster_.Leader();
    if (leader == 0 || damaged_ == 0 || !cluster_.node(damaged_).damaged()) return;
    for (int32_t id = 1; id <= cluster_.size(); ++id) {
      if (id == leader || id == damaged_) continue;
      (void)cluster_.node(leader).TransferLeadership(MemberId(id));
      cluster_.member(leader).Drain();
      return;
    }
  }

  absl::Status Converged() {
    const int32_t leader = cluster_.Leader();
    if (leader == 0) return absl::InternalError("no leader, or several");
    const LogIndex last = cluster_.node(leader).last_index();
    for (int32_t id = 1; id <= cluster_.size(); ++id) {
      Node& node = cluster_.node(id);
      if (node.last_index() != last || node.commit_index() != last || node.damaged() ||
          node.leader() != MemberId(leader) || cluster_.member(id).applied() != last) {
        return absl::InternalError(StrCat(
            "member ", id, ": last ", node.last_index(), ", commit ", node.commit_index(),
            ", leader ", node.leader(), ", applied ", cluster_.member(id).applied(),
            node.damaged() ? ", damaged" : "", "; member ", leader, " leads with last ", last));
      }
    }
    return absl::OkStatus();
  }

  Random random_;
  const ClusterOptions options_;
  const Faults faults_;
  Cluster cluster_;
  int32_t damaged_ = 0;
};

TEST(RandomCluster, StaysSafeUnderFaultsAndConvergesAfterThem) {
  const int64_t only = FromEnv("RAFTMQ_SEED", -1);
  const int64_t first = only >= 0 ? only : 1;
  const int64_t count = only >= 0 ? 1 : FromEnv("RAFTMQ_SEEDS", 100);
  int64_t committed = 0;
  size_t reads = 0;
  for (int64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(StrCat("replay with RAFTMQ_SEED=", seed));
    RandomRun run(seed);
    absl::Status status = run.Safety(15000);
    ASSERT_TRUE(status.ok()) << "unsafe: " << status;
    status = run.Liveness();
    ASSERT_TRUE(status.ok()) << "no convergence: " << status;
    committed += run.committed();
    reads += run.reads();
  }
  // Faults so hard that nothing gets done would test nothing.
  EXPECT_GT(committed, count * 100);
  EXPECT_GT(reads, static_cast<size_t>(count) * 50);
}

TEST(RandomCluster, StaysSafeUnderBriefReigns) {
  const int64_t only = FromEnv("RAFTMQ_SEED", -1);
  const int64_t first = only >= 0 ? only : 1;
  const int64_t count = only >= 0 ? 1 : FromEnv("RAFTMQ_SEEDS", 100);
  for (int64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(StrCat("replay with RAFTMQ_SEED=", seed));
    RandomRun run(seed);
    absl::Status status = run.BriefReigns(300);
    ASSERT_TRUE(status.ok()) << "unsafe: " << status;
    status = run.Liveness();
    ASSERT_TRUE(status.ok()) << "no convergence: " << status;
  }
}

}  // namespace
}  // namespace raftmq::raft
