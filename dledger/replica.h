// Replica: one member of a replicated log. Owns the Raft node, the log and the transport, and
// drives them from one event loop.
//
// A turn of the loop takes all that waits (messages, proposals, finished writes), lets the Raft
// core digest it, and carries out what the core asks for in the order that raft/ready.h states:
// term and vote durable, then entries to the log writer, then messages, then commits. The leader's
// own disk write runs in parallel with sending.
//
// Any error of the storage or of the state machine is final: from then on nothing is acknowledged,
// voted or sent, every waiting proposal is answered, and on_fatal tells the process.
//
// Made by OpenReplica (open.h). Ledger's methods are thread-safe. Destroyed on the replica runner,
// or after the runners have stopped; the apply runner must have stopped or be idle (Stop sees to
// it).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/task_runner.h"
#include "dledger/applier.h"
#include "dledger/completions.h"
#include "dledger/group_configuration.h"
#include "dledger/hard_state_file.h"
#include "dledger/identity.h"
#include "dledger/ledger.h"
#include "dledger/proposal_batcher.h"
#include "dledger/proposal_queue.h"
#include "dledger/read_index.h"
#include "dledger/scrubber.h"
#include "dledger/segmented_log.h"
#include "dledger/transport.h"
#include "raft/node.h"

namespace raftmq::dledger {

struct ReplicaOptions {
  int64_t tick_ms = 10;
  int64_t heartbeat_ms = 60;
  int64_t election_min_ms = 250;
  int64_t election_max_ms = 500;

  ProposalQueue::Limits waiting;  // proposals not decided yet
  // Logged and not committed; above it proposals wait in the queue.
  int64_t max_uncommitted_bytes = 64 << 20;
  // Logged and not applied here; above it proposals wait in the queue. More than what may be
  // uncommitted, since that cannot be applied.
  int64_t max_unapplied_bytes = 128 << 20;
  size_t soft_frame_bytes = 64 << 10;
  // raft::Options: one being written by the peer's disk, one waiting for it.
  int32_t eager_appends = 2;
  // What one turn decides at most before its output leaves.
  int64_t max_turn_bytes = 4 << 20;
  size_t max_turn_proposals = 16'384;
  // Entries received while the log has no room for them.
  size_t max_stalled_bytes = 16 << 20;

  // Where members are now, if not where the group's configuration says (hosts move).
  std::map<MemberId, std::string> peer_addresses;

  int64_t all_disks_timeout_ms = 3'000;  // AckLevel::kAllDisks
  int64_t stop_timeout_ms = 2'000;       // handing leadership over at Stop

  ScrubOptions scrub;
  Applier::Options apply;     // segment_size is taken from the directory
  SegmentedLog::Options log;  // tuning only; what it is and where is filled in by OpenReplica
};

// What a replica is wired to. Pointers outlive it.
struct ReplicaDeps {
  FileSystem* fs = nullptr;
  Clock* clock = nullptr;
  TaskRunner* replica = nullptr;     // the transport's event loop too
  TaskRunner* writer = nullptr;      // writes and syncs the log
  TaskRunner* background = nullptr;  // prepares segments
  TaskRunner* apply = nullptr;       // runs StateMachine::Apply
  StateMachine* state_machine = nullptr;
  std::unique_ptr<Transport> transport;  // null: a group of one
  // Of the data directory, if the caller holds it already (and maybe longer); null: OpenReplica
  // takes it.
  std::shared_ptr<DirectoryLock> lock;
  Random random{0};
  std::string client_address;  // our own, for the status
  // The replica has stopped for good; called once, on the replica thread. The process should log
  // it and exit. May be empty.
  absl::AnyInvocable<void(const absl::Status& failure)> on_fatal;
};

class Replica final : public Ledger, public ReadIndexSource, public TransportListener {
 public:
  // What OpenReplica found in the data directory.
  struct Storage {
    Identity identity;
    GroupConfiguration configuration;
    std::shared_ptr<DirectoryLock> lock;
    std::unique_ptr<SegmentedLog> log;
    HardStateFile hard_state_file;
    DamagedFlag damaged_flag;
    raft::HardState hard_state;
    bool damaged = false;
    Term damaged_term;
    std::string damage;  // what was found
  };

  Replica(ReplicaOptions options, ReplicaDeps deps, Storage storage);
  ~Replica() override;

  // Connects, ticks, takes part. Once.
  void Start();

  // Hands leadership to the most advanced voter if it leads, lets the state machine finish what it
  // is doing, flushes the log and its mark, closes. `done` runs on the replica thread with how that
  // went; afterwards nothing of the replica runs any more. Any thread, once.
  void Stop(absl::AnyInvocable<void(absl::Status)> done);

  void Propose(std::unique_ptr<Proposal> proposal) override;
  absl::StatusOr<std::string> Read(LogPosition position, size_t size) const override;
  void ReleaseBefore(LogPosition position) override;
  std::shared_ptr<const LedgerStatus> Status() const override;
  void SetStatusListener(StatusListener listener) override;
  void TransferLeadership(MemberId target, absl::AnyInvocable<void(absl::Status)> done) override;
  void ReadIndex(ReadIndexCallback done) override;

  void OnMessage(PeerMessage message) override;
  void OnConnected(MemberId peer, uint64_t boot_id, const std::string& client_address) override;
  void OnDisconnected(MemberId peer, bool by_peer) override;

  // For tests and tools, on the replica thread.
  const raft::Node& node() const { return node_; }
  const SegmentedLog& log() const { return *storage_.log; }

