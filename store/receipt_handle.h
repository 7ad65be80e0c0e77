// The receipt handle: what a client shows to ack or renew a message it was given.
//
// 37 bytes, base64url without padding (50 characters): version, CRC-32C of the group's and the
// topic's name, queue, offset, lease id, when the lease ends, CRC-32C of all that. Version 1 had no
// end (29 bytes, 39 characters) and is still understood. The lease id is never used twice, so
// a handle of a deleted topic cannot hit its successor. Valid as long as the message is in flight
// under that lease id: also after its time is over, until it is granted again.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace raftmq::store {

struct ReceiptHandle {
  uint32_t names_crc = 0;  // ReceiptNamesCrc(group, topic)
  QueueId queue;
  QueueOffset offset;
  uint64_t lease_id = 0;
  // On the lease clock, when this handle was made: tells a renewal whether the lease was changed
  // since. 0: not known (version 1).
  int64_t lease_until_ms = 0;

  bool operator==(const ReceiptHandle&) const = default;
};

uint32_t ReceiptNamesCrc(std::string_view group, std::string_view topic);

std::string EncodeReceiptHandle(const ReceiptHandle& handle);

// Reason::kInvalidReceiptHandle for anything EncodeReceiptHandle did not make.
absl::StatusOr<ReceiptHandle> ParseReceiptHandle(std::string_view text);

}  // namespace raftmq::store
