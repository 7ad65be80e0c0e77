#include "store/receive_call.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "store/ack_proposal.h"
#include "store/fifo_grants.h"
#include "store/group_start.h"
#include "store/message_filter.h"
#include "store/message_reader.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"
#include "store/receipt_handle.h"

namespace raftmq::store {

namespace {

// Consume queue entries that one Scan looks at in all queues together: it bounds the ranges of a
// Grant command, and how long one receiver keeps the read runner.
constexpr int64_t kMaxScannedEntries = 4'096;
// The same for records, which an expression needs read.
constexpr int64_t kMaxScannedBytes = 16 << 20;

// Spreads consecutive calls over the queues: two groups that take turns would otherwise always
// start at the same ones.
uint32_t Mix(uint32_t n) {
  n = (n ^ (n >> 16)) * 0x85ebca6bU;
  n = (n ^ (n >> 13)) * 0xc2b2ae35U;
  return n ^ (n >> 16);
}

}  // namespace

// The call's turn on the replica thread.
class ReceiveCall::GrantProposal final : public dledger::Proposal {
 public:
  explicit GrantProposal(Ptr call) : call_(std::move(call)) {}

  absl::Status Decide(dledger::ProposalWriter& writer) override { return call_->Decide(writer); }
  void Done(const dledger::ProposalOutcome& outcome) override {
    Continue(std::move(call_), outcome);
  }

