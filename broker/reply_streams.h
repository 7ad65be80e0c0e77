// ReplyStreams: raftmq.v1.Replies: the streams that requesters hold at this member, and passing
// replies to them (RocketMQ: ReplyMessageProcessor). Every member does this alone: it needs no
// leader, and nothing is stored. What waits for a client is bounded by its stream.
//
// Soft state. Thread-safe; called on completion-queue threads, never blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "broker/replies_service.h"

namespace raftmq::broker {

class ReplyStreams final : public RepliesService {
 public:
  struct Options {
    size_t max_clients = 100'000;
    int64_t max_body_bytes = 4 << 20;  // of one reply
  };

  explicit ReplyStreams(Options options) : options_(options) {}

  std::shared_ptr<ReplyStream::Listener> WatchReplies(std::shared_ptr<ReplyStream> stream) override;
  void SendReply(SendReplyCall* call) override;

  // This member stops: all streams end, later ones at once.
  void Close();

 private:
  class Listener;

  absl::Status Add(const std::shared_ptr<ReplyStream>& stream);
  void Remove(const ReplyStream* stream, const std::string& client_id);

  const Options options_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  // By client. A stream lives on in its transport until that is done with it.
  absl::flat_hash_map<std::string, std::shared_ptr<ReplyStream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::broker
