// Commands: the entries that change the replicated state without carrying messages.
//
// The leader's Decide builds one after checking it against the state; every member applies it
// exactly as written (BrokerState::Apply). The encoding is on disk for as long as the log is: types
// and versions are never re-used, an unknown one stops the replica. docs/formats.md, "state".
//
// Plain values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/model.h"
#include "store/offset_move.h"
#include "store/settlement.h"

namespace raftmq::store {

// Bounds of the encoding, far above what the leader writes.
inline constexpr size_t kMaxNameBytes = 255;         // topic and group names
inline constexpr size_t kMaxClientTextBytes = 1024;  // client id, attempt id
inline constexpr size_t kMaxCommandItems = 65536;    // items of any one list
inline constexpr int32_t kMaxQueues = 65536;         // queues of one topic

// Creates the topic or changes it; created_index and created_ms of the config are not encoded, the
// state sets them.
struct PutTopic {
  TopicConfig config;
  bool operator==(const PutTopic&) const = default;
};

// Removes the topic with its queues and every group's positions on it.
struct DeleteTopic {
  std::string name;
  bool operator==(const DeleteTopic&) const = default;
};

// Creates the group or changes it; as PutTopic.
struct PutGroup {
  GroupConfig config;
  bool operator==(const PutGroup&) const = default;
};

// Removes the group with its positions.
struct DeleteGroup {
  std::string name;
  bool operator==(const DeleteGroup&) const = default;
};

// Where the group starts on the queues of a topic it has no positions on: all of them in one
// command. Queues that the topic gets later start at their first message.
struct InitPositions {
  struct Item {
    QueueId queue;
    QueueOffset offset;
    bool operator==(const Item&) const = default;
  };
  std::string group;
  std::string topic;
  std::vector<Item> items;
  bool operator==(const InitPositions&) const = default;
};

// One message leased.
struct GrantItem {
  QueueId queue;
  QueueOffset offset;
  // 1: first delivery. 0, in order only: not given out, it waits behind its message group.
  int32_t attempt = 1;
  uint64_t lease_id = 0;  // unique in the group of members; ids of one Grant are consecutive
  // In order only: FifoGroupOf the message (store/fifo_grants.h), 0: not known.
  uint64_t message_group = 0;
  bool operator==(const GrantItem&) const = default;
};

// Offsets [from, to) that the receiver's filter left out: they count as acked.
struct FilteredRange {
  QueueId queue;
  QueueOffset from;
  QueueOffset to;
  bool operator==(const FilteredRange&) const = default;
};

// Leases messages to one client: expired ones again and new ones. On every queue the new items and
// the filtered ranges together leave no gap.
struct Grant {
  std::string group;
  std::string topic;
  int64_t lease_until_ms = 0;  // on the lease clock
  std::string client_id;
  std::string attempt_id;  // the client's, "" if it has none
  std::vector<GrantItem> items;
  std::vector<FilteredRange> filtered;
  // To an orderly group. Then what is leased to this very client and attempt is given again, too.
  bool in_order = false;
  bool operator==(const Grant&) const = default;
};

// The messages were consumed.
struct Ack {
  struct Item {
    QueueId queue;
    QueueOffset offset;
    uint64_t lease_id = 0;
    bool operator==(const Item&) const = default;
  };
  std::string group;
  std::string topic;
  std::vector<Item> items;
  bool operator==(const Ack&) const = default;
};

// Moves the end of a lease: renewal, or, with an end that is over, nack. The lease id stays.
struct ChangeInvisible {
  std::string group;
  std::string topic;
  QueueId queue;
  QueueOffset offset;
  uint64_t lease_id = 0;
  int64_t lease_until_ms = 0;
  bool operator==(const ChangeInvisible&) const = default;
};

// The position starts anew at `offset`: everything below counts as acked, nothing from there on
// does, and its leases are void.
struct UpdateOffset {
  std::string group;
  std::string topic;
  QueueId queue;
  QueueOffset offset;
  bool operator==(const UpdateOffset&) const = default;
};

// Ends it without a record: a recalled timer, a rolled back transaction.
struct Settle {
  Settlement settles;
  bool operator==(const Settle&) const = default;
};

// The transactions' producers are asked (again), or are to be at another time. All of them are
// open.
struct CheckTransactions {
  struct Item {
    LogPosition position;  // of the half message
    int32_t checks = 0;    // how often its producers were asked, this time included
    int64_t next_check_ms = 0;
    bool operator==(const Item&) const = default;
  };
  std::vector<Item> items;
  bool operator==(const CheckTransactions&) const = default;
};

// Messages expire. One decision is a row of these: first those that keep records, then those that
// move queues, the last one moves the position.
struct Retain {
  // Offsets below `min` are gone; groups that had not got so far go on there.
  struct Queue {
    std::string topic;
    QueueId queue;
    QueueOffset min;
    bool operator==(const Queue&) const = default;
  };
  // A record that something still waits for (a timer, a transaction, a lease): every member copies
  // it out of the log, unless that was settled meanwhile.
  struct Kept {
    LogPosition position;
    int32_t size = 0;
    bool operator==(const Kept&) const = default;
  };
  // What lies before it in the log may go. Never goes back.
  LogPosition min_position;
  std::vector<Queue> queues;
  std::vector<Kept> kept;
  bool operator==(const Retain&) const = default;
};

// The client is the only one of the group to consume these queues until then; or, with an end of 0,
// it lets go of them. Decided: they are free, or its own.
struct LockQueues {
  std::string group;
  std::string topic;
  std::string client_id;
  int64_t until_ms = 0;  // on the lease clock
  std::vector<QueueId> queues;
  bool operator==(const LockQueues&) const = default;
};

// An operator moves the group's positions on the topic: each starts anew, as with UpdateOffset, and
// whoever holds its queue's lock must let go of it. Where they were before is recorded by Apply.
struct MoveOffsets {
  struct Item {
    QueueId queue;
    QueueOffset offset;
    bool operator==(const Item&) const = default;
  };
  std::string group;
  std::string topic;
  OffsetMoveKind kind = OffsetMoveKind::kReset;
  uint64_t undoes = 0;  // with kUndo
  std::string who;
  std::string why;
  std::vector<Item> items;
  bool operator==(const MoveOffsets&) const = default;
};

// Lite topics that the client has subscribed to from now on, or has not any more. It is in one
// group and on one topic at a time; lite topics need not exist.
struct SubscribeLite {
  std::string group;
  std::string topic;  // the parent
  std::string client_id;
  std::vector<std::string> added;
  std::vector<std::string> removed;
  bool operator==(const SubscribeLite&) const = default;
};

using CommandBody = std::variant<PutTopic, DeleteTopic, PutGroup, DeleteGroup, InitPositions, Grant,
                                 Ack, ChangeInvisible, UpdateOffset, Settle, CheckTransactions,
                                 Retain, LockQueues, MoveOffsets, SubscribeLite>;

struct Command {
  int64_t log_time_ms = 0;    // the leader's clock, never less than the entry before had
  int64_t lease_time_ms = 0;  // lease clock: advanced by the leader's monotonic time only
  CommandBody body;
  bool operator==(const Command&) const = default;
};

// REQUIRES: within the bounds above (CHECKed: the leader's own Decide built it).
std::string EncodeCommand(const Command& command);

// DataLoss for anything EncodeCommand would not have written; Unimplemented for a type or version
// of a newer release.
absl::StatusOr<Command> ParseCommand(std::string_view bytes);

// The commands of one kCommands entry, each prefixed with its length (32 bits). Views into `body`.
absl::StatusOr<std::vector<std::string_view>> SplitCommands(std::string_view body);

// "Grant", for logs and metrics.
std::string_view CommandName(const CommandBody& body);

}  // namespace raftmq::store
