#include "store/log_dead_letter_queues.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/strings.h"
#include "store/admin_proposals.h"
#include "store/message_properties.h"
#include "store/message_reader.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"
#include "store/receipt_handle.h"
#include "store/redrive_call.h"
#include "store/settling_send.h"
#include "store/status_collection.h"

namespace raftmq::store {
namespace {

using dledger::Proposal;
using dledger::ProposalOutcome;
using dledger::ProposalWriter;

// Why a message was dead-lettered: the value of property::kDlqReason.
constexpr std::string_view kAttemptsExhausted = "MAX_ATTEMPTS";
constexpr std::string_view kForwarded = "FORWARDED_BY_CONSUMER";

// Looks at the lease clock, which only the replica thread knows. Logs nothing.
class FindDueProposal final : public Proposal {
 public:
  FindDueProposal(StoreContext* context, size_t max, DeadLetterQueues::DueCallback done)
      : context_(context), max_(max), done_(std::move(done)) {}

  absl::Status Decide(ProposalWriter&) override {
    LeaderView& view = context_->view();
    const FinalLeases& leases = view.state().final_leases();
    const int64_t now_ms = view.LeaseTimeMs();
    due_.leases = leases.Over(now_ms, max_);
    if (const auto next_ms = leases.EarliestEndAfter(now_ms)) due_.next_in_ms = *next_ms - now_ms;
    return absl::OkStatus();
  }

  void Done(const ProposalOutcome& outcome) override {
    if (outcome.status.ok()) {
      done_(std::move(due_));
    } else {
      done_(StatusOf(outcome, "search for messages to dead-letter"));
    }
  }

 private:
  StoreContext* const context_;
  const size_t max_;
  DeadLetterQueues::Due due_;
  DeadLetterQueues::DueCallback done_;
};

// What a receipt handle stands for when its holder gives the message up.
struct GivenUp {
  FinalLease lease;
  bool dead_lettered = false;  // it is done already
};

class CheckHandleProposal final : public Proposal {
 public:
  using DoneCallback = absl::AnyInvocable<void(absl::StatusOr<GivenUp>)>;

  CheckHandleProposal(StoreContext* context, std::string group, std::string topic,
                      std::string handle, DoneCallback done)
      : context_(context),
        group_(std::move(group)),
        topic_(std::move(topic)),
        handle_(std::move(handle)),
        done_(std::move(done)) {}

  absl::Status Decide(ProposalWriter&) override {
    const BrokerState& state = context_->view().state();
    const auto leased = state.CheckHandle(group_, topic_, handle_);
    if (leased.ok()) {
      found_.lease = {{group_, topic_, leased->queue, leased->offset, leased->lease.lease_id},
                      leased->lease.attempt};
      return absl::OkStatus();
    }
    const auto handle = ParseReceiptHandle(handle_);
    if (handle.ok()) {
      found_.dead_lettered = state.dead_lettered().Contains(
          {handle->names_crc, handle->queue, handle->offset}, handle->lease_id);
    }
    return found_.dead_lettered ? absl::OkStatus() : leased.status();
  }

  // What was logged before is committed then.
  void Done(const ProposalOutcome& outcome) override {
    if (outcome.status.ok()) {
      done_(std::move(found_));
    } else {
      done_(StatusOf(outcome, StrCat("dead-lettering for group ", group_, " on topic ", topic_)));
    }
  }

