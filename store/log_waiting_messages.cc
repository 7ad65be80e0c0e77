#include "store/log_waiting_messages.h"

#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "store/admin_proposals.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/reason.h"
#include "store/settling_send.h"
#include "store/status_collection.h"
#include "store/waiting_handles.h"
#include "store/waiting_proposals.h"

namespace raftmq::store {
namespace {

// Where a record that waits belongs.
absl::StatusOr<Republication> RealPlace(const RecordView& record, Settlement settles) {
  Republication as;
  as.topic = std::string(record.properties.Get(property::kRealTopic));
  if (as.topic.empty()) {
    return absl::DataLossError(StrCat("the record at ", record.physical_offset,
                                      " waits, but does not say for which topic"));
  }
  std::string_view queue;
  if (record.properties.Find(property::kRealQueueId, &queue)) {
    int32_t number = -1;
    if (!absl::SimpleAtoi(ToAbsl(queue), &number) || number < 0) {
      return absl::DataLossError(StrCat("the record at ", record.physical_offset,
                                        " waits for queue \"", queue, "\", expected a number"));
    }
    as.queue = QueueId(number);
  }
  as.settles = std::move(settles);
  return as;
}

std::vector<OpenTransaction> ToOpen(const std::vector<std::pair<LogPosition, HalfMessage>>& rows) {
  std::vector<OpenTransaction> open;
  open.reserve(rows.size());
  for (const auto& [position, half] : rows) open.push_back({position, half});
  return open;
}

void DeliverOne(StoreContext* context, const Timer& timer,
                absl::AnyInvocable<void(absl::Status)> done) {
  const auto record = context->records.ReadAt(timer.ref.position);
  if (!record.ok()) {
    // Not a Reason: those say that the timer is settled, or that it may be tried again soon.
    return done(absl::DataLossError(record.status().message()));
  }
  const auto parsed = ParseRecord(*record);
  if (!parsed.ok()) return done(parsed.status());
  absl::StatusOr<Republication> as = RealPlace(*parsed, timer.ref);
  if (!as.ok()) return done(as.status());
  SettlingSend::Start(context, *record, *std::move(as), SettlingSend::IfTopicGone::kSettle,
                      [context, done = std::move(done)](absl::StatusOr<SendResult> sent) mutable {
                        if (sent.ok()) {
                          context->applied.WhenAppliedTo(sent->position + 1, std::move(done));
                        } else if (ReasonOf(sent.status()) == Reason::kTopicNotFound) {
                          LOG(WARNING) << "a delayed message was due: " << sent.status();
                          done(absl::OkStatus());
                        } else {
                          done(sent.status());
                        }
                      });
}

}  // namespace

// ---- Delayed messages

WaitingMessages::TimerCounts LogWaitingMessages::Timers() const {
  return context_->applied.Read([](const BrokerState& state) {
    return TimerCounts{state.timers().size(), state.timers().EarliestDueMs()};
  });
}

std::vector<Timer> LogWaitingMessages::DueTimers(int64_t now_ms, size_t max) const {
  return context_->applied.Read(
      [&](const BrokerState& state) { return state.timers().Due(now_ms, max); });
}

void LogWaitingMessages::Deliver(std::vector<Timer> timers, DeliverCallback done) {
  if (timers.empty()) return done({});
  context_->read->Post([context = context_, timers = std::move(timers),
                        done = std::move(done)]() mutable {
    const auto deliveries = std::make_shared<StatusCollection>(timers.size(), std::move(done));
    for (size_t i = 0; i < timers.size(); ++i) {
      DeliverOne(context, timers[i],
                 [deliveries, i](absl::Status status) { deliveries->Set(i, std::move(status)); });
    }
  });
}

void LogWaitingMessages::Recall(std::string topic, std::string recall_handle, RecallCallback done) {
  const absl::StatusOr<TimerRef> timer = ParseRecallHandle(topic, recall_handle);
  if (!timer.ok()) return done(timer.status());
  WhenWaitingApplied(context_, timer->position,
                     [this, topic = std::move(topic), timer = *timer,
                      done = std::move(done)](const absl::Status& applied) mutable {
                       if (!applied.ok()) return done(applied);
                       context_->read->Post([this, topic = std::move(topic), timer,
                                             done = std::move(done)]() mutable {
                         RecallApplied(topic, timer, std::move(done));
                       });
                     });
}

void LogWaitingMessages::RecallApplied(const std::string& topic, const TimerRef& timer,
                                       RecallCallback done) {
  const absl::StatusOr<std::string> bytes = context_->records.ReadAt(timer.position);
  if (!bytes.ok()) return done(bytes.status());
  const absl::StatusOr<RecordView> record = ParseRecord(*bytes);
  if (!record.ok()) return done(record.status());
  if (record->topic != kTimerTopic || record->properties.Get(property::kRealTopic) != topic) {
    return done(Refuse(Reason::kMessageNotFound, StrCat("no delayed message of topic ", topic,
                                                        " is at log position ", timer.position)));
  }
  StartRecall(context_, timer,
              [message_id = std::string(record->unique_key()),
               done = std::move(done)](const absl::Status& status) mutable {
                if (status.ok()) {
                  done(std::move(message_id));
                } else {
                  done(status);
                }
              });
}

// ---- Transactions

void LogWaitingMessages::EndTransaction(std::string topic, std::string message_id,
                                        std::string transaction_id, bool commit,
                                        DoneCallback done) {
  const absl::StatusOr<HalfRef> half = ParseTransactionId(topic, message_id, transaction_id);
  if (!half.ok()) return done(half.status());
  WhenWaitingApplied(context_, half->position,
                     [this, topic = std::move(topic), half = *half, commit,
                      done = std::move(done)](const absl::Status& applied) mutable {
                       if (!applied.ok()) return done(applied);
                       // Mostly it is open, and needs no proposal of its own to be found so.
                       const bool open = context_->applied.Read([&](const BrokerState& state) {
                         return state.transactions().Find(half.position) != nullptr;
                       });
                       if (commit && open) {
                         Commit(std::move(topic), half, std::move(done));
                       } else {
                         End(std::move(topic), half, commit, std::move(done));
                       }
                     });
}

void LogWaitingMessages::End(std::string topic, const HalfRef& half, bool commit,
                             DoneCallback done) {
  StartEndTransaction(context_, half, commit,
                      [this, topic = std::move(topic), half,
                       done = std::move(done)](absl::StatusOr<TransactionStep> step) mutable {
                        if (!step.ok()) {
                          done(step.status());
                        } else if (*step == TransactionStep::kCommit) {
                          Commit(std::move(topic), half, std::move(done));
                        } else {
                          done(absl::OkStatus());
                        }
                      });
}

void LogWaitingMessages::Commit(std::string topic, const HalfRef& half, DoneCallback done) {
  context_->read->Post([this, topic = std::move(topic), half, done = std::move(done)]() mutable {
    const absl::StatusOr<std::string> bytes = ReadHalf(half.position);
    if (!bytes.ok()) return done(bytes.status());
    const absl::StatusOr<RecordView> record = ParseRecord(*bytes);
    if (!record.ok()) return done(record.status());
    absl::StatusOr<Republication> as = RealPlace(*record, half);
    if (!as.ok()) return done(as.status());
    if (as->topic != topic) {
      return done(Refuse(Reason::kInvalidTransactionId,
                         StrCat("the transaction id is that of a message of topic ", as->topic)));
    }
    as->transaction_commit = true;
    SettlingSend::Start(context_, *bytes, *std::move(as), SettlingSend::IfTopicGone::kRefuse,
                        [this, topic, half,
                         done = std::move(done)](const absl::StatusOr<SendResult>& sent) mutable {
                          if (!sent.ok() && ReasonOf(sent.status()) == Reason::kMessageNotFound) {
                            // Ended meanwhile: perhaps just so.
                            End(std::move(topic), half, /*commit=*/true, std::move(done));
                          } else {
                            done(sent.status());
                          }
                        });
  });
}

size_t LogWaitingMessages::OpenTransactions() const {
  return context_->applied.Read(
      [](const BrokerState& state) { return state.transactions().size(); });
}

std::optional<int64_t> LogWaitingMessages::NextCheckMs() const {
  return context_->applied.Read(
      [](const BrokerState& state) { return state.transactions().NextCheckMs(); });
}

std::vector<OpenTransaction> LogWaitingMessages::DueForCheck(int64_t now_ms, size_t max) const {
  return ToOpen(context_->applied.Read(
      [&](const BrokerState& state) { return state.transactions().DueForCheck(now_ms, max); }));
}

std::vector<OpenTransaction> LogWaitingMessages::ListTransactions(LogPosition from,
                                                                  size_t max) const {
  return ToOpen(context_->applied.Read(
      [&](const BrokerState& state) { return state.transactions().List(from, max); }));
}

void LogWaitingMessages::SetChecks(std::vector<OpenTransaction> transactions,
                                   CheckedCallback done) {
  StartSetChecks(context_, std::move(transactions), std::move(done));
}

void LogWaitingMessages::ExpireTransaction(LogPosition position, DoneCallback done) {
  TopicConfig topic;
  topic.name = kCheckMaxTimeTopic;
  topic.read_queues = topic.write_queues = 1;
  topic.perm = kPermRead;
  StartEnsureTopic(context_, std::move(topic),
                   [this, position, done = std::move(done)](const absl::Status& status) mutable {
                     if (!status.ok()) return done(status);
                     context_->read->Post([this, position, done = std::move(done)]() mutable {
                       Expire(position, std::move(done));
                     });
                   });
}

void LogWaitingMessages::Expire(LogPosition position, DoneCallback done) {
  const int32_t checks = context_->applied.Read([&](const BrokerState& state) {
    const HalfMessage* half = state.transactions().Find(position);
    return half == nullptr ? 0 : half->checks;
  });
  const absl::StatusOr<std::string> bytes = ReadHalf(position);
  if (!bytes.ok()) return done(bytes.status());
  const absl::StatusOr<RecordView> record = ParseRecord(*bytes);
  if (!record.ok()) return done(record.status());
  Republication as;
  as.topic = kCheckMaxTimeTopic;
  as.queue = QueueId(0);
  as.settles = HalfRef{position};
  as.properties = {{std::string(property::kRealTopic),
                    std::string(record->properties.Get(property::kRealTopic))},
                   {std::string(property::kTransactionCheckTimes), StrCat(checks)}};
  SettlingSend::Start(context_, *bytes, std::move(as), SettlingSend::IfTopicGone::kRefuse,
                      [done = std::move(done)](const absl::StatusOr<SendResult>& sent) mutable {
                        done(sent.status());
                      });
}

absl::StatusOr<std::string> LogWaitingMessages::ReadHalf(LogPosition position) const {
  RAFTMQ_ASSIGN_OR_RETURN(std::string bytes, context_->records.ReadAt(position));
  RAFTMQ_ASSIGN_OR_RETURN(const RecordView record, ParseRecord(bytes));
  if (record.topic != kHalfTopic) {
    return Refuse(Reason::kMessageNotFound,
                  StrCat("the message at log position ", position, " is not a half message"));
  }
  return bytes;
}

}  // namespace raftmq::store
