// PushConsumer::Impl: calls the listener with what arrives at its queues (GroupQueues). For sources
// of client/ only: it includes gRPC.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "client/consume_pool.h"
#include "client/grpc_group_queues.h"
#include "client/push_consumer.h"

namespace raftmq::client {

class PushConsumer::Impl final : public GroupQueues {
 public:
  Impl(PushConsumerOptions options, std::unique_ptr<ClientInstance> instance,
       OffsetFile::Offsets offsets);
  ~Impl() override;

  void Begin();
  absl::Status UpdateCorePoolSize(int threads);
  void SetSuspended(bool suspended);

 private:
  using Batch = std::vector<ReceivedMessage>;
  // What a concurrent listener has now.
  struct InHand {
    HeldPtr held;
    const Batch* batch = nullptr;
    int64_t until_ms = 0;  // monotonic
    bool overdue = false;
  };

  void OnMessages(const HeldPtr& held) override { Dispatch(held); }
  bool MayConsume(const Held& held) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool MayFinish(const Held& held, const Batch& batch) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Dispatch(const HeldPtr& held);
  void DispatchAll();
  void ConsumeConcurrently(const HeldPtr& held, Batch batch);
  void LogFailedListener(const Batch& batch, const absl::Status& ran) const;
  void SendBackOverdue();
  void SendBack(const HeldPtr& held, ReceivedMessage message, int32_t delay_level);
  void ConsumeOrderly(const HeldPtr& held);
  // One batch; how long to pause then, none: go on.
  std::optional<int64_t> ConsumeOneOrderly(const HeldPtr& held, Batch batch);
  std::optional<int64_t> FailOrderly(const HeldPtr& held, Batch batch, int64_t pause_ms);
  bool GiveUp(const HeldPtr& held, const ReceivedMessage& message);
  void EndOrderly(const HeldPtr& held, std::optional<int64_t> pause_ms);

  const PushConsumerOptions options_;
  bool suspended_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t batches_begun_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, InHand> in_hand_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<ConsumePool> pool_;
};

}  // namespace raftmq::client
