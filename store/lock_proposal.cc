#include "store/lock_proposal.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/strings.h"
#include "store/group_start.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {

void LockQueuesProposal::Start(StoreContext* context, QueueLockRequest request,
                               MessageStore::LockCallback done) {
  absl::Status status = CheckGroupName(request.group);
  if (status.ok() &&
      (request.client_id.empty() || request.client_id.size() > kMaxClientTextBytes)) {
    status = Refuse(Reason::kClientIdRequired,
                    StrCat("a queue's lock needs an owner's client id of 1 to ",
                           kMaxClientTextBytes, " bytes"));
  }
  if (status.ok() && request.queues.size() > static_cast<size_t>(kMaxQueues)) {
    status = Refuse(Reason::kBusy, StrCat("one request names ", request.queues.size(),
                                          " queues, more than a topic can have"));
  }
  if (!status.ok()) return done(std::move(status));
  // Named twice is named once.
  std::sort(request.queues.begin(), request.queues.end());
  request.queues.erase(std::unique(request.queues.begin(), request.queues.end()),
                       request.queues.end());
  context->ledger->Propose(
      std::make_unique<LockQueuesProposal>(context, std::move(request), std::move(done)));
}

std::string LockQueuesProposal::What() const {
  return StrCat("lock of queues of topic ", request_.topic, " for group ", request_.group);
}

absl::Status LockQueuesProposal::CheckQueues(const BrokerState& state) const {
  if (state.FindTopic(request_.topic) == nullptr) {
    return Refuse(Reason::kTopicNotFound, StrCat("topic ", request_.topic, " does not exist"));
  }
  for (const QueueId queue : request_.queues) {
    if (!state.FindQueue(request_.topic, queue).has_value()) {
      return Refuse(Reason::kQueueNotFound,
                    StrCat("topic ", request_.topic, " has no queue ", queue));
    }
  }
  return absl::OkStatus();
}

// To let go: those that the client holds. To take: those that nobody else holds, and that it need
// not let go of first.
std::vector<QueueId> LockQueuesProposal::Grantable(const BrokerState& state, int64_t now_ms) const {
  std::vector<QueueId> queues;
  for (const QueueId queue : request_.queues) {
    const QueueLock* lock = state.FindLock({request_.group, request_.topic, queue});
    const bool own = lock != nullptr && lock->client_id == request_.client_id;
    const bool free = lock == nullptr || lock->IsOver(now_ms);
    const bool grantable = request_.lease_ms > 0 ? free || (own && !lock->revoked) : own;
    if (grantable) queues.push_back(queue);
  }
  return queues;
}

absl::Status LockQueuesProposal::Decide(dledger::ProposalWriter& writer) {
  LeaderView& view = context_->view();
  RAFTMQ_RETURN_IF_ERROR(CheckQueues(view.state()));
  granted_ = Grantable(view.state(), view.LeaseTimeMs());
  if (granted_.empty()) return absl::OkStatus();
  if (request_.lease_ms > 0) {
    RAFTMQ_ASSIGN_OR_RETURN(
        const GroupStart start,
        StartGroup(view, request_.group, request_.topic,
                   offsets_by_time_.has_value() ? &*offsets_by_time_ : nullptr, writer));
    needs_times_ = start == GroupStart::kNeedsTimes;
    cut_short_ = start == GroupStart::kCutShort;
    if (needs_times_ || cut_short_) return absl::OkStatus();
  }
  const int64_t until_ms = request_.lease_ms > 0 ? view.LeaseEndMs(request_.lease_ms) : 0;
  const absl::Status logged = view.Log(
      LockQueues{request_.group, request_.topic, request_.client_id, until_ms, granted_}, writer);
  // The group may have been started by this very proposal: that stays.
  cut_short_ = !logged.ok();
  return absl::OkStatus();
}

void LockQueuesProposal::Done(const dledger::ProposalOutcome& outcome) {
  if (!outcome.status.ok()) return done_(StatusOf(outcome, What()));
  if (needs_times_ && !offsets_by_time_.has_value()) return ReadTimes();
  if (needs_times_ || cut_short_) {
    return done_(Refuse(Reason::kBusy, StrCat(What(), ": the group was only just being started")));
  }
  if (granted_.empty()) return done_(std::move(granted_));
  context_->applied.WhenApplied(
      outcome.index, [what = What(), granted = std::move(granted_),
                      done = std::move(done_)](const absl::Status& applied) mutable {
        if (applied.ok()) return done(std::move(granted));
        done(Refuse(Reason::kUnknownOutcome,
                    StrCat(what, ": committed, but this broker stopped before applying it: ",
                           Message(applied))));
      });
}

// The group starts by time: looks that up, then proposes again.
void LockQueuesProposal::ReadTimes() {
  context_->read->Post([context = context_, request = std::move(request_),
                        done = std::move(done_)]() mutable {
    auto offsets = StartOffsetsByTime(*context, request.group, request.topic);
    if (!offsets.ok()) return done(offsets.status());
    auto again = std::make_unique<LockQueuesProposal>(context, std::move(request), std::move(done));
    again->offsets_by_time_ = *std::move(offsets);
    context->ledger->Propose(std::move(again));
  });
}

}  // namespace raftmq::store
