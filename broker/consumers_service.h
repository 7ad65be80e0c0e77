// The service for consumers of the classic model (raftmq.v1.Consumers), as handlers see it.
#pragma once

#include "broker/call.h"
#include "raftmq/v1/consumers.pb.h"

namespace raftmq::broker {

using LockQueuesCall = Unary<::raftmq::v1::LockQueuesRequest, ::raftmq::v1::LockQueuesResponse>;
using WatchGroupCall = ServerStream<::raftmq::v1::WatchGroupRequest, ::raftmq::v1::GroupMembers>;
using SendMessageBackCall =
    Unary<::raftmq::v1::SendMessageBackRequest, ::raftmq::v1::SendMessageBackResponse>;

class ConsumersService {
 public:
  virtual ~ConsumersService() = default;

  virtual void LockQueues(LockQueuesCall* call) = 0;
  virtual void WatchGroup(WatchGroupCall* call) = 0;
  virtual void SendMessageBack(SendMessageBackCall* call) = 0;
};

}  // namespace raftmq::broker
