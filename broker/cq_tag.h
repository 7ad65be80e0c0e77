// CqTag: what waits on the completion queue. Everything this broker puts there, calls of its server
// and calls to other members alike, is one of these.
#pragma once

namespace raftmq::broker {

class CqTag {
 public:
  virtual ~CqTag() = default;

  // The operation ended; `ok` as grpc::CompletionQueue::Next says. On a completion-queue thread.
  virtual void Proceed(bool ok) = 0;
};

}  // namespace raftmq::broker
