// MessageStore: the meaning of the replicated log. Sends, receives and acks become entries; the
// applied log becomes topics, groups, consume queues, indexes and leases.
//
// One per broker group member, owned by the process's wiring. All methods may be called from any
// thread. Callbacks run on a thread of the store or on the replica thread: they must not block.
// Methods that change state work on the leader only and end with Reason::kNotLeader elsewhere (the
// broker forwards); reads answer from this member's applied state.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/model.h"
#include "store/offset_move.h"
#include "store/reason.h"

namespace raftmq::store {

// What became readable of a queue with one batch of entries.
struct Arrival {
  QueueOffset first;  // of the first new message; `max` if there is none
  QueueOffset max;    // one past the queue's last message
  // EntryTag of each new message, each once. None: not known, since there are many, or since
  // older messages became readable too.
  std::optional<std::vector<int64_t>> tags;
};

// Told of what was applied and that somebody may wait for. Called on the apply thread after a batch
// is applied; must not block.
class ArrivalListener {
 public:
  virtual ~ArrivalListener() = default;
  // Messages became readable.
  virtual void OnArrival(const std::string& topic, QueueId queue, const Arrival& arrival) = 0;
  // A lease that is its message's last attempt ends earlier than any did before
  // (dead_letter_queues.h).
  virtual void OnEarlierFinalLease() {}
};

class MessageStore {
 public:
  virtual ~MessageStore() = default;

  // ---- Messages

  // Appends all messages or none of them, in order, as one proposal. They must be of one topic.
  // `done` comes when `ack` is reached; for a message that waits (delayed, half) not before a
  // majority's disks have it. kAllDisks: refused as kAckLevelUnavailable while a member is away,
  // ends as kAckTimeout if it takes too long.
  using SendCallback = absl::AnyInvocable<void(absl::StatusOr<std::vector<SendResult>>)>;
  virtual void Send(std::vector<NewMessage> messages, dledger::AckLevel ack, SendCallback done) = 0;

  // Leases up to max_messages to the caller; returns at once, also with none (long polling is the
  // broker's). Creates the group by its defaults on first use. The grant is committed before done.
  using ReceiveCallback = absl::AnyInvocable<void(absl::StatusOr<ReceiveResult>)>;
  virtual void Receive(ReceiveRequest request, ReceiveCallback done) = 0;

  // One status for each handle, in order.
  using AckCallback = absl::AnyInvocable<void(std::vector<absl::Status>)>;
  virtual void Ack(std::string group, std::string topic, std::vector<std::string> handles,
                   AckCallback done) = 0;

  // Makes a leased message visible again `invisible_ms` from now (0: at once). Returns the handle
  // to use from now on; the old one stays good for an ack.
  using ChangeCallback = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;
  virtual void ChangeInvisible(std::string group, std::string topic, std::string handle,
                               int64_t invisible_ms, ChangeCallback done) = 0;

  // The same on behalf of a receiver that did not ask for it: refused, as Reason::
  // kInvalidReceiptHandle, if the lease's end is not the one that the handle knows any more.
  // Whoever moved it, with a nack say, meant it.
  virtual void Renew(std::string group, std::string topic, std::string handle, int64_t invisible_ms,
                     ChangeCallback done) = 0;

  // A receiver failed on a message: it comes again `invisible_ms` from now, or by the group's retry
  // policy if that is not given; after the last attempt it does not, and is due for the dead-letter
  // queue at once.
  virtual void Nack(std::string group, std::string topic, std::string handle,
                    std::optional<int64_t> invisible_ms, ChangeCallback done) = 0;

  // ---- Topics and groups

  using DoneCallback = absl::AnyInvocable<void(absl::Status)>;
  // Creates or changes: `edit` is given what there is, pending changes included, or the defaults of
  // a topic of this name, and says what there shall be; an error of its own refuses. It is
  // called at most once, on the replica thread: it must be quick. So two changes at the same time
  // are one after the other. Queue counts may grow; fewer write queues than before
  // stay readable.
  using TopicEdit = absl::AnyInvocable<absl::Status(bool exists, TopicConfig* topic)>;
  using GroupEdit = absl::AnyInvocable<absl::Status(bool exists, GroupConfig* group)>;
  virtual void EditTopic(std::string name, TopicEdit edit, DoneCallback done) = 0;
  virtual void EditGroup(std::string name, GroupEdit edit, DoneCallback done) = 0;
  virtual void DeleteTopic(std::string name, DoneCallback done) = 0;
  virtual void DeleteGroup(std::string name, DoneCallback done) = 0;

  // The same, whatever there was before.
  void UpdateTopic(TopicConfig topic, DoneCallback done);
  void UpdateGroup(GroupConfig group, DoneCallback done);

