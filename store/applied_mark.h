// AppliedMark: how much of the log a derived structure (consume queues, index files) has on disk.
#pragma once

#include <compare>

#include "base/ids.h"

namespace raftmq::store {

// All entries up to `index` are in it; `position` is the end of that entry's frame, so a record is
// in it if, and only if, its own position is lower. {0, 0}: nothing is.
struct AppliedMark {
  LogIndex index;
  LogPosition position;

  auto operator<=>(const AppliedMark&) const = default;
};

}  // namespace raftmq::store
