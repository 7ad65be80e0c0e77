// StateChanges: where BrokerState writes the rows that changed, so that a database can mirror it.
//
// Keys and values of each column are in docs/formats.md, "state". Called on the thread that
// applies, in order; a later call for a key replaces an earlier one.
#pragma once

#include <cstdint>
#include <string_view>

namespace raftmq::store {

// One column family each. In the order in which rows must be loaded.
enum class StateColumn : uint8_t {
  kMeta = 0,
  kTopics = 1,
  kGroups = 2,
  kQueues = 3,
  kPositions = 4,
  kLeases = 5,
  kTimers = 6,
  kTransactions = 7,
  kEndedTransactions = 8,
  kDeadLettered = 9,
  kRedriven = 10,
  kKept = 11,
  kKeptBytes = 12,  // not loaded: read when they are asked for
  kQueueLocks = 13,
  kOffsetMoves = 14,
  kLiteSubscriptions = 15,
};
inline constexpr int kStateColumns = 16;

class StateChanges {
 public:
  virtual ~StateChanges() = default;
  virtual void Put(StateColumn column, std::string_view key, std::string_view value) = 0;
  virtual void Delete(StateColumn column, std::string_view key) = 0;
};

}  // namespace raftmq::store
