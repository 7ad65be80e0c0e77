// BrokerState: all replicated state of a broker group except the messages' bytes: topics, groups,
// queue ends, consumer positions and leases, the lease clock and the log time.
//
// Deterministic: equal commands and records in equal order give equal states (DumpText). There are
// two of them in a store: `applied`, what the committed log says, mirrored into a database through
// StateChanges; and, on the leader, `leading`: a Copy of it to which each Decide applies what it
// proposes at once, so that the next Decide sees it. What is decided for `leading` is thereby
// applied by the same code to `applied` later.
//
// An error of Apply or ApplyRecord means that log and state contradict each other: our own
// corruption. The replica must stop; the state may be half changed.
//
// Not thread-safe: `applied` is changed on the apply thread and read under its owner's lock, const
// methods beside each other; `leading` belongs to the replica thread.
//
// Longer than usual: it is the list of all that is replicated, some lines for each kind; what a
// kind consists of is in the headers below.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/commands.h"
#include "store/dead_lettered.h"
#include "store/ended_transactions.h"
#include "store/final_leases.h"
#include "store/grant_plan.h"
#include "store/kept_records.h"
#include "store/lite_subscriptions.h"
#include "store/model.h"
#include "store/offset_moves.h"
#include "store/position.h"
#include "store/queue_locks.h"
#include "store/redriven_messages.h"
#include "store/state_changes.h"
#include "store/state_values.h"
#include "store/timer_table.h"
#include "store/transaction_table.h"

namespace raftmq::store {

// What is proposed and not yet in an entry, for `leading`: the created_index of a topic made there.
inline constexpr LogIndex kPendingIndex{std::numeric_limits<int64_t>::max()};

class BrokerState {
 public:
  BrokerState() = default;
  BrokerState(BrokerState&&) = default;
  BrokerState& operator=(BrokerState&&) = default;

  // The same state, never to be mirrored.
  BrokerState Copy() const { return BrokerState(*this); }

  // ---- Change (one per kind; `index` never goes down)

  absl::Status Apply(const Command& command, LogIndex index);

  // One message was stored at the end of its queue.
  absl::Status ApplyRecord(std::string_view topic, QueueId queue, QueueOffset offset,
                           int64_t store_ms, LogIndex index,
                           Audience audience = Audience::kAllGroups);

  // What a record's entry does beside storing it. Nothing, in a Copy: what it adds there is taken
  // up only once it is applied.
  void AddTimer(const TimerRef& timer, int32_t record_size);
  void PutHalf(LogPosition position, const HalfMessage& half);

  // A record that a Retain names, right before that is applied; nothing if nothing waits for it, or
  // in a Copy. `due_ms`: of a delayed message.
  void KeepRecord(LogPosition position, const KeptRecord& record, KeptRecords::Bytes bytes,
                  int64_t due_ms);

  // Ends what `settlement` names, which is open; a transaction so. In a Copy leases and dead
  // letters only (LeaderView).
  absl::Status ApplySettlement(const Settlement& settlement, TransactionEnd end);

  // ---- Mirror

  // Rows changed from now on go to `changes` (not owned; null: nowhere), at FinishBatch. Set before
  // anything is applied or right after loading. REQUIRES: not a Copy.
  void SetChanges(StateChanges* changes);

  // Everything up to the entry `applied` is applied. Hands over no rows: they wait for FinishBatch.
  // What is granted and acked between two of those never becomes a row, so that it pays to call it
  // only before the database's flush, or when many rows are waiting.
  void AdvanceTo(LogIndex applied);

  // AdvanceTo, then hands over all rows that changed since the last time, and the clocks and the
  // index: what the sink has then is the state at `applied`.
  void FinishBatch(LogIndex applied);

  // What FinishBatch handed over can be read from the database now.
  void ForgetCommittedBytes() { kept_.ForgetCommittedBytes(); }

  // About how many rows wait (an upper bound).
  size_t pending_rows() const { return pending_rows_; }

  // Takes one row back, columns in their order (state_changes.h). DataLoss if it is none of ours.
  absl::Status LoadRow(StateColumn column, std::string_view key, std::string_view value);

