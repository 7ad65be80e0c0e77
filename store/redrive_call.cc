#include "store/redrive_call.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_split.h"
#include "base/strings.h"
#include "store/message_filter.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/reason.h"
#include "store/settling_send.h"
#include "store/status_collection.h"

namespace raftmq::store {
namespace {

// What one call looks at, at most: it has the read runner for itself meanwhile.
constexpr int64_t kMaxScannedMessages = 1'024;
constexpr int64_t kMaxScannedBytes = 16 << 20;
constexpr int32_t kMaxMessagesPerCall = 1'024;

class RedriveCall {
 public:
  RedriveCall(StoreContext* context, RedriveRequest request, RedriveCallback done)
      : context_(context),
        request_(std::move(request)),
        topic_(of_transactions() ? std::string(kCheckMaxTimeTopic)
                                 : DeadLetterTopicOf(request_.group)),
        done_(std::move(done)) {
    request_.max_messages = std::clamp(request_.max_messages, 1, kMaxMessagesPerCall);
  }

  // On the read runner.
  static void Run(std::unique_ptr<RedriveCall> call) {
    if (absl::Status scanned = call->Scan(); !scanned.ok()) return call->done_(scanned);
    if (call->request_.dry_run || call->records_.empty()) {
      return call->done_(std::move(call->result_));
    }
    SendBack(std::move(call));
  }

 private:
  bool of_transactions() const { return request_.group.empty(); }
  std::string_view OriginOf(const RecordView& record) const {
    return record.properties.Get(of_transactions() ? property::kRealTopic
                                                   : property::kDlqOriginTopic);
  }

  bool IsDone(QueueOffset offset) const {
    return context_->applied.Read([&](const BrokerState& state) {
      return state.redriven().Contains(topic_, request_.queue, offset);
    });
  }

  bool HasExpired(QueueOffset offset) const {
    const auto ends = context_->applied.Read(
        [&](const BrokerState& state) { return state.FindQueue(topic_, request_.queue); });
    return !ends.has_value() || offset < ends->min;
  }

  bool IsWanted(const RecordView& record) const {
    const int64_t dead_ms = record.store_timestamp_ms;
    if (dead_ms < request_.begin_ms || (request_.end_ms != 0 && dead_ms > request_.end_ms)) {
      return false;
    }
    if (!request_.origin_topic.empty() && OriginOf(record) != request_.origin_topic) return false;
    if (!request_.key.empty() && record.unique_key() != request_.key) {
      const std::vector<std::string> keys = absl::StrSplit(ToAbsl(record.keys()), kKeySeparator);
      if (std::find(keys.begin(), keys.end(), request_.key) == keys.end()) return false;
    }
    return PassesFilter(request_.filter, record.properties);
  }

  absl::Status Scan() {
    const auto ends = context_->applied.Read(
        [&](const BrokerState& state) { return state.FindQueue(topic_, request_.queue); });
    const auto queue = context_->queues->Find(topic_, request_.queue);
    if (!ends.has_value() || queue == nullptr) {
      return Refuse(
          Reason::kTopicNotFound,
          StrCat(of_transactions() ? std::string("no transaction was given up")
                                   : StrCat("group ", request_.group,
                                            " has no dead letters in queue ", request_.queue),
                 ": topic ", topic_, " does not have it"));
    }
    result_.end = ends->max;
    QueueOffset at = std::max(request_.from, ends->min);
    int64_t bytes = 0;
    for (int64_t scanned = 0;
         at < ends->max && scanned < kMaxScannedMessages && bytes < kMaxScannedBytes &&
         static_cast<int32_t>(result_.messages.size()) < request_.max_messages;
         ++scanned, ++at) {
      if (IsDone(at)) {
        ++result_.done_before;
        continue;
      }
      // One that cannot be read does not stand in the way of those behind it.
      const absl::Status looked = ReadAndLook(*queue, at, &bytes);
      if (ReasonOf(looked) == Reason::kStopped) return looked;
      if (!looked.ok() && !HasExpired(at)) AddUnreadable(at, looked);
    }
    result_.next = at;
    return absl::OkStatus();
  }

  absl::Status ReadAndLook(ConsumeQueue& queue, QueueOffset at, int64_t* bytes) {
    RAFTMQ_ASSIGN_OR_RETURN(const ConsumeQueueEntry entry, queue.Get(at));
    *bytes += entry.size;
    RAFTMQ_ASSIGN_OR_RETURN(std::string record,
                            context_->records.Read(entry, topic_, request_.queue, at));
    return Look(at, std::move(record));
  }

  // Whether the filter wants it nobody knows.
  void AddUnreadable(QueueOffset offset, const absl::Status& why) {
    RedrivenMessage& message = result_.messages.emplace_back();
    message.offset = offset;
    message.status = absl::DataLossError(StrCat("this member cannot read it: ", Message(why)));
  }

  absl::Status Look(QueueOffset offset, std::string record) {
    RAFTMQ_ASSIGN_OR_RETURN(const RecordView view, ParseRecord(record));
    if (!IsWanted(view)) {
      ++result_.unwanted;
      return absl::OkStatus();
    }
    RedrivenMessage& message = result_.messages.emplace_back();
    message.offset = offset;
    message.message_id = std::string(view.unique_key());
    message.keys = std::string(view.keys());
    message.tag = std::string(view.tags());
    message.origin_topic = std::string(OriginOf(view));
    message.reason = std::string(view.properties.Get(property::kDlqReason));
    message.attempts = view.reconsume_times;
    message.dead_ms = view.store_timestamp_ms;
    if (message.origin_topic.empty()) {
      message.status = absl::FailedPreconditionError(
          "it does not say which topic it came from: somebody sent it to the dead-letter queue");
      return absl::OkStatus();
    }
    message.status = context_->applied.Read(
        [&](const BrokerState& state) { return CheckWayBack(state, message.origin_topic); });
    if (message.status.ok() && !request_.dry_run) {
      records_.push_back(std::move(record));
      to_send_.push_back(result_.messages.size() - 1);
    }
    return absl::OkStatus();
  }