 private:
  StoreContext* const context_;
  const std::string group_;
  const std::string topic_;
  const std::string handle_;
  GivenUp found_;
  DoneCallback done_;
};

Republication DeadLetterOf(const FinalLease& lease, std::string_view message_id,
                           std::string_view reason) {
  const LeaseRef& of = lease.lease;
  Republication as;
  as.topic = DeadLetterTopicOf(of.group);
  as.queue = QueueId(0);
  as.settles = of;
  as.only_if_spent = reason == kAttemptsExhausted;
  as.reconsume_times = lease.attempt;
  as.properties = {{std::string(property::kDlqOriginTopic), of.topic},
                   {std::string(property::kDlqOriginMessageId), std::string(message_id)},
                   {std::string(property::kDlqOriginQueueId), StrCat(of.queue)},
                   {std::string(property::kDlqOriginOffset), StrCat(of.offset)},
                   {std::string(property::kDlqOriginGroup), of.group},
                   {std::string(property::kDlqReason), std::string(reason)}};
  return as;
}

// On the read runner; the topic exists.
void MoveLeased(StoreContext* context, const FinalLease& lease, std::string_view reason,
                DeadLetterQueues::DoneCallback done) {
  const LeaseRef& of = lease.lease;
  const absl::StatusOr<std::string> record = ReadMessage(*context, of.topic, of.queue, of.offset);
  if (!record.ok()) {
    const auto why = ReasonOf(record.status());
    // Not a Reason that says that it may be tried again soon.
    return done(why == Reason::kMessageNotFound ? record.status()
                                                : absl::DataLossError(record.status().message()));
  }
  const auto parsed = ParseRecord(*record);
  if (!parsed.ok()) return done(parsed.status());
  SettlingSend::Start(
      context, *record, DeadLetterOf(lease, parsed->unique_key(), reason),
      SettlingSend::IfTopicGone::kRefuse,
      [context, done = std::move(done)](const absl::StatusOr<SendResult>& sent) mutable {
        if (!sent.ok()) return done(sent.status());
        // Whoever looks into the dead-letter queue then finds it.
        context->applied.WhenAppliedTo(sent->position + 1, std::move(done));
      });
}

void EnsureTopicAndMove(StoreContext* context, FinalLease lease, std::string_view reason,
                        DeadLetterQueues::DoneCallback done) {
  TopicConfig topic;
  topic.name = DeadLetterTopicOf(lease.lease.group);
  topic.read_queues = topic.write_queues = 1;
  StartEnsureTopic(context, std::move(topic),
                   [context, lease = std::move(lease), reason,
                    done = std::move(done)](const absl::Status& status) mutable {
                     if (!status.ok()) return done(status);
                     context->read->Post([context, lease = std::move(lease), reason,
                                          done = std::move(done)]() mutable {
                       MoveLeased(context, lease, reason, std::move(done));
                     });
                   });
}

}  // namespace

void LogDeadLetterQueues::FindDue(size_t max, DueCallback done) {
  context_->ledger->Propose(std::make_unique<FindDueProposal>(context_, max, std::move(done)));
}

void LogDeadLetterQueues::MoveDue(std::vector<FinalLease> due, MoveCallback done) {
  if (due.empty()) return done({});
  const auto statuses = std::make_shared<StatusCollection>(due.size(), std::move(done));
  for (size_t i = 0; i < due.size(); ++i) {
    EnsureTopicAndMove(context_, std::move(due[i]), kAttemptsExhausted,
                       [statuses, i](absl::Status status) { statuses->Set(i, std::move(status)); });
  }
}

void LogDeadLetterQueues::Redrive(RedriveRequest request, RedriveCallback done) {
  StartRedrive(context_, std::move(request), std::move(done));
}

void LogDeadLetterQueues::Forward(std::string group, std::string topic, std::string handle,
                                  DoneCallback done) {
  context_->ledger->Propose(std::make_unique<CheckHandleProposal>(
      context_, group, topic, handle,
      [this, group, topic, handle,
       done = std::move(done)](absl::StatusOr<GivenUp> given_up) mutable {
        if (!given_up.ok()) return done(given_up.status());
        if (given_up->dead_lettered) return done(absl::OkStatus());
        EnsureTopicAndMove(context_, std::move(given_up->lease), kForwarded,
                           [this, group, topic, handle,
                            done = std::move(done)](const absl::Status& moved) mutable {
                             if (ReasonOf(moved) != Reason::kMessageNotFound) return done(moved);
                             // The lease ended meanwhile, perhaps just so.
                             Forward(group, topic, handle, std::move(done));
                           });
      }));
}

}  // namespace raftmq::store