  // ---- Look: all null, empty or false for names that do not exist

  const TopicConfig* FindTopic(std::string_view name) const;
  const GroupConfig* FindGroup(std::string_view name) const;
  std::vector<TopicConfig> Topics() const;  // by name
  std::vector<GroupConfig> Groups() const;  // by name

  // Queues that exist: as many as the topic ever had.
  int32_t QueueCount(std::string_view topic) const;
  std::optional<QueueEnds> FindQueue(std::string_view topic, QueueId queue) const;

  // Whether the group's positions on this topic were ever set. If so, queues without one of their
  // own are taken to be at their min offset; if not, Grant needs InitPositions first.
  bool HasPositions(std::string_view group, std::string_view topic) const;
  // None: no such group, queue, or no positions.
  std::optional<QueueProgress> FindProgress(std::string_view group, std::string_view topic,
                                            QueueId queue) const;
  // Every queue of every topic the group has positions on, by topic and queue. last_store_ms stays
  // 0: it is in the messages.
  std::vector<QueueProgress> Progress(std::string_view group) const;
  // Topics the group has positions on, by name.
  std::vector<std::string> TopicsOf(std::string_view group) const;

  // What to lease now: messages whose lease is over first, lowest offset first, unless that was
  // their last attempt; then new ones. The former are not filtered here (they passed once). Empty
  // without positions. Not const: it sorts leases that are over (Position::Settle).
  GrantPlan PickGrants(const GrantRequest& request);

  // The message that `handle` leases, or Reason::kInvalidReceiptHandle.
  absl::StatusOr<LeasedMessage> CheckHandle(std::string_view group, std::string_view topic,
                                            std::string_view handle) const;

  // Null: the queue has no position of its own.
  const Position* FindPosition(std::string_view group, std::string_view topic, QueueId queue) const;

  // The lease on one message, null if it is not in flight.
  const Lease* FindLease(std::string_view group, std::string_view topic, QueueId queue,
                         QueueOffset offset) const;

  // Null: nobody locked the queue. It may be over.
  const QueueLock* FindLock(const LockedQueue& name) const;
  const QueueLocks& queue_locks() const { return queue_locks_; }

  // Of the group's offsets, by operators; null: no such group.
  const OffsetMoves* FindMoves(std::string_view group) const;

  // Parents that have lite topics; the lite topics of one, by their stored names (names.h), from
  // the one after `after` on.
  std::vector<std::string> LiteParents() const;
  std::vector<std::string> LiteTopicsOf(std::string_view parent, std::string_view after,
                                        size_t max) const;
  size_t LiteTopicCount(std::string_view parent) const;
  size_t lite_topic_count() const { return lite_topic_count_; }
  const LiteSubscriptions& lite_subscriptions() const { return lite_subscriptions_; }

  const FinalLeases& final_leases() const { return final_leases_; }
  const DeadLettered& dead_lettered() const { return dead_lettered_; }
  const RedrivenMessages& redriven() const { return redriven_; }
  // Empty in a Copy.
  const TimerTable& timers() const { return timers_; }
  const TransactionTable& transactions() const { return transactions_; }
  const EndedTransactions& ended_transactions() const { return ended_transactions_; }

  const KeptRecords& kept() const { return kept_; }  // empty in a Copy

  // Messages before it have expired; the log is kept from there on.
  LogPosition min_position() const { return min_position_; }
  // Messages of the queue in [from, end) that some group has in flight; of several, several times.
  std::vector<QueueOffset> InflightBetween(std::string_view topic, QueueId queue, QueueOffset from,
                                           QueueOffset end) const;
  // Since this was asked last, by what this process applied; none in a Copy.
  std::vector<MissedMessages> TakeMissed() { return std::exchange(missed_, {}); }

  int64_t log_time_ms() const { return log_time_ms_; }
  int64_t lease_time_ms() const { return lease_time_ms_; }
  uint64_t next_lease_id() const { return next_lease_id_; }
  LogIndex applied_index() const { return applied_index_; }

  // The whole state as sorted lines: equal for equal states.
  std::string DumpText() const;

