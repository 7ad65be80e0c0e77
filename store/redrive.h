// Redrive: dead letters on their way back to the topics that they came from.
//
// Each goes in one entry that appends the message to its origin topic, as a new message with its
// old id that is for the group alone that failed (property::kForGroup), and notes that it is done
// (RedrivenMessages): whoever asks, and however often, each dead letter is sent back once. The dead
// letter itself stays in its queue as long as that is kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/model.h"

namespace raftmq::store {

struct RedriveRequest {
  // Whose dead-letter queue. "": of all, the transactions that were checked too often
  // (kCheckMaxTimeTopic). They become half messages again, and their producers are asked at once.
  std::string group;
  QueueId queue{0};
  QueueOffset from;           // of that queue: where to go on
  int32_t max_messages = 32;  // wanted ones, sent back or (dry run) found
  bool dry_run = false;
  // Which are wanted: all of these must hold.
  MessageFilter filter;      // of tags or properties
  std::string key;           // one of its keys, or its message id; "": any
  std::string origin_topic;  // "": any
  int64_t begin_ms = 0;      // dead-lettered in [begin, end]; an end of 0: any time
  int64_t end_ms = 0;
};

// One dead letter that was wanted.
struct RedrivenMessage {
  QueueOffset offset;  // in the dead-letter queue
  std::string message_id;
  std::string keys;
  std::string tag;
  std::string origin_topic;
  std::string reason;
  int32_t attempts = 0;
  int64_t dead_ms = 0;
  // OK: it was sent back now, or, in a dry run, would be. kTopicNotFound, kGroupNotFound: its topic
  // or the group is gone. kOffsetNotFound: the group would begin on the topic behind it. kBusy: too
  // many transactions are open. DataLoss: it cannot be read here; only its offset is known then,
  // not even when it died (dead_ms is 0) and whether the filter wants it.
  absl::Status status;
  LogPosition position;  // where it is now
};

struct RedriveResult {
  std::vector<RedrivenMessage> messages;
  QueueOffset next;         // where to go on
  QueueOffset end;          // of the queue
  int64_t done_before = 0;  // passed over, since they were sent back earlier
  int64_t unwanted = 0;     // passed over, since the filter left them out
};

using RedriveCallback = absl::AnyInvocable<void(absl::StatusOr<RedriveResult>)>;

}  // namespace raftmq::store
