#include "tests/sim/priority_clients.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "store/receipt_handle.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {

PriorityClients::PriorityClients(Options options, MemberCalls* calls, Clock* clock, Random random,
                                 Send send, Complain complain)
    : options_(std::move(options)),
      calls_(calls),
      clock_(clock),
      random_(random),
      send_(std::move(send)),
      complain_(std::move(complain)) {}

void PriorityClients::Start() {
  SendTurn();
  for (int i = 0; i < options_.consumers; ++i) ReceiveTurn();
}

// ---- What they do

void PriorityClients::SendTurn() {
  if (draining_) return;
  calls_->After(random_.Between(100, 600) * kMillisecond, [this] { SendTurn(); });
  // More than consumers take at once, so that some have to wait.
  for (int64_t i = random_.Between(1, 6); i > 0; --i) SendOne();
}

void PriorityClients::SendOne() {
  store::NewMessage message;
  message.topic = options_.topic;
  message.type = store::TopicType::kPriority;
  message.body = message.message_id = StrCat("h", sent_++);
  message.client_id = "priority-producer";
  message.born_ms = clock_->WallMillis();
  message.born_host = "127.0.0.1";
  // Some have none, some one beyond the last queue.
  const auto priority = static_cast<int32_t>(random_.Between(-1, options_.queues));
  if (priority >= 0) message.priority = priority;
  const QueueId expected(std::clamp(priority, 0, options_.queues - 1));
  send_(message, [=, this, body = message.body](const store::SendResult* sent) {
    if (sent != nullptr && sent->queue != expected) {
      complain_(StrCat(body, " has priority ", priority, ", and is in queue ", sent->queue));
    }
  });
}

