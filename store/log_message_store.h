// LogMessageStore: the MessageStore over a replicated log, and the state machine of that log.
//
// Every change is one Proposal (send_proposal.h, receive_proposal.h, ack_proposal.h,
// admin_proposals.h), decided on the replica thread against the LeaderView. What commits reaches
// Apply, whose Dispatcher gives it to the three derived parts: the replicated state (RocksDB), the
// consume queues and the message index. Each part keeps its own durable mark and is rebuilt from
// the log when it is lost. What was sent lately is kept in memory only (recent_sends.h) and rebuilt
// at each start. docs/life_of_a_message.md follows a message through the functions.
//
// Life: Open, Attach (the ledger needs the state machine first), traffic. To end: the ledger stops
// (no Apply, no proposal runs any more), the runner stops running tasks, Close, destruction;
// without Close the next start replays a little more of the log. Opening the same directory twice
// at a time is refused by the member directory's lock (dledger/identity.h), not here.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/task_runner.h"
#include "dledger/ledger.h"
#include "dledger/state_machine.h"
#include "store/dead_letter_queues.h"
#include "store/lite_topics.h"
#include "store/log_message_store_options.h"
#include "store/message_store.h"
#include "store/retention.h"
#include "store/store_counters.h"
#include "store/store_gauges.h"
#include "store/waiting_messages.h"

namespace raftmq::store {

class LogMessageStore final : public MessageStore, public dledger::StateMachine {
 public:
  // Opens or creates the derived parts in options.dir. The pointers outlive the store. `read` runs
  // disk reads (tag filters, bodies of deliveries), `flush` timed flushes, which take long: give
  // them threads of their own, neither of them the replica's or the apply thread. Tests may use one
  // runner for both.
  static absl::StatusOr<std::unique_ptr<LogMessageStore>> Open(LogMessageStoreOptions options,
                                                               FileSystem* fs, Clock* clock,
                                                               TaskRunner* read, TaskRunner* flush);
  // Removes all that Open makes in `dir`, so that it is made again from the log. No store is open.
  static absl::Status RemoveDerived(const std::string& dir, FileSystem* fs);

  ~LogMessageStore() override;

  LogMessageStore(const LogMessageStore&) = delete;
  LogMessageStore& operator=(const LogMessageStore&) = delete;

  // Once, before the ledger starts. `ledger` stays valid until no method of the store runs any
  // more; the destructor does not use it.
  void Attach(dledger::Ledger* ledger);

  // ---- MessageStore
  void Send(std::vector<NewMessage> messages, dledger::AckLevel ack, SendCallback done) override;
  void Receive(ReceiveRequest request, ReceiveCallback done) override;
  void Ack(std::string group, std::string topic, std::vector<std::string> handles,
           AckCallback done) override;
  void ChangeInvisible(std::string group, std::string topic, std::string handle,
                       int64_t invisible_ms, ChangeCallback done) override;
  void Renew(std::string group, std::string topic, std::string handle, int64_t invisible_ms,
             ChangeCallback done) override;
  void Nack(std::string group, std::string topic, std::string handle,
            std::optional<int64_t> invisible_ms, ChangeCallback done) override;
  void EditTopic(std::string name, TopicEdit edit, DoneCallback done) override;
  void DeleteTopic(std::string name, DoneCallback done) override;
  void EditGroup(std::string name, GroupEdit edit, DoneCallback done) override;
  void DeleteGroup(std::string name, DoneCallback done) override;
  absl::StatusOr<TopicConfig> FindTopic(const std::string& name) const override;
  std::vector<TopicConfig> ListTopics() const override;
  absl::StatusOr<GroupConfig> FindGroup(const std::string& name) const override;
  std::vector<GroupConfig> ListGroups() const override;
  void UpdateOffset(std::string group, std::string topic, QueueId queue, QueueOffset offset,
                    std::string client_id, DoneCallback done) override;
  void MoveOffsets(OffsetMoveRequest request, MoveCallback done) override;
  absl::StatusOr<std::vector<OffsetMove>> ListOffsetMoves(const std::string& group) const override;
  absl::StatusOr<std::vector<QueueHold>> ListHolds(const std::string& group) const override;
  void LockQueues(QueueLockRequest request, LockCallback done) override;
  absl::StatusOr<QueueOffset> CommitOffset(const std::string& group, const std::string& topic,
                                           QueueId queue) const override;
  absl::StatusOr<std::vector<QueueProgress>> GroupProgress(const std::string& group) const override;
  absl::StatusOr<QueueRange> Range(const std::string& topic, QueueId queue) const override;
  absl::StatusOr<QueueOffset> OffsetByTime(const std::string& topic, QueueId queue,
                                           int64_t timestamp_ms) const override;
  absl::StatusOr<std::vector<std::string>> Pull(const std::string& topic, QueueId queue,
                                                QueueOffset offset, int32_t max_messages,
                                                int64_t max_bytes) const override;
  absl::StatusOr<std::string> RecordAt(LogPosition position) const override;
  absl::StatusOr<std::vector<std::string>> QueryByKey(const std::string& topic,
                                                      const std::string& key, int64_t begin_ms,
                                                      int64_t end_ms,
                                                      int32_t max_messages) const override;
  void SetArrivalListener(ArrivalListener* listener) override;
  LogIndex AppliedIndex() const override;
  absl::StatusOr<std::string> DumpState() const override;

  // Delayed messages and transactions; dead letters; lite topics; what expires. Live as long as the
  // store.
  WaitingMessages& waiting();
  DeadLetterQueues& dead_letters();
  LiteTopics& lite_topics();
  Retention& retention();

  // For metrics: what happened since this process started, and how things are now.
  const StoreCounters& counters() const;
  StoreGauges ReadGauges(size_t max_rows) const;

  // ---- StateMachine
  LogIndex DurableAppliedIndex() const override;
  LogIndex ReplayAfter() const override;
  // Of the state only: queues and index are made again from what the log still has.
  LogIndex NeedsEntriesAfter() const override;
  absl::Status Apply(std::span<const dledger::CommittedEntry> entries) override;
  void BeginLeadership(Term term) override;
  void EndLeadership() override;

  // Runs `then` once this member has applied the entry `index`, at once or on the apply thread;
  // with an error if it stops before. For an index that is committed: others are kept until it
  // stops.
  void WhenApplied(LogIndex index, absl::AnyInvocable<void(const absl::Status&)> then);

  // Makes all that is applied durable and moves the marks. Any thread; waits for a running Apply.
  absl::Status Flush();

  // Flush, and leaves the index so that the next Open is quick. Last call.
  absl::Status Close();

 private:
  struct Parts;
  explicit LogMessageStore(std::unique_ptr<Parts> parts);

  void ScheduleFlush();

  const std::unique_ptr<Parts> parts_;
};

}  // namespace raftmq::store