  // Whether the group gets what is sent to that topic now.
  absl::Status CheckWayBack(const BrokerState& state, const std::string& topic) const {
    if (state.FindTopic(topic) == nullptr) {
      return Refuse(Reason::kTopicNotFound, StrCat("topic ", topic, " does not exist"));
    }
    if (of_transactions()) {
      const auto open = static_cast<int64_t>(state.transactions().size() + records_.size());
      if (open < context_->options.max_pending_transactions) return absl::OkStatus();
      return Refuse(Reason::kBusy, StrCat(open, " transactions wait in this broker group, at most ",
                                          context_->options.max_pending_transactions,
                                          " may (maxPendingTransactions)"));
    }
    const GroupConfig* group = state.FindGroup(request_.group);
    if (group == nullptr) {
      return Refuse(Reason::kGroupNotFound,
                    StrCat("group ", request_.group, ", whom it is for, does not exist"));
    }
    if (group->consume_from == ConsumeFrom::kLast && !IsLiteTopic(topic) &&
        !state.HasPositions(request_.group, topic)) {
      return Refuse(Reason::kOffsetNotFound,
                    StrCat("group ", request_.group, " has no offset on topic ", topic,
                           " yet and would begin behind it: have a consumer receive there first"));
    }
    return absl::OkStatus();
  }

  static void SendBack(std::unique_ptr<RedriveCall> owned) {
    RedriveCall* const call = owned.get();
    StoreContext* const context = call->context_;
    const std::vector<std::string> records = std::move(call->records_);
    std::vector<Republication> as;
    as.reserve(records.size());
    for (const size_t index : call->to_send_) as.push_back(call->BackOf(index));
    // The collection keeps the call until all are answered.
    const auto statuses = std::make_shared<StatusCollection>(
        records.size(), [owned = std::move(owned)](std::vector<absl::Status> ended) mutable {
          Finish(std::move(owned), std::move(ended));
        });
    for (size_t i = 0; i < records.size(); ++i) {
      SettlingSend::Start(context, records[i], std::move(as[i]), SettlingSend::IfTopicGone::kRefuse,
                          [call, statuses, i](const absl::StatusOr<SendResult>& sent) {
                            // The call is there: this one has not been counted yet.
                            if (sent.ok()) call->MessageAt(i).position = sent->position;
                            statuses->Set(i, sent.status());
                          });
    }
  }

  static void Finish(std::unique_ptr<RedriveCall> call, std::vector<absl::Status> ended) {
    LogPosition last(-1);
    for (size_t i = 0; i < ended.size(); ++i) {
      RedrivenMessage& message = call->MessageAt(i);
      if (ended[i].ok()) last = std::max(last, message.position);
      message.status = std::move(ended[i]);
    }
    const absl::Status first = call->MessageAt(0).status;
    if (last < LogPosition(0) && IsOfLeadership(first)) return call->done_(first);
    if (last < LogPosition(0)) return call->done_(std::move(call->result_));
    // What comes next looks at the applied state.
    StoreContext* const context = call->context_;
    context->applied.WhenAppliedTo(
        last + 1, [call = std::move(call)](const absl::Status& applied) mutable {
          if (applied.ok()) return call->done_(std::move(call->result_));
          call->done_(Refuse(Reason::kUnknownOutcome,
                             StrCat("some dead letters were sent back, but this broker stopped "
                                    "before it applied that: ",
                                    Message(applied))));
        });
  }

  // Nothing was logged here: another member leads.
  static bool IsOfLeadership(const absl::Status& status) {
    const auto reason = ReasonOf(status);
    return reason == Reason::kNotLeader || reason == Reason::kStopped;
  }

  RedrivenMessage& MessageAt(size_t i) { return result_.messages[to_send_[i]]; }

  Republication BackOf(size_t index) const {
    const RedrivenMessage& message = result_.messages[index];
    Republication as;
    if (of_transactions()) {
      as.topic = kHalfTopic;
      as.queue = QueueId(0);
      as.settles = RedriveRef{topic_, request_.queue, message.offset};
      as.properties = {{std::string(property::kRealTopic), message.origin_topic},
                       {std::string(property::kTransactionPrepared), "true"},
                       {std::string(property::kCheckImmunityMs), "0"},
                       {std::string(property::kTransactionCheckTimes), ""}};
      return as;
    }
    as.topic = message.origin_topic;
    as.for_group = request_.group;
    as.settles = RedriveRef{topic_, request_.queue, message.offset};
    for (const std::string_view gone :
         {property::kDlqOriginTopic, property::kDlqOriginMessageId, property::kDlqOriginQueueId,
          property::kDlqOriginOffset, property::kDlqOriginGroup, property::kDlqReason,
          property::kReconsumeTime}) {
      as.properties.emplace_back(std::string(gone), "");
    }
    return as;
  }

  StoreContext* const context_;
  RedriveRequest request_;
  const std::string topic_;
  RedriveCallback done_;
  RedriveResult result_;
  // Those to be sent back: their records, and which of the result's messages they are.
  std::vector<std::string> records_;
  std::vector<size_t> to_send_;
};

}  // namespace

void StartRedrive(StoreContext* context, RedriveRequest request, RedriveCallback done) {
  auto call = std::make_unique<RedriveCall>(context, std::move(request), std::move(done));
  context->read->Post([call = std::move(call)]() mutable { RedriveCall::Run(std::move(call)); });
}

}  // namespace raftmq::store