 private:
  Ptr call_;
};

ReceiveCall::ReceiveCall(StoreContext* context, ReceiveRequest request,
                         MessageStore::ReceiveCallback done)
    : context_(context),
      request_(std::move(request)),
      done_(std::move(done)),
      entry_filter_(request_.group, request_.filter.tags),
      turn_(Mix(context->receive_turn.fetch_add(1, std::memory_order_relaxed))) {
  request_.max_messages =
      std::min(request_.max_messages, context_->options.max_messages_per_receive);
}

ReceiveCall::~ReceiveCall() {
  if (done_ != nullptr) {
    Answer(Refuse(Reason::kStopped, StrCat("receive of group ", request_.group, " from topic ",
                                           request_.topic, ": this broker is stopping")));
  }
  context_->pending_receives.fetch_sub(1, std::memory_order_relaxed);
}

void ReceiveCall::Answer(absl::StatusOr<ReceiveResult> result) {
  auto done = std::exchange(done_, nullptr);
  done(std::move(result));
}

void ReceiveCall::AnswerEmpty() {
  ReceiveResult result;
  result.next_visible_in_ms = next_visible_in_ms_;
  result.inflight_full = plan_.inflight_full;
  // There is more to look at: come back at once.
  if (cut_short_ || (scans() && !plan_.rescan.empty())) result.next_visible_in_ms = 0;
  Answer(std::move(result));
}

absl::Status ReceiveCall::CheckRequest() const {
  if (request_.max_messages <= 0) {
    return Refuse(Reason::kMessageCorrupted,
                  StrCat("max_messages is ", request_.max_messages, ", must be at least 1"));
  }
  if (request_.invisible_ms <= 0) {
    return Refuse(Reason::kIllegalInvisibleTime,
                  StrCat("invisible time is ", request_.invisible_ms, " ms, must be above 0"));
  }
  if (request_.client_id.size() > kMaxClientTextBytes ||
      request_.attempt_id.size() > kMaxClientTextBytes) {
    return Refuse(Reason::kClientIdRequired,
                  StrCat("client id and attempt id may have ", kMaxClientTextBytes, " bytes each"));
  }
  if (request_.filter.sql != nullptr && !request_.filter.tags.empty()) {
    return Refuse(Reason::kIllegalFilter, "a filter is by tags or by an expression, not both");
  }
  for (const std::string& tag : request_.filter.tags) {
    if (tag.empty()) return Refuse(Reason::kIllegalFilter, "a tag to filter by is empty");
  }
  return absl::OkStatus();
}

void ReceiveCall::Start(StoreContext* context, ReceiveRequest request,
                        MessageStore::ReceiveCallback done) {
  const int32_t before = context->pending_receives.fetch_add(1, std::memory_order_relaxed);
  Ptr call(new ReceiveCall(context, std::move(request), std::move(done)));
  if (before >= context->options.max_pending_receives) {
    call->Answer(
        Refuse(Reason::kBusy, StrCat("there are ", before, " receives under way, at most ",
                                     context->options.max_pending_receives, " are allowed")));
    return;
  }
  if (absl::Status status = call->CheckRequest(); !status.ok()) {
    call->Answer(std::move(status));
    return;
  }
  context->applied.Read([&](const BrokerState& state) {
    const GroupConfig* group = state.FindGroup(call->request_.group);
    call->in_order_ = (group != nullptr && group->orderly) || IsLiteTopic(call->request_.topic);
    const TopicConfig* topic = state.FindTopic(call->request_.topic);
    call->by_priority_ = topic != nullptr && topic->type == TopicType::kPriority;
  });
  if (call->scans()) {
    PostScan(std::move(call));
  } else {
    Propose(std::move(call));
  }
}

void ReceiveCall::Propose(Ptr call) {
  dledger::Ledger* const ledger = call->context_->ledger;
  ledger->Propose(std::make_unique<GrantProposal>(std::move(call)));
}

// ---- Read runner, before the decision

void ReceiveCall::PostScan(Ptr call) {
  ++call->rounds_;
  TaskRunner* const read = call->context_->read;
  read->Post([call = std::move(call)]() mutable {
    call->Scan();
    Propose(std::move(call));
  });
}

void ReceiveCall::PostTimes(Ptr call) {
  TaskRunner* const read = call->context_->read;
  read->Post([call = std::move(call)]() mutable {
    auto offsets = StartOffsetsByTime(*call->context_, call->request_.group, call->request_.topic);
    if (!offsets.ok()) {
      call->Answer(offsets.status());
      return;
    }
    call->offsets_by_time_ = *std::move(offsets);
    Propose(std::move(call));
  });
}

size_t ReceiveCall::WindowSize() const {
  const size_t most = static_cast<size_t>(context_->options.filter_window);
  if (!in_order_) return most;
  // Mostly little more than what can be given out has to be read; if all of that is blocked, more.
  const size_t first = std::max<size_t>(16, request_.max_messages);
  return std::min(most, first << std::min(rounds_ - 1, 16));
}

void ReceiveCall::StartScan(const BrokerState& state, QueueId queue) {
  QueueScan& scan = scans_[queue.value()];
  scan.window = {};
  scan.busy_groups.clear();
  if (in_order_) {
    const Position* position = state.FindPosition(request_.group, request_.topic, queue);
    if (position != nullptr) {
      for (const auto& [offset, lease] : position->inflight()) {
        scan.busy_groups.insert(lease.message_group);
      }
    }
  }
  if (scan.from.has_value()) return;
  const auto progress = state.FindProgress(request_.group, request_.topic, queue);
  if (progress.has_value()) scan.from = progress->next_offset;
}

// Fills the windows. What can't be read stays without one: the decision then skips that queue.
void ReceiveCall::Scan() {
  int32_t count = 0;
  context_->applied.Read([&](const BrokerState& state) {
    const TopicConfig* topic = state.FindTopic(request_.topic);
    if (topic == nullptr) return;
    count = topic->read_queues;
    scans_.resize(std::max<size_t>(scans_.size(), count));
    for (int32_t q = 0; q < count; ++q) StartScan(state, QueueId(q));
  });
  ScanCount looked_at;
  for (const QueueId queue : QueuesInTurn(count)) {
    if (looked_at.passed >= request_.max_messages || looked_at.entries >= kMaxScannedEntries ||
        looked_at.record_bytes >= kMaxScannedBytes) {
      break;
    }
    const absl::Status status = ScanQueue(queue, &scans_[queue.value()], &looked_at);
    LOG_IF(ERROR, !status.ok()) << "filtering topic " << request_.topic << " queue " << queue
                                << " for group " << request_.group << ": " << status;
  }
}

bool ReceiveCall::PassesScan(const ConsumeQueueEntry& entry, const ConsumeQueue& queue,
                             QueueOffset offset, uint64_t* message_group, ScanCount* count) const {
  ++count->entries;
  const bool hash_passes = entry_filter_.MayPass(entry.tag_hash);
  // A hash that lay on a disk is not believed when it would throw the message away.
  if (!hash_passes && !queue.IsFromBefore(offset)) return false;
  if (hash_passes && request_.filter.sql == nullptr && !in_order_) return true;
  const auto record = context_->records.Read(entry, request_.topic, queue.queue_id(), offset);
  // What can't be read is not thrown away: whoever is given it hears of the error.
  if (!record.ok()) return true;
  count->record_bytes += static_cast<int64_t>(record->size());
  const auto header = ReadRecordHeader(*record);
  if (!header.ok()) return true;
  if (in_order_) *message_group = FifoGroupOf(header->properties);
  return IsWantedBy(request_.group, request_.filter, *header);
}

absl::Status ReceiveCall::ScanQueue(QueueId queue, QueueScan* scan, ScanCount* count) const {
  const auto consume_queue = context_->queues->Find(request_.topic, queue);
  if (consume_queue == nullptr) return absl::OkStatus();
  if (!scan->from.has_value()) return absl::OkStatus();  // the decision will say where to begin
  if (*scan->from >= consume_queue->MaxOffset()) {
    scan->window.from = *scan->from;
    return absl::OkStatus();
  }
  RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset min, consume_queue->MinOffset());
  const QueueOffset from = std::max(*scan->from, min);
  RAFTMQ_ASSIGN_OR_RETURN(const auto entries, consume_queue->GetRange(from, WindowSize()));
  scan->window.from = from;
  scan->window.pass.reserve(entries.size());
  for (const ConsumeQueueEntry& entry : entries) {
    if (count->record_bytes >= kMaxScannedBytes) break;
    uint64_t message_group = 0;
    const QueueOffset offset = from + static_cast<int64_t>(scan->window.pass.size());
    const bool pass = PassesScan(entry, *consume_queue, offset, &message_group, count);
    scan->window.pass.push_back(pass);
    if (in_order_) scan->window.groups.push_back(message_group);
    count->passed += pass && !scan->busy_groups.contains(message_group) ? 1 : 0;
    // Reading more records than can be given out would be for nothing.
    if (request_.filter.sql != nullptr && count->passed >= request_.max_messages) break;
  }
  return absl::OkStatus();
}

