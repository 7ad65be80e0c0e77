// SimCluster: a group of real replicas on simulated time, threads, disks and network.
//
// Members are numbered from 0 here; member i has MemberId i + 1. Each has a MemoryFileSystem that
// survives its crashes. Everything is driven by the scheduler: between two of its tasks all members
// may be looked at.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/memory_file_system.h"
#include "dledger/open.h"
#include "dledger/replica.h"
#include "tests/sim/sim_scheduler.h"
#include "tests/sim/sim_transport.h"

namespace raftmq::sim {

class SimCluster {
 public:
  // What a member runs on top of its replica; made anew at each start of its process. `fs` is the
  // member's disk.
  using StateMachineFactory =
      std::function<std::unique_ptr<dledger::StateMachine>(int member, FileSystem* fs)>;

  struct Options {
    int members = 3;
    int64_t segment_size = 64 << 10;
    // What a flush of the log takes.
    int64_t min_flush_nanos = 50 * kMicrosecond;
    int64_t max_flush_nanos = 500 * kMicrosecond;
    // What a batch of entries takes to be applied.
    int64_t max_apply_nanos = 200 * kMicrosecond;
    dledger::ReplicaOptions replica;
  };

  // Formats and bootstraps the members' disks; none runs yet.
  SimCluster(SimScheduler* scheduler, Options options, StateMachineFactory factory);
  ~SimCluster();

  int size() const { return static_cast<int>(members_.size()); }
  static MemberId IdOf(int member) { return MemberId(member + 1); }
  SimNetwork& network() { return network_; }
  MemoryFileSystem& disk(int member) { return *members_[member]->fs; }

  // Starts the member's process. Not OK: the replica does not open.
  absl::Status Start(int member);
  void StartAll();

  enum class End {
    kKill,       // the process ends at once; the disk has all that was written
    kPowerLoss,  // what was not synced is lost, or some of it
  };
  void Crash(int member, End end);
  // As main does on SIGTERM; runs the scheduler until it has ended.
  absl::Status Stop(int member);

  // The process's threads don't run for so long.
  void Pause(int member, int64_t nanos);

  // The member's disk finishes nothing for so long.
  void PauseDisk(int member, int64_t nanos);

  // Spoils a byte in the middle of the written part of the log's last segment, durably. The member
  // must not run.
  void DamageLog(int member);

  bool running(int member) const { return members_[member]->replica != nullptr; }
  // Null if it doesn't run.
  dledger::Replica* replica(int member) { return members_[member]->replica.get(); }
  dledger::StateMachine* state_machine(int member) { return members_[member]->machine.get(); }
  // Why the replica stopped by itself, if it did.
  absl::Status failure(int member) const { return members_[member]->failure; }

  // The member that serves as leader in the highest term; -1 if none does.
  int ServingLeader() const;
  // Runs until there is one. -1: not within `nanos`.
  int AwaitLeader(int64_t nanos = 20 * kSecond);

  // Splits the running members in two sides that don't hear each other.
  void Isolate(const std::vector<int>& side);
  void HealNetwork();

 private:
  struct MemberState {
    std::string name;
    std::unique_ptr<MemoryFileSystem> fs;
    std::unique_ptr<SimTaskRunner> replica_runner;
    std::unique_ptr<SimTaskRunner> writer_runner;
    std::unique_ptr<SimTaskRunner> background_runner;
    std::unique_ptr<SimTaskRunner> apply_runner;
    std::unique_ptr<dledger::StateMachine> machine;
    std::unique_ptr<dledger::Replica> replica;
    absl::Status failure;
  };

  void EndProcess(MemberState& member);

  SimScheduler* const scheduler_;
  const Options options_;
  const StateMachineFactory factory_;
  SimNetwork network_;
  std::vector<std::unique_ptr<MemberState>> members_;
};

}  // namespace raftmq::sim