  virtual absl::StatusOr<TopicConfig> FindTopic(const std::string& name) const = 0;
  // Without lite topics (lite_topics.h).
  virtual std::vector<TopicConfig> ListTopics() const = 0;
  virtual absl::StatusOr<GroupConfig> FindGroup(const std::string& name) const = 0;
  virtual std::vector<GroupConfig> ListGroups() const = 0;

  // ---- Offsets (the classic queue model; pop keeps the same positions)

  // Moves a group's commit offset on a queue. `client_id`: of the consumer that commits, which is
  // refused (kForbidden) while another one holds the queue's lock, and may not go back
  // (kIllegalOffset) where the group ever locked the queue; "": an operator, who may.
  virtual void UpdateOffset(std::string group, std::string topic, QueueId queue, QueueOffset offset,
                            std::string client_id, DoneCallback done) = 0;
  virtual absl::StatusOr<QueueOffset> CommitOffset(const std::string& group,
                                                   const std::string& topic,
                                                   QueueId queue) const = 0;
  // Rows for every queue of every topic the group has a position on, sorted.
  virtual absl::StatusOr<std::vector<QueueProgress>> GroupProgress(
      const std::string& group) const = 0;

  // An operator moves a group's offsets on a topic, on all queues that the request names in one
  // entry. Their leases are void, and who holds their locks has to take them anew. Answered with
  // what was done, once it is applied on this member. The group is created by its defaults if need
  // be, but by a request to undo.
  using MoveCallback = absl::AnyInvocable<void(absl::StatusOr<OffsetMove>)>;
  virtual void MoveOffsets(OffsetMoveRequest request, MoveCallback done) = 0;
  // The latest moves of the group, oldest first: 64 at most (offset_moves.h).
  virtual absl::StatusOr<std::vector<OffsetMove>> ListOffsetMoves(
      const std::string& group) const = 0;

  // By topic, queue and client. Locks and leases that are over by the clock of the last entry are
  // left out.
  virtual absl::StatusOr<std::vector<QueueHold>> ListHolds(const std::string& group) const = 0;

  // Takes or renews the queues that no other client of the group holds, for lease_ms from now, or
  // lets go of the client's own; gives those. A group that is new to the topic gets its positions.
  using LockCallback = absl::AnyInvocable<void(absl::StatusOr<std::vector<QueueId>>)>;
  virtual void LockQueues(QueueLockRequest request, LockCallback done) = 0;

  // ---- Reading by place

  struct QueueRange {
    QueueOffset min;
    QueueOffset max;  // one past the last
    int64_t last_store_ms = 0;
  };
  virtual absl::StatusOr<QueueRange> Range(const std::string& topic, QueueId queue) const = 0;
  // First offset whose message was stored at or after `timestamp_ms`; max if none.
  virtual absl::StatusOr<QueueOffset> OffsetByTime(const std::string& topic, QueueId queue,
                                                   int64_t timestamp_ms) const = 0;
  // Whole records from `offset` on, at most max_messages and about max_bytes. May read the disk.
  virtual absl::StatusOr<std::vector<std::string>> Pull(const std::string& topic, QueueId queue,
                                                        QueueOffset offset, int32_t max_messages,
                                                        int64_t max_bytes) const = 0;
  virtual absl::StatusOr<std::string> RecordAt(LogPosition position) const = 0;
  // Records with this key (or client message id) stored in [begin_ms, end_ms], newest first.
  virtual absl::StatusOr<std::vector<std::string>> QueryByKey(const std::string& topic,
                                                              const std::string& key,
                                                              int64_t begin_ms, int64_t end_ms,
                                                              int32_t max_messages) const = 0;

  // ---- The replica

  virtual void SetArrivalListener(ArrivalListener* listener) = 0;  // once, before traffic
  virtual LogIndex AppliedIndex() const = 0;
  // Everything replicated, as sorted lines of text: equal on two members at the same applied index.
  virtual absl::StatusOr<std::string> DumpState() const = 0;
};

inline void MessageStore::UpdateTopic(TopicConfig topic, DoneCallback done) {
  std::string name = topic.name;
  EditTopic(
      std::move(name),
      [topic = std::move(topic)](bool, TopicConfig* edited) {
        *edited = topic;
        return absl::OkStatus();
      },
      std::move(done));
}

inline void MessageStore::UpdateGroup(GroupConfig group, DoneCallback done) {
  std::string name = group.name;
  EditGroup(
      std::move(name),
      [group = std::move(group)](bool, GroupConfig* edited) {
        *edited = group;
        return absl::OkStatus();
      },
      std::move(done));
}

}  // namespace raftmq::store
