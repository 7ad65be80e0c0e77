// Member: a Node with a driver that keeps the contract of ready.h over a MemoryLog.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/random.h"
#include "raft/node.h"
#include "raft/testing/memory_log.h"

namespace raftmq::raft::testing {

// After each input the driver takes all Readys. It CHECKs what a driver may count on: entries
// follow the log, nothing committed is truncated, commit and term never fall. Not thread-safe.
class Member {
 public:
  // `auto_sync`: each write is durable at once; else when Sync is called.
  Member(const Options& options, Configuration configuration, uint64_t seed, bool auto_sync);

  // Log and hard state as if a former life had left them there, durable. Call before any input.
  void Preload(HardState hard_state, const std::vector<Term>& terms, LogIndex committed = {});

  bool up() const { return node_ != nullptr; }
  Node& node() { return *node_; }
  const Node& node() const { return *node_; }
  MemberId id() const { return options_.self; }
  MemoryLog& log() { return log_; }
  const MemoryLog& log() const { return log_; }
  LogIndex applied() const { return applied_; }
  const HardState& hard_state() const { return hard_state_; }
  bool healed() const { return healed_; }
  ReadRound confirmed_reads() const { return confirmed_reads_; }
  const absl::Status& storage_error() const { return storage_error_; }

  absl::Status Step(const Message& message);
  void Tick(int32_t n = 1);
  absl::StatusOr<EntryMeta> Propose(int32_t frame_size = 100, bool ack_in_memory = false);
  // Carries out what the node asks for; to be called after inputs given to node() directly.
  void Drain();

  void set_auto_sync(bool on) { auto_sync_ = on; }
  // An fdatasync that covers what is written now; the end of one is reported to the node unless a
  // truncation came in between.
  void StartSync();
  void FinishSync();
  void Sync();
  bool syncing() const { return sync_.has_value(); }

  // Messages sent since the last call.
  std::vector<Message> TakeSent();

  // Loses what is not on disk (MemoryLog::Crash). Up again after Restart.
  void Crash(Random* random);
  void Restart();
  // For the next Restart: the log was found to be damaged and cut before `from`.
  void Damage(LogIndex from);

 private:
  struct SyncUnderWay {
    LogIndex upto;
    Term term;
  };
  void HandOut(Ready ready);
  void Apply();
  void Start();

  Options options_;
  const Configuration configuration_;
  Random random_;
  bool auto_sync_;
  MemoryLog log_;
  HardState hard_state_;  // on disk
  LogIndex applied_;
  LogIndex committed_;
  bool healed_ = false;
  ReadRound confirmed_reads_ = 0;
  absl::Status storage_error_;
  std::optional<SyncUnderWay> sync_;
  std::vector<Message> sent_;
  std::unique_ptr<Node> node_;
};

}  // namespace raftmq::raft::testing