// ---- Replica thread

std::vector<QueueId> ReceiveCall::QueuesInTurn(int32_t count) const {
  std::vector<QueueId> queues;
  if (request_.queue.has_value()) {
    if (request_.queue->value() < count) queues.push_back(*request_.queue);
    return queues;
  }
  queues.reserve(count);
  if (by_priority_) {
    for (int32_t i = count; i > 0; --i) queues.push_back(QueueId(i - 1));
    return queues;
  }
  for (int32_t i = 0; i < count; ++i) {
    queues.push_back(QueueId(static_cast<int32_t>((turn_ + static_cast<uint32_t>(i)) % count)));
  }
  return queues;
}

absl::Status ReceiveCall::CheckTopic(const TopicConfig* topic) const {
  if (topic == nullptr) {
    return Refuse(Reason::kTopicNotFound, StrCat("topic ", request_.topic, " does not exist"));
  }
  if ((topic->perm & kPermRead) == 0 || topic->read_queues <= 0) {
    return Refuse(Reason::kForbidden, StrCat("topic ", request_.topic, " is not readable (perm ",
                                             static_cast<int>(topic->perm), ")"));
  }
  if (request_.queue.has_value() &&
      (request_.queue->value() < 0 || request_.queue->value() >= topic->read_queues)) {
    return Refuse(Reason::kQueueNotFound,
                  StrCat("topic ", request_.topic, " has read queues 0 to ", topic->read_queues - 1,
                         ", not ", *request_.queue));
  }
  return absl::OkStatus();
}