 private:
  // An entry that the log had no room for yet.
  struct Stalled {
    std::vector<raft::EntryMeta> entries;
    Bytes frames;
  };
  struct PeerState {
    uint64_t boot_id = 0;
    std::string client_address;
    bool connected = false;
  };
  // A linearizable read whose round is not confirmed yet.
  struct OpenRead {
    raft::ReadRound round = 0;
    LogIndex index;
    ReadIndexCallback done;
  };
  struct Transfer {
    MemberId target;
    int64_t deadline_nanos = 0;
    absl::AnyInvocable<void(absl::Status)> done;
  };

  // replica.cc: events and turns
  void StartOnLoop();
  void OnTick();
  void CatchUpTicks();
  void ScheduleTurn();
  void RunTurn();
  void ApplyWhatIsDue();
  void OnDurable(LogIndex index, Term term);
  void DropReleased();
  void OnDropped();
  void OnApplied(const absl::Status& status);
  void StepMessage(const raft::Message& message);
  void StepAppend(PeerMessage message);
  absl::StatusOr<std::optional<uint32_t>> ChainCrcOf(LogIndex index, Term term) const;
  void Fail(const absl::Status& failure);
  void FailFromLog(const absl::Status& failure);

  // replica_ready.cc: what the core asks for
  void DrainReady();
  void ProcessReady(raft::Ready ready);
  void AppendEntries(const std::vector<raft::EntryMeta>& entries);
  void AppendOwn(const raft::EntryMeta& entry);
  void AppendReceived(const std::vector<raft::EntryMeta>& entries);
  void AppendToLog(std::vector<raft::EntryMeta> entries, Bytes frames);
  void RetryStalled();
  void TruncateFrom(LogIndex from);
  void SendMessage(raft::Message message);
  uint32_t LastChainCrc() const;

  // replica_lead.cc: leading: proposals, leadership, transfer, stopping
  void CheckLeadership();
  void LoseLeadership(const absl::Status& why);
  void MaybeServe();
  void DecideProposals();
  bool MayDecide();
  bool WithinBounds(int64_t uncommitted);
  void RefuseHeld(const absl::Status& why);
  size_t DecideOne(LogIndex base);  // returns the proposal's size
  void ProposeFrames();
  int64_t UncommittedBytes();
  void CheckAllDisks();
  void StartTransfer(MemberId target, absl::AnyInvocable<void(absl::Status)> done);
  void CheckTransfer();
  void BeginStop();
  void ContinueStop();
  void FinishStop();
  void ReportStopped(const absl::Status& how);
  MemberId BestSuccessor() const;

  // replica_reads.cc
  void BeginRead(ReadIndexCallback done);
  void ConfirmReads(raft::ReadRound confirmed);
  void FailReads(const absl::Status& why);

  // replica_status.cc
  void PublishIfChanged();
  std::shared_ptr<LedgerStatus> BuildStatus() const;

  int64_t now() const { return deps_.clock->MonotonicNanos(); }

  const ReplicaOptions options_;
  ReplicaDeps deps_;
  Storage storage_;
  raft::Node node_;
  ProposalQueue queue_;
  ProposalBatcher batcher_;
  Completions completions_;
  Applier applier_;
  Scrubber scrubber_;

  // Time and turns.
  int64_t last_tick_nanos_ = 0;
  bool turn_scheduled_ = false;
  bool started_ = false;
  bool stopped_ = false;  // failed or closed: no input is taken any more
  absl::Status failure_;

  // Follower: the frames of the kAppend being stepped.
  const raft::Message* received_ = nullptr;
  Bytes received_frames_;
  bool received_checked_ = false;
  std::deque<Stalled> stalled_;
  size_t stalled_bytes_ = 0;

  // Leader.
  Term leading_term_;                           // 0: not leading
  bool serving_ = false;                        // BeginLeadership was called
  std::deque<std::unique_ptr<Proposal>> held_;  // taken, not decided yet
  struct Decided {
    std::unique_ptr<Proposal> proposal;
    LogIndex index;
    bool logged;
  };
  std::vector<Decided> decided_;                                          // of this turn
  std::deque<std::pair<raft::EntryMeta, ProposalBatcher::Frame>> built_;  // proposed, not taken
  std::deque<std::pair<LogIndex, int64_t>> uncommitted_;  // index and size of own frames
  int64_t uncommitted_bytes_ = 0;
  std::optional<Transfer> transfer_;
  std::deque<OpenRead> reads_;             // by round
  std::atomic<int32_t> waiting_reads_{0};  // those, and those posted

  LogIndex compacted_;
  LogPosition released_;          // may be dropped before it
  const int64_t max_turn_bytes_;  // of options_, as far as the segment size allows
  std::map<MemberId, PeerState> peers_;

  // Stopping.
  bool stopping_ = false;
  bool closing_log_ = false;
  int64_t stop_deadline_nanos_ = 0;
  absl::AnyInvocable<void(absl::Status)> on_stopped_;

  // Status.
  StatusListener listener_;
  int64_t leaderless_since_nanos_ = 0;
  int64_t apply_due_nanos_ = 0;  // of a follower
  bool members_changed_ = false;
  raft::Role told_role_ = raft::Role::kFollower;
  int64_t published_nanos_ = 0;
  mutable absl::Mutex status_mutex_;
  std::shared_ptr<const LedgerStatus> status_ ABSL_GUARDED_BY(status_mutex_);
};

// The last entry that the state machine has applied for good, as far as the log has it too (a
// damaged log may end earlier). Some before it may have to be applied again
// (StateMachine::ReplayAfter).
LogIndex AppliedAtStart(const StateMachine& state_machine, const SegmentedLog& log);

}  // namespace raftmq::dledger