 private:
  struct QueueState {
    QueueEnds ends;
    bool dirty = false;  // in dirty_queues_
  };
  struct TopicState {
    TopicConfig config;
    std::vector<QueueState> queues;
  };
  struct PositionState {
    bool set = false;  // false: the queue is younger than the group's positions
    bool dirty = false;
    Position position;
    // Since the last FinishBatch: leases made or moved (they may be gone again), and leases gone
    // that have a row.
    std::vector<QueueOffset> touched_leases;
    std::vector<QueueOffset> erased_leases;
  };
  using TopicPositions = std::vector<PositionState>;  // by queue; may be shorter than the topic's
  struct GroupState {
    GroupConfig config;
    absl::flat_hash_map<std::string, TopicPositions> topics;
    OffsetMoves moves;
  };
  struct PositionName {
    std::string group;
    std::string topic;
    QueueId queue;
  };

  BrokerState(const BrokerState& other);
  BrokerState& operator=(const BrokerState&) = delete;

  absl::Status ApplyBody(const PutTopic& put, LogIndex index);
  absl::Status ApplyBody(const DeleteTopic& del, LogIndex index);
  absl::Status ApplyBody(const PutGroup& put, LogIndex index);
  absl::Status ApplyBody(const DeleteGroup& del, LogIndex index);
  absl::Status ApplyBody(const InitPositions& init, LogIndex index);
  absl::Status ApplyBody(const Grant& grant, LogIndex index);
  absl::Status ApplyBody(const Ack& ack, LogIndex index);
  absl::Status ApplyBody(const ChangeInvisible& change, LogIndex index);
  absl::Status ApplyBody(const UpdateOffset& update, LogIndex index);
  absl::Status ApplyBody(const Settle& settle, LogIndex index);
  absl::Status ApplyBody(const CheckTransactions& check, LogIndex index);
  absl::Status ApplyBody(const Retain& retain, LogIndex index);
  absl::Status ApplyBody(const LockQueues& lock, LogIndex index);
  absl::Status ApplyBody(const MoveOffsets& move, LogIndex index);
  absl::Status ApplyBody(const SubscribeLite& subscribe, LogIndex index);

  TopicState* MutableTopic(std::string_view name);
  GroupState* MutableGroup(std::string_view name);
  const TopicState* FindTopicState(std::string_view name) const;
  const TopicPositions* FindPositions(std::string_view group, std::string_view topic) const;
  // The position to change, made at the queue's min offset if the queue has none yet. Refuses names
  // that do not exist; `must_have` also a group without positions on the topic.
  absl::StatusOr<PositionState*> PositionToChange(std::string_view group, std::string_view topic,
                                                  QueueId queue, bool must_have);
  // Leases are void; the position is at `offset`, or at the queue's first if that is higher.
  absl::Status StartAnew(const PositionName& name, PositionState* state, QueueOffset offset);
  // Before a lease goes or changes; after it came or changed.
  void ForgetFinal(const Lease& lease);
  void NoteFinal(const GroupConfig& group, std::string_view topic, QueueId queue,
                 QueueOffset offset, const Lease& lease);
  void ForgetFinals(const TopicPositions& positions);
  // Moves groups that are below the queue's first offset up to it.
  void MovePositionsUp(const std::string& topic, QueueId queue, QueueOffset min);
  // A lease of this message is gone; is it kept for another one? The same for what waited at
  // `position`.
  void DropKept(std::string_view topic, QueueId queue, QueueOffset offset);
  void DropKeptOf(std::string_view topic, const TopicPositions& positions);
  void DropKeptAt(LogPosition position);
  void NoteFinals(const GroupState& group);
  void PickExpired(const GrantRequest& request, int64_t max_attempts, TopicPositions& positions,
                   GrantPlan* plan) const;
  void PickNew(const GrantRequest& request, const TopicState& topic,
               const TopicPositions& positions, GrantPlan* plan) const;
  void PickNewOf(const GrantRequest& request, const GrantRequest::Queue& queue, QueueOffset next,
                 int64_t inflight, GrantPlan* plan) const;

