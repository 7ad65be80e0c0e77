// --readFrom, --linearizable and --maxLagMs: which member answers what a command reads, and how far
// behind the answer may be. Plain value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/strings.h"

namespace raftmq::mqadmin {

struct ReadFlags {
  std::string address;  // this member alone is asked; "": the leader, or who answers
  bool linearizable = false;
  std::optional<int64_t> max_lag_ms;

  // As brokers take it (x-raftmq-read); "": they are not asked for any.
  std::string level() const {
    if (linearizable) return "linearizable";
    return max_lag_ms.has_value() ? StrCat("max-lag-ms=", *max_lag_ms) : std::string();
  }
};

}  // namespace raftmq::mqadmin