absl::Status ReceiveCall::Decide(dledger::ProposalWriter& writer) {
  LeaderView& view = context_->view();
  plan_ = {};
  needs_times_ = cut_short_ = false;
  next_visible_in_ms_.reset();
  RAFTMQ_RETURN_IF_ERROR(CheckTopic(view.state().FindTopic(request_.topic)));
  const GroupConfig* group = view.state().FindGroup(request_.group);
  if (group != nullptr && !group->consume_enable) {
    return Refuse(Reason::kForbidden,
                  StrCat("group ", request_.group, " may not consume (consumeEnable=false)"));
  }
  const bool was_started = view.state().HasPositions(request_.group, request_.topic);
  RAFTMQ_ASSIGN_OR_RETURN(
      const GroupStart start,
      StartGroup(view, request_.group, request_.topic,
                 offsets_by_time_.has_value() ? &*offsets_by_time_ : nullptr, writer));
  if (start != GroupStart::kStarted) {
    needs_times_ = start == GroupStart::kNeedsTimes;
    cut_short_ = start == GroupStart::kCutShort;
    return absl::OkStatus();
  }
  in_order_ = view.state().FindGroup(request_.group)->orderly || IsLiteTopic(request_.topic);
  by_priority_ = view.state().FindTopic(request_.topic)->type == TopicType::kPriority;
  PlanGrant(view);
  const absl::Status logged = plan_.empty() ? absl::OkStatus() : LogGrant(view, writer);
  if (!logged.ok()) {
    if (was_started) return logged;
    plan_ = {};  // the start that was just logged stands: the group is to come again
    cut_short_ = true;
  }
  if (scans()) SetScanStarts(view.state());
  return absl::OkStatus();
}

// Where a further Scan begins: the applied positions may lag behind what was just decided.
void ReceiveCall::SetScanStarts(const BrokerState& state) {
  for (const QueueId queue : QueuesInTurn(static_cast<int32_t>(scans_.size()))) {
    const auto progress = state.FindProgress(request_.group, request_.topic, queue);
    if (progress.has_value()) scans_[queue.value()].from = progress->next_offset;
  }
}

// Chooses what to lease, from the messages that are applied: their bytes can be read.
void ReceiveCall::PlanGrant(LeaderView& view) {
  BrokerState& state = view.state();
  const int32_t count = state.FindTopic(request_.topic)->read_queues;
  scans_.resize(std::max<size_t>(scans_.size(), count));
  if (view.TopicChangePending(request_.topic, context_->applied.index())) return;

  std::vector<GrantRequest::Queue> queues;
  context_->applied.Read([&](const BrokerState& applied) {
    for (const QueueId queue : QueuesInTurn(count)) {
      QueueScan& scan = scans_[queue.value()];
      // Without a filter only what was looked at needs its window.
      const bool by_window = filtered() || in_order_ || !scan.window.pass.empty();
      const QueueEnds ends = applied.FindQueue(request_.topic, queue).value_or(QueueEnds());
      scan.for_one_end = ends.for_one_end;
      queues.push_back({queue, ends.max, by_window ? &scan.window : nullptr, ends.for_one_begin,
                        ends.for_one_end});
    }
  });
  GrantRequest request;
  request.group = request_.group;
  request.topic = request_.topic;
  request.lease_now_ms = view.LeaseTimeMs();
  request.max_messages = request_.max_messages;
  request.max_inflight = context_->options.max_inflight_per_queue;
  request.queues = queues;
  request.queue_by_queue = by_priority_;
  if (in_order_) {
    request.max_inflight =
        std::min<int64_t>(request.max_inflight, context_->options.max_in_order_per_queue);
    plan_ = PickInOrder(state, request, {request_.client_id, request_.attempt_id},
                        static_cast<size_t>(context_->options.filter_window));
  } else {
    plan_ = state.PickGrants(request);
  }
  some_for_one_ |= !scans() && !plan_.rescan.empty();
  if (plan_.next_visible_ms.has_value()) {
    next_visible_in_ms_ = std::max<int64_t>(0, *plan_.next_visible_ms - request.lease_now_ms);
  }
}

absl::Status ReceiveCall::LogGrant(LeaderView& view, dledger::ProposalWriter& writer) {
  Grant grant;
  grant.group = request_.group;
  grant.topic = request_.topic;
  grant.lease_until_ms = lease_until_ms_ = view.LeaseEndMs(request_.invisible_ms);
  grant.client_id = request_.client_id;
  grant.attempt_id = request_.attempt_id;
  grant.items = plan_.items;
  grant.filtered = plan_.filtered;
  grant.in_order = in_order_;
  return view.Log(std::move(grant), writer);
}

