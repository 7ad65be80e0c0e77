// OffsetMove: an operator moves a group's offsets on a topic: a reset, a skip to the end, a copy of
// another group's, or the undo of such a move. All queues at once, in one entry of the log; who did
// it, and where the offsets were before, is kept (offset_moves.h).
//
// Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"

namespace raftmq::store {

// On disk: numbers are never re-used.
enum class OffsetMoveKind : uint8_t {
  kReset = 1,  // to offsets, a time, or the beginning
  kSkip = 2,   // to the end
  kClone = 3,  // to another group's offsets
  kUndo = 4,
};

// "RESET", …
std::string_view OffsetMoveKindName(OffsetMoveKind kind);

struct OffsetMove {
  struct Item {
    QueueId queue;
    QueueOffset from;  // commit offset before
    QueueOffset to;
    bool operator==(const Item&) const = default;
  };
  uint64_t number = 0;  // in its group, from 1 on
  int64_t log_time_ms = 0;
  OffsetMoveKind kind = OffsetMoveKind::kReset;
  uint64_t undoes = 0;  // with kUndo: that move's number; 0 otherwise
  std::string topic;
  std::string who;          // as the caller said: client id, user, host
  std::string why;          // likewise: a command, a reason
  std::vector<Item> items;  // empty: the topic was deleted since
  bool operator==(const OffsetMove&) const = default;
};

struct OffsetMoveRequest {
  struct ToOffset {
    QueueOffset offset;
  };
  struct ToBegin {};
  struct ToEnd {};
  struct ToTime {
    int64_t ms = 0;  // the first message stored then or later
  };
  struct ToGroup {
    std::string group;  // whose offsets on the topic are taken
  };
  // Back to where the offsets were before that move. 0: the latest that is not an undo itself and
  // was not undone, on the topic if one is given.
  struct Undo {
    uint64_t number = 0;
  };

  std::string group;
  std::string topic;
  std::vector<QueueId> queues;  // empty: all of the topic; not looked at by Undo
  std::variant<ToOffset, ToBegin, ToEnd, ToTime, ToGroup, Undo> to;
  std::string who;
  std::string why;
};

}  // namespace raftmq::store
