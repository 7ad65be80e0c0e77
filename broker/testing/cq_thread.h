// CqThread: a gRPC completion queue of CqTags and the thread that serves it, for tests of what shares
// the broker's. Destroyed after all that uses it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <thread>

#include "base/thread.h"
#include "broker/cq_tag.h"

namespace raftmq::broker {

class CqThread {
 public:
  CqThread()
      : thread_(StartThread("grpc-cq", [this] {
          void* tag = nullptr;
          bool ok = false;
          while (queue_.Next(&tag, &ok)) static_cast<CqTag*>(tag)->Proceed(ok);
        })) {}
  ~CqThread() {
    queue_.Shutdown();
    thread_.join();
  }

  grpc::CompletionQueue* queue() { return &queue_; }

 private:
  grpc::CompletionQueue queue_;
  std::thread thread_;
};

}  // namespace raftmq::broker
