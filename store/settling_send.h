// SettlingSend: a record of the broker's own on its way into the log, which ends something in the
// same entry: a timer's delivery, a transaction's commit, a dead letter.
//
// Made from a stored record (RepublishRecord) on any thread; Decide checks, once, that what it
// settles is still open. Of several that settle the same thing one is logged, the others are
// refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/message_record.h"
#include "store/message_store.h"
#include "store/settlement.h"
#include "store/store_context.h"

namespace raftmq::store {

// What a stored record becomes.
struct Republication {
  std::string topic;
  std::optional<QueueId> queue;  // none: the message group's, else the next in turn
  Settlement settles;
  std::string for_group;  // it is for this group alone; "": for all
  int32_t reconsume_times = 0;
  bool transaction_commit = false;  // of the half message at `settles`
  // With a lease: only if it is over and was the last attempt, by the time of the decision.
  bool only_if_spent = false;
  // Added, in place of properties of the same name.
  std::vector<std::pair<std::string, std::string>> properties;
};

class SettlingSend final : public dledger::Proposal {
 public:
  using DoneCallback = absl::AnyInvocable<void(absl::StatusOr<SendResult>)>;

  // What happens if the topic is gone by the time of the decision.
  enum class IfTopicGone {
    kRefuse,  // Reason::kTopicNotFound; nothing is settled
    kSettle,  // settled without a record: delivered nowhere; `done` gets kTopicNotFound all the
              // same
  };

  // `stored` is a whole record as it was read. `done` gets kMessageNotFound if what it settles is
  // no longer open.
  static void Start(StoreContext* context, std::string_view stored, Republication as,
                    IfTopicGone if_gone, DoneCallback done);

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;
  size_t ByteSize() const override { return 256 + record_.size(); }

 private:
  SettlingSend(StoreContext* context, Republication as, IfTopicGone if_gone, DoneCallback done)
      : context_(context), as_(std::move(as)), if_gone_(if_gone), done_(std::move(done)) {}

  absl::Status CheckOpen(LeaderView& view) const;
  absl::StatusOr<QueueId> PickQueue(const TopicConfig& topic, LeaderView& view) const;

  StoreContext* const context_;
  const Republication as_;
  const IfTopicGone if_gone_;
  DoneCallback done_;
  std::string record_;
  std::optional<uint64_t> group_hash_;
  std::optional<int32_t> priority_;
  bool topic_gone_ = false;
  SendResult result_;
};

// The image of `as` made from `stored`: body, hosts and born time stay, properties of the broker's
// own (REAL_TOPIC, the timer's, the transaction's, an earlier settlement, who sent it, the group
// that it was for) go.
absl::StatusOr<std::string> RepublishRecord(const RecordView& stored, const Republication& as,
                                            const HostAddress& store_host);

}  // namespace raftmq::store
