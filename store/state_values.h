// What a BrokerState answers with. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "store/position.h"

namespace raftmq::store {

// Who gets a message.
enum class Audience { kAllGroups, kOneGroup };
inline Audience AudienceOf(std::string_view for_group) {
  return for_group.empty() ? Audience::kAllGroups : Audience::kOneGroup;
}

struct QueueEnds {
  QueueOffset min;            // first offset that is still stored
  QueueOffset max;            // one past the last
  int64_t last_store_ms = 0;  // of the last message, 0: none yet
  // [begin, end) holds all messages that are for one group alone (property::kForGroup), among
  // others; both 0: there never was one.
  QueueOffset for_one_begin;
  QueueOffset for_one_end;

  bool operator==(const QueueEnds&) const = default;
};

// A handle that was found valid.
struct LeasedMessage {
  QueueId queue;
  QueueOffset offset;
  Lease lease;
};

// Messages that expired before a group had got them.
struct MissedMessages {
  std::string group;
  std::string topic;
  int64_t messages = 0;
};

}  // namespace raftmq::store
