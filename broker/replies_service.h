// The service that passes replies on (raftmq.v1.Replies), as handlers see it.
#pragma once

#include <memory>

#include "broker/call.h"
#include "raftmq/v1/replies.pb.h"

namespace raftmq::broker {

using ReplyStream = BidiStream<::raftmq::v1::WatchRepliesRequest, ::raftmq::v1::Reply>;
using SendReplyCall = Unary<::raftmq::v1::SendReplyRequest, ::raftmq::v1::SendReplyResponse>;

class RepliesService {
 public:
  virtual ~RepliesService() = default;

  // The listener lives until its OnEnd returns.
  virtual std::shared_ptr<ReplyStream::Listener> WatchReplies(
      std::shared_ptr<ReplyStream> stream) = 0;
  virtual void SendReply(SendReplyCall* call) = 0;
};

}  // namespace raftmq::broker
