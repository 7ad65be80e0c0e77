// LockQueuesProposal: a consumer of the classic model takes, renews or lets go of queues of a
// topic.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dledger/ledger.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

class LockQueuesProposal final : public dledger::Proposal {
 public:
  // Gives the group a position on the topic first, if it has none, so that its first owner of a
  // queue finds where it begins. Answered once the lock is applied on this member.
  static void Start(StoreContext* context, QueueLockRequest request,
                    MessageStore::LockCallback done);

  LockQueuesProposal(StoreContext* context, QueueLockRequest request,
                     MessageStore::LockCallback done)
      : context_(context), request_(std::move(request)), done_(std::move(done)) {}

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;
  size_t ByteSize() const override { return 1024 + 4 * request_.queues.size(); }

 private:
  absl::Status CheckQueues(const BrokerState& state) const;
  std::vector<QueueId> Grantable(const BrokerState& state, int64_t now_ms) const;
  void ReadTimes();
  std::string What() const;

  StoreContext* const context_;
  QueueLockRequest request_;
  std::optional<std::vector<QueueOffset>> offsets_by_time_;
  MessageStore::LockCallback done_;
  std::vector<QueueId> granted_;
  bool needs_times_ = false;
  bool cut_short_ = false;
};

}  // namespace raftmq::store
