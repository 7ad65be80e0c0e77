// LiteReceive: one Receive from the lite topics that its client has subscribed to.
//
//   Decide   replica       takes the client's subscription and the lease clock; logs nothing, but
//                          only a leader comes to it
//   Scan     read runner   looks which of the lite topics have something for the group, beginning
//                          with another one each time
//   then one ReceiveCall for each of those, all at once, with a share of what may be received; the
//   answer is made of theirs.
//
// A lite topic is consumed in order, whatever the group is: what follows a message waits until that
// is acked (RocketMQ: PopLiteMessageProcessor).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dledger/ledger.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

class LiteReceive {
 public:
  static void Start(StoreContext* context, ReceiveRequest request,
                    MessageStore::ReceiveCallback done);
  ~LiteReceive();

  LiteReceive(const LiteReceive&) = delete;
  LiteReceive& operator=(const LiteReceive&) = delete;

 private:
  class LookProposal;
  class Join;
  using Ptr = std::unique_ptr<LiteReceive>;
  struct Candidate {
    std::string topic;  // stored name
    int64_t messages = 0;
  };

  LiteReceive(StoreContext* context, ReceiveRequest request, MessageStore::ReceiveCallback done);

  absl::Status Decide();
  static void Continue(Ptr call, const dledger::ProposalOutcome& outcome);
  void Scan();
  void Look(const BrokerState& state, const std::string& lite_topic);
  static void ReceiveAll(Ptr call);
  void Answer(absl::StatusOr<ReceiveResult> result);

  StoreContext* const context_;
  ReceiveRequest request_;
  MessageStore::ReceiveCallback done_;  // null once answered
  const uint32_t turn_;
  std::vector<std::string> lite_topics_;
  int64_t lease_now_ms_ = 0;
  std::vector<Candidate> candidates_;
  std::optional<int64_t> next_visible_in_ms_;
};

}  // namespace raftmq::store
