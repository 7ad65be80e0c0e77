// ConsumersHandlers: raftmq.v1.Consumers over a MessageStore: queue locks, membership, send-back.
// Carried out where the leader is; any other member refuses with UNAVAILABLE.
//
// Called on completion-queue threads; never blocks.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/client_registry.h"
#include "broker/consumers_service.h"
#include "broker/delay_levels.h"
#include "broker/group_members.h"
#include "dledger/ledger.h"
#include "store/message_store.h"
#include "store/retry_policy.h"

namespace raftmq::broker {

// All outlive the handlers.
struct ConsumersDeps {
  store::MessageStore* store = nullptr;
  dledger::Ledger* ledger = nullptr;
  Clock* clock = nullptr;
  ClientRegistry* clients = nullptr;
  GroupMembers* members = nullptr;
  TaskRunner* reads = nullptr;  // runs what reads the disk
};

class ConsumersHandlers final : public ConsumersService {
 public:
  ConsumersHandlers(DelayLevels delay_levels, ConsumersDeps deps)
      : delay_levels_(std::move(delay_levels)), deps_(deps) {}

  void LockQueues(LockQueuesCall* call) override;
  void WatchGroup(WatchGroupCall* call) override;
  void SendMessageBack(SendMessageBackCall* call) override;

 private:
  // OK: the call names its client and a legal group, and this member leads.
  absl::Status Check(const CallContext& context, const std::string& group) const;
  // One message made ready for its retry or dead-letter topic.
  struct Returned {
    store::NewMessage message;
    bool dead_lettered = false;
  };
  absl::StatusOr<Returned> Return(const ::raftmq::v1::SendMessageBackRequest& request) const;
  // When the message, which failed `retries` times before, comes again.
  void Delay(int32_t asked_level, const store::RetryPolicy& policy, int32_t retries,
             store::NewMessage* message) const;
  void StoreReturned(SendMessageBackCall* call, Returned returned);

  const DelayLevels delay_levels_;
  const ConsumersDeps deps_;
};

}  // namespace raftmq::broker
