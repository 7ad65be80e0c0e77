// LiteSubscribeProposal: a client subscribes to lite topics, or does not any more.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "dledger/ledger.h"
#include "store/lite_topics.h"
#include "store/store_context.h"

namespace raftmq::store {

class LiteSubscribeProposal final : public dledger::Proposal {
 public:
  static void Start(StoreContext* context, LiteSubscribeRequest request,
                    LiteTopics::SubscribeCallback done);

  LiteSubscribeProposal(StoreContext* context, LiteSubscribeRequest request,
                        LiteTopics::SubscribeCallback done)
      : context_(context), request_(std::move(request)), done_(std::move(done)) {}

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;
  size_t ByteSize() const override { return 1024 + 64 * request_.lite_topics.size(); }

 private:
  using Action = LiteSubscribeRequest::Action;
  struct Change {
    std::vector<std::string> added;
    std::vector<std::string> removed;
    // Who has lite topics that are added, and loses them.
    std::vector<LiteSubscribeResult::Lost> taken;
    size_t size = 0;  // lite topics of the client then
  };

  absl::Status CheckParent(const BrokerState& state) const;
  Change Plan(const BrokerState& state, bool exclusive);
  absl::Status CheckQuota(const BrokerState& state, const Change& change) const;
  absl::Status LogAll(const Change& change, dledger::ProposalWriter& writer);
  // Where the group begins on the lite topics that there are.
  absl::Status LogStarts(const std::vector<std::string>& lite_topics,
                         dledger::ProposalWriter& writer);
  absl::Status LogOne(CommandBody body, dledger::ProposalWriter& writer);
  std::optional<QueueOffset> StartOf(const std::string& lite_topic, const QueueEnds& ends) const;
  void ReadTimes();
  std::string What() const;

  StoreContext* const context_;
  LiteSubscribeRequest request_;
  LiteTopics::SubscribeCallback done_;
  absl::flat_hash_map<std::string, QueueOffset> offsets_by_time_;
  LiteSubscribeResult result_;
  bool logged_ = false;
  // Why not everything was logged, though something was: that stands, and can be done again.
  absl::Status cut_short_;
};

}  // namespace raftmq::store
