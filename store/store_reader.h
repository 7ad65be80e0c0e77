// StoreReader: answers by place, time and key, from what is applied on this member.
//
// Thread-safe. Most methods may read the disk.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

class StoreReader {
 public:
  explicit StoreReader(StoreContext* context) : context_(context) {}

  // See MessageStore for all of these.
  absl::StatusOr<QueueOffset> CommitOffset(const std::string& group, const std::string& topic,
                                           QueueId queue) const;
  absl::StatusOr<std::vector<QueueProgress>> GroupProgress(const std::string& group) const;
  absl::StatusOr<std::vector<OffsetMove>> ListOffsetMoves(const std::string& group) const;
  absl::StatusOr<std::vector<QueueHold>> ListHolds(const std::string& group) const;
  absl::StatusOr<MessageStore::QueueRange> Range(const std::string& topic, QueueId queue) const;
  absl::StatusOr<QueueOffset> OffsetByTime(const std::string& topic, QueueId queue,
                                           int64_t timestamp_ms) const;
  absl::StatusOr<std::vector<std::string>> Pull(const std::string& topic, QueueId queue,
                                                QueueOffset offset, int32_t max_messages,
                                                int64_t max_bytes) const;
  absl::StatusOr<std::string> RecordAt(LogPosition position) const;
  absl::StatusOr<std::vector<std::string>> QueryByKey(const std::string& topic,
                                                      const std::string& key, int64_t begin_ms,
                                                      int64_t end_ms, int32_t max_messages) const;

 private:
  absl::StatusOr<QueueEnds> FindQueue(const std::string& topic, QueueId queue) const;
  // Whether the record is the message of that topic that one can still receive: not one of a
  // deleted namesake.
  bool IsCurrent(const std::string& topic, QueueId queue, QueueOffset offset,
                 LogPosition position) const;

  StoreContext* const context_;
};

}  // namespace raftmq::store