void ReceiveCall::Continue(Ptr call, const dledger::ProposalOutcome& outcome) {
  if (!outcome.status.ok()) {
    call->Answer(StatusOf(outcome, StrCat("receive of group ", call->request_.group, " from topic ",
                                          call->request_.topic)));
    return;
  }
  if (call->needs_times_) {
    if (call->offsets_by_time_.has_value()) {
      call->AnswerEmpty();
    } else {
      PostTimes(std::move(call));
    }
    return;
  }
  if (!call->plan_.items.empty()) {
    PostDeliver(std::move(call));
  } else if (!call->plan_.rescan.empty() && call->MayScanAgain()) {
    PostScan(std::move(call));
  } else {
    call->AnswerEmpty();
  }
}

// ---- Read runner, after the grant

void ReceiveCall::PostDeliver(Ptr call) {
  TaskRunner* const read = call->context_->read;
  read->Post([call = std::move(call)]() mutable { Deliver(std::move(call)); });
}

bool ReceiveCall::IsSuspect(const GrantItem& item) const {
  return filtered() || item.offset < scans_[item.queue.value()].for_one_end;
}

bool ReceiveCall::Passes(const std::string& record) const {
  const auto header = ReadRecordHeader(record);
  return header.ok() && IsWantedBy(request_.group, request_.filter, *header);
}

// The error is of the first record that could not be read; the others are delivered all the same.
// What could not stays leased, and is tried again when its lease is over.
absl::Status ReceiveCall::ReadGranted(std::vector<Delivery>* deliveries,
                                      std::vector<Ack::Item>* filtered_out) {
  absl::Status first_error;
  ReceiptHandle handle;
  handle.names_crc = ReceiptNamesCrc(request_.group, request_.topic);
  handle.lease_until_ms = lease_until_ms_;
  deliveries->reserve(plan_.items.size());
  absl::flat_hash_set<std::pair<QueueId, uint64_t>> unread_groups;
  for (const GrantItem& item : plan_.items) {
    if (item.attempt == 0) continue;  // it waits behind its message group
    // Nor does one come whose predecessor can't.
    if (in_order_ && unread_groups.contains({item.queue, item.message_group})) continue;
    absl::StatusOr<std::string> record =
        ReadMessage(*context_, request_.topic, item.queue, item.offset);
    if (!record.ok()) {
      LOG(ERROR) << "topic " << request_.topic << " queue " << item.queue << " offset "
                 << item.offset << " cannot be delivered to group " << request_.group << ": "
                 << record.status();
      if (first_error.ok()) first_error = record.status();
      if (in_order_) unread_groups.insert({item.queue, item.message_group});
      continue;
    }
    if (IsSuspect(item) && !Passes(*record)) {
      filtered_out->push_back({item.queue, item.offset, item.lease_id});
      continue;
    }
    handle.queue = item.queue;
    handle.offset = item.offset;
    handle.lease_id = item.lease_id;
    deliveries->push_back({*std::move(record), item.queue, item.offset, item.attempt,
                           EncodeReceiptHandle(handle), request_.invisible_ms});
  }
  return first_error;
}

void ReceiveCall::Deliver(Ptr call) {
  ReceiveResult result;
  std::vector<Ack::Item> filtered_out;
  const absl::Status error = call->ReadGranted(&result.deliveries, &filtered_out);
  const bool found_none = result.deliveries.empty();
  if (!filtered_out.empty()) {
    AckProposal::StartFiltered(call->context_, call->request_.group, call->request_.topic,
                               std::move(filtered_out));
  }
  if (!found_none) {
    StoreCounters& counters = call->context_->counters;
    int64_t bytes = 0;
    for (const Delivery& delivery : result.deliveries) {
      bytes += static_cast<int64_t>(delivery.record.size());
    }
    counters.delivered.fetch_add(static_cast<int64_t>(result.deliveries.size()),
                                 std::memory_order_relaxed);
    counters.bytes_out.fetch_add(bytes, std::memory_order_relaxed);
    call->Answer(std::move(result));
  } else if (!error.ok()) {
    call->Answer(error);
  } else if (call->MayScanAgain()) {
    PostScan(std::move(call));  // there were only hash collisions
  } else {
    result.next_visible_in_ms = 0;
    call->Answer(std::move(result));
  }
}

}  // namespace raftmq::store
