// Settlement: something that waits in the replicated state and that one entry ends: a timer, a
// transaction's half message, a lease, a dead letter.
//
// It is ended either together with a record, which then carries the settlement in a property of its
// own (property::kSettles): a timer's delivery, a commit, a dead-lettering, each one entry; or by
// itself, by the command Settle: a recall, a rollback, what is delivered nowhere. Whether it is
// still open is decided once, by the leader (LeaderView::IsOpen).
//
// Plain values and pure functions; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace raftmq::store {

// A delayed message: the record at `position` is due at `due_ms` of wall time.
struct TimerRef {
  int64_t due_ms = 0;
  LogPosition position;
  auto operator<=>(const TimerRef&) const = default;
};

// A half message: the record at `position`.
struct HalfRef {
  LogPosition position;
  auto operator<=>(const HalfRef&) const = default;
};

// A message given to a consumer; ended, it counts as acked.
struct LeaseRef {
  std::string group;
  std::string topic;
  QueueId queue;
  QueueOffset offset;
  uint64_t lease_id = 0;
  bool operator==(const LeaseRef&) const = default;
};

// A dead letter, by its place in its queue, that goes back to where it came from.
struct RedriveRef {
  std::string topic;  // %DLQ%…
  QueueId queue;
  QueueOffset offset;
  bool operator==(const RedriveRef&) const = default;
};

using Settlement = std::variant<TimerRef, HalfRef, LeaseRef, RedriveRef>;

// On disk, as a property's value and in the command Settle: a letter, then numbers and names with
// ':' between them. docs/formats.md, "settlements".
std::string EncodeSettlement(const Settlement& settlement);

// DataLoss for anything EncodeSettlement would not have written.
absl::StatusOr<Settlement> ParseSettlement(std::string_view text);

}  // namespace raftmq::store
