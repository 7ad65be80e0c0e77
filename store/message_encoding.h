// From a message as the broker took it to the bytes of its record.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/model.h"

namespace raftmq::store {

// Under which of the broker's topics a message waits for its time or its transaction's end.
struct StoredAs {
  std::string_view waits_in;                 // "": nowhere, it is stored in its own topic
  std::optional<int64_t> due_ms;             // of a timer
  std::optional<int64_t> check_immunity_ms;  // of a half message
};

// What is the same for all messages of one send, and worth working out once: its client's hash and
// its host's address. Remembers the last of each.
class KnownSender {
 public:
  uint64_t ClientHashOf(std::string_view client_id);
  // Nothing for what is no numeric address.
  const std::optional<HostAddress>& AddressOf(std::string_view born_host);

 private:
  std::optional<std::string> client_id_;
  uint64_t client_hash_ = 0;
  std::optional<std::string> born_host_;
  std::optional<HostAddress> address_;
};

// The record's image, ready for FinishRecord. Properties are RocketMQ's: UNIQ_KEY, __CID (the
// client's hash, ours), TAGS, KEYS, __SHARDINGKEY (the message group), TRACE_CONTEXT,
// _SYS_MSG_PRIORITY_, __BORNHOST when the address is not numeric, then the user's. Refused with a
// Reason: a text that holds a property separator, sizes beyond the format.
absl::StatusOr<std::string> EncodeMessage(const NewMessage& message, const HostAddress& store_host,
                                          const StoredAs& where, KnownSender* sender);

// The queue of a message of this priority (none: 0), of `queues` there are: the lowest for negative
// ones, the highest for all beyond it.
QueueId PriorityQueue(std::optional<int32_t> priority, int32_t queues);

// The priority that a record's properties give; none if they don't.
std::optional<int32_t> PriorityOf(const PropertiesView& properties);

// Which queue a message group belongs to: 64-bit FNV-1a of it, mixed (SplitMix64's finalizer).
// Stable for ever: order within a group rests on it.
uint64_t MessageGroupHash(std::string_view message_group);

// What a record keeps of the id of the client that sent it: the same hash, never 0 but for no id.
// Stable for ever too.
uint64_t ClientHash(std::string_view client_id);

}  // namespace raftmq::store