void PriorityClients::ReceiveTurn() {
  const auto again = [this] {
    calls_->After(random_.Between(20, 300) * kMillisecond, [this] { ReceiveTurn(); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member) return again();
  store::ReceiveRequest request;
  request.group = options_.group;
  request.topic = options_.topic;
  request.max_messages = static_cast<int32_t>(random_.Between(1, 4));
  request.invisible_ms = random_.Between(500, 2'000);
  const Answer asked{calls_->At(*member).AppliedIndex(), returned_.size(), {}};
  auto call = calls_->NewCall(*member, again);
  calls_->At(*member).Receive(std::move(request),
                              [=, this](const absl::StatusOr<store::ReceiveResult>& result) {
                                if (!MemberCalls::First(call)) return;
                                if (result.ok() && !result->deliveries.empty())
                                  OnAnswer(asked, result->deliveries);
                                again();
                              });
}

void PriorityClients::OnAnswer(Answer answer, const std::vector<store::Delivery>& deliveries) {
  const store::Delivery* before = nullptr;
  for (const store::Delivery& delivery : deliveries) {
    const auto handle = store::ParseReceiptHandle(delivery.receipt_handle);
    if (!handle.ok()) return complain_(StrCat("a handle: ", Message(handle.status())));
    answer.places.emplace_back(Place(delivery.queue, delivery.offset), handle->lease_id);
    if (before != nullptr &&
        (before->queue < delivery.queue ||
         (before->queue == delivery.queue && before->attempt == 1 && delivery.attempt > 1))) {
      complain_(StrCat("an answer has priority ", before->queue, ", attempt ", before->attempt,
                       " before priority ", delivery.queue, ", attempt ", delivery.attempt));
    }
    before = &delivery;
    const bool ack = draining_ || random_.Chance(0.75);
    if (!ack && random_.Chance(0.3)) continue;  // forgotten
    calls_->After(random_.Between(0, draining_ ? 5 : 200) * kMillisecond,
                  [=, this] { SettleNow(delivery, ack); });
  }
  answers_.push_back(std::move(answer));
}

void PriorityClients::SettleNow(const store::Delivery& delivery, bool ack) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  auto call = calls_->NewCall(*member, [] {});
  if (ack) {
    return calls_->At(*member).Ack(options_.group, options_.topic, {delivery.receipt_handle},
                                   [=, this](const std::vector<absl::Status>& statuses) {
                                     if (!MemberCalls::First(call) || !statuses[0].ok()) return;
                                     ++consumed_;
                                   });
  }
  const uint64_t lease_id = store::ParseReceiptHandle(delivery.receipt_handle)->lease_id;
  calls_->At(*member).Nack(options_.group, options_.topic, delivery.receipt_handle, 0,
                           [=, this](const absl::StatusOr<std::string>& handle) {
                             if (!MemberCalls::First(call) || !handle.ok()) return;
                             returned_.emplace(lease_id, returned_.size());
                           });
}

// ---- What the log says

void PriorityClients::OnMessage(LogIndex index, const std::string& topic, QueueId queue,
                                QueueOffset offset, const std::string& body) {
  if (topic != options_.topic) return;
  messages_.emplace(Place(queue, offset), Stored{index, body, {}});
}

void PriorityClients::OnGrant(LogPlace at, const store::Grant& grant) {
  if (grant.group != options_.group || grant.topic != options_.topic) return;
  for (const store::GrantItem& item : grant.items) {
    messages_[Place(item.queue, item.offset)].grants.push_back({at, item.lease_id});
    lease_places_.emplace(item.lease_id, at);
  }
}

void PriorityClients::OnRetain(LogPlace at, const store::Retain& retain) {
  for (const store::Retain::Queue& queue : retain.queues) {
    if (queue.topic == options_.topic) retained_[queue.queue].emplace_back(at, queue.min);
  }
}

// ---- The end

bool PriorityClients::Drained(const store::LogMessageStore& leader) const {
  const auto rows = leader.GroupProgress(options_.group);
  return rows.ok() && !rows->empty() &&
         std::all_of(rows->begin(), rows->end(), [](const store::QueueProgress& row) {
           return row.commit_offset == row.max_offset;
         });
}

bool PriorityClients::WasAvailable(const Place& place, const Stored& message, const Answer& answer,
                                   LogPlace at) const {
  if (message.index > answer.applied) return false;
  const auto grant =
      std::lower_bound(message.grants.begin(), message.grants.end(), at,
                       [](const Granted& granted, LogPlace other) { return granted.at < other; });
  if (grant != message.grants.end() && grant->at == at) return false;  // given out with it
  if (grant != message.grants.begin()) {
    const auto returned = returned_.find(std::prev(grant)->lease_id);
    return returned != returned_.end() && returned->second < answer.returned;
  }
  const auto retained = retained_.find(place.first);
  return retained == retained_.end() ||
         std::none_of(retained->second.begin(), retained->second.end(), [&](const auto& retain) {
           return retain.first < at && place.second < retain.second;
         });
}

void PriorityClients::CheckAnswer(const Answer& answer) {
  const auto& [lowest, lease_id] = answer.places.back();
  const auto granted = lease_places_.find(lease_id);
  if (granted == lease_places_.end()) {
    return complain_(StrCat("priority ", lowest.first, " offset ", lowest.second,
                            " was given out with a lease that the log does not have"));
  }
  const auto given = messages_.find(lowest);
  bool overtook = false;
  for (const auto& [place, message] : messages_) {
    if (place.first > lowest.first && WasAvailable(place, message, answer, granted->second)) {
      complain_(StrCat("entry ", granted->second.first, " gives out priority ", lowest.first,
                       " offset ", lowest.second, ", and not ", message.body, ", of priority ",
                       place.first));
    }
    overtook = overtook || (place.first < lowest.first && message.index < given->second.index &&
                            WasAvailable(place, message, answer, granted->second));
  }
  overtaken_ += overtook;
}

void PriorityClients::CheckLog() {
  for (const Answer& answer : answers_) CheckAnswer(answer);
}

}  // namespace raftmq::sim
