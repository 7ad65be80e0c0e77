#include "store/change_invisible_proposal.h"

#include <utility>

#include "base/strings.h"
#include "store/outcome.h"
#include "store/reason.h"
#include "store/receipt_handle.h"

namespace raftmq::store {

namespace {

// No lease is meant to last longer; it keeps sums of times far from overflow.
constexpr int64_t kMaxInvisibleMs = int64_t{30} * 24 * 3600 * 1000;

}  // namespace

void ChangeInvisibleProposal::Start(StoreContext* context, LeaseChange kind, std::string group,
                                    std::string topic, std::string handle,
                                    std::optional<int64_t> invisible_ms,
                                    MessageStore::ChangeCallback done) {
  const int64_t asked_ms = invisible_ms.value_or(0);
  if (asked_ms < 0 || asked_ms > kMaxInvisibleMs) {
    done(Refuse(Reason::kIllegalInvisibleTime,
                StrCat("invisible time is ", asked_ms, " ms, must be 0 to ", kMaxInvisibleMs)));
    return;
  }
  context->ledger->Propose(std::unique_ptr<Proposal>(
      new ChangeInvisibleProposal(context, kind, std::move(group), std::move(topic),
                                  std::move(handle), invisible_ms, std::move(done))));
}

int64_t ChangeInvisibleProposal::InvisibleMs(const Lease& lease, const GroupConfig& group) const {
  if (kind_ != LeaseChange::kNack) return *invisible_ms_;
  if (lease.attempt >= group.max_attempts()) return 0;
  return invisible_ms_.has_value() ? *invisible_ms_
                                   : RetryDelayMs(group.retry_policy, lease.attempt);
}

absl::Status ChangeInvisibleProposal::Decide(dledger::ProposalWriter& writer) {
  LeaderView& view = context_->view();
  RAFTMQ_ASSIGN_OR_RETURN(const LeasedMessage leased,
                          view.state().CheckHandle(group_, topic_, handle_));
  RAFTMQ_ASSIGN_OR_RETURN(ReceiptHandle handle, ParseReceiptHandle(handle_));
  if (kind_ == LeaseChange::kRenewal && handle.lease_until_ms != 0 &&
      handle.lease_until_ms != leased.lease.until_ms) {
    return Refuse(
        Reason::kInvalidReceiptHandle,
        StrCat("the lease of queue ", leased.queue, " offset ", leased.offset, " of group ", group_,
               " on topic ", topic_, " ends at ", leased.lease.until_ms, ", a renewal expected ",
               handle.lease_until_ms, ": its holder has changed it, so it is not renewed"));
  }
  handle.lease_until_ms =
      view.LeaseEndMs(InvisibleMs(leased.lease, *view.state().FindGroup(group_)));
  // Renewals go by the end of the lease: one that its holder chose must not look like theirs.
  if (kind_ != LeaseChange::kRenewal && handle.lease_until_ms == leased.lease.until_ms) {
    ++handle.lease_until_ms;
  }
  RAFTMQ_RETURN_IF_ERROR(view.Log(ChangeInvisible{group_, topic_, leased.queue, leased.offset,
                                                  leased.lease.lease_id, handle.lease_until_ms},
                                  writer));
  handle_ = EncodeReceiptHandle(handle);
  return absl::OkStatus();
}

void ChangeInvisibleProposal::Done(const dledger::ProposalOutcome& outcome) {
  if (outcome.status.ok()) {
    done_(std::move(handle_));
  } else {
    done_(StatusOf(outcome, StrCat("change of a lease of group ", group_, " on topic ", topic_)));
  }
}

}  // namespace raftmq::store