  // Rows; nothing happens without a sink.
  void MarkQueue(std::string_view topic, QueueId queue, QueueState* state);
  void MarkPosition(std::string_view group, std::string_view topic, QueueId queue,
                    PositionState* state);
  void PutTopicRow(const TopicState& topic);
  void PutGroupRow(const GroupConfig& group);
  // Before a lease goes; after it came or moved.
  void MarkErased(PositionState* state, QueueOffset offset);
  void MarkTouched(PositionState* state, QueueOffset offset);
  void PutLeaseRows(const PositionName& name, PositionState* state);
  void DeletePositionRows(std::string_view group, std::string_view topic,
                          const TopicPositions& positions);
  absl::Status ApplyRedrive(const RedriveRef& redrive);
  void PutDirtyQueues();
  void PutDirtyPositions();
  void PutWaitingRows();
  void PutKeptRows();
  void MarkLock(LockedQueue name);
  void EraseLocksIf(absl::FunctionRef<bool(const LockedQueue&)> gone);
  void PutLockRows();
  void PutMoveRow(std::string_view group, const OffsetMove& move);
  void DeleteMoveRows(std::string_view group, const OffsetMoves& moves);
  void NoteLiteTopic(const std::string& topic);
  void ForgetLiteTopic(const std::string& topic);
  void MarkLite(LiteSubscriptionKey key);
  void EraseLiteClientsIf(absl::FunctionRef<bool(const LiteClient&)> gone);
  void PutLiteRows();
  void PutMeta();

  absl::Status LoadMeta(std::string_view key, std::string_view value);
  absl::Status LoadTopic(std::string_view key, std::string_view value);
  absl::Status LoadGroup(std::string_view key, std::string_view value);
  absl::Status LoadQueue(std::string_view key, std::string_view value);
  absl::Status LoadPosition(std::string_view key, std::string_view value);
  absl::Status LoadLease(std::string_view key, std::string_view value);
  absl::Status LoadKept(std::string_view key, std::string_view value);
  absl::Status LoadLock(std::string_view key, std::string_view value);
  absl::Status LoadMove(std::string_view key, std::string_view value);
  absl::Status LoadLite(std::string_view key, std::string_view value);
  absl::Status LoadWaiting(StateColumn column, std::string_view key, std::string_view value);

  absl::flat_hash_map<std::string, TopicState> topics_;
  absl::flat_hash_map<std::string, GroupState> groups_;
  FinalLeases final_leases_;
  DeadLettered dead_lettered_;
  RedrivenMessages redriven_;
  QueueLocks queue_locks_;
  // Of the topics: which are lite topics, by parent.
  absl::flat_hash_map<std::string, std::set<std::string, std::less<>>> lite_topics_;
  size_t lite_topic_count_ = 0;
  LiteSubscriptions lite_subscriptions_;
  TimerTable timers_;
  TransactionTable transactions_;
  EndedTransactions ended_transactions_;
  KeptRecords kept_;
  LogPosition min_position_;
  std::vector<MissedMessages> missed_;
  int64_t log_time_ms_ = 0;
  int64_t lease_time_ms_ = 0;
  uint64_t next_lease_id_ = 1;
  LogIndex applied_index_;

  StateChanges* changes_ = nullptr;
  bool is_copy_ = false;
  size_t pending_rows_ = 0;
  // Rows to write at FinishBatch. May name what was deleted since.
  std::vector<std::pair<std::string, QueueId>> dirty_queues_;
  std::vector<PositionName> dirty_positions_;
  absl::btree_map<TimerRef, bool> dirty_timers_;  // came, changed or (true) went since then
  absl::btree_map<LogPosition, bool> dirty_halves_;
  absl::btree_map<LogPosition, bool> dirty_kept_;
  std::vector<EndedTransactions::Entry> new_ended_;
  std::vector<uint64_t> forgotten_ended_;  // numbers
  std::vector<DeadLettered::Entry> new_dead_;
  std::vector<uint64_t> forgotten_dead_;      // numbers
  std::set<LockedQueue> dirty_locks_;         // came, changed or went
  std::set<LiteSubscriptionKey> dirty_lite_;  // came or went
};

}  // namespace raftmq::store
