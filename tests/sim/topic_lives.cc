#include "tests/sim/topic_lives.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "store/message_record.h"
#include "store/reason.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {

TopicLives::TopicLives(Options options, MemberCalls* calls, Clock* clock, Random random, Send send,
                       Complain complain)
    : options_(std::move(options)),
      calls_(calls),
      clock_(clock),
      random_(random),
      send_(std::move(send)),
      complain_(std::move(complain)) {}

void TopicLives::Start() {
  OperatorTurn();
  SendTurn();
  for (int i = 0; i < options_.consumers; ++i) ReceiveTurn();
}

// ---- The operator: one thing after the other, each until it is certain

void TopicLives::OperatorTurn() {
  calls_->After(random_.Between(1'000, 5'000) * kMillisecond, [this] {
    if (draining_) return;
    ++life_;
    exists_ = false;
    Delete();
  });
}

void TopicLives::Delete() {
  const auto again = [this] {
    calls_->After(random_.Between(20, 300) * kMillisecond, [this] { Delete(); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member) return again();
  auto call = calls_->NewCall(*member, again);
  calls_->At(*member).DeleteTopic(options_.topic, [=, this](const absl::Status& status) {
    if (!MemberCalls::First(call)) return;
    // Not found: a try of unknown outcome had done it.
    const bool gone = status.ok() || store::ReasonOf(status) == store::Reason::kTopicNotFound;
    if (gone) {
      OnDeleted();
    } else {
      again();
    }
  });
}

void TopicLives::OnDeleted() {
  ++deleted_;
  dead_through_ = life_ - 1;
  places_.clear();
  may_be_in_life_ = under_way_;
  for (const auto& [body, life] : life_of_) {
    gone_unread_ += life == dead_through_ && !given_.contains(body);
  }
  calls_->After(random_.Between(0, 800) * kMillisecond, [this] { Create(); });
}

void TopicLives::Create() {
  const auto again = [this] {
    calls_->After(random_.Between(20, 300) * kMillisecond, [this] { Create(); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member) return again();
  store::TopicConfig topic;
  topic.name = options_.topic;
  topic.read_queues = topic.write_queues = options_.queues;
  auto call = calls_->NewCall(*member, again);
  calls_->At(*member).UpdateTopic(topic, [=, this](const absl::Status& status) {
    if (!MemberCalls::First(call)) return;
    if (!status.ok()) return again();
    exists_ = true;
    OperatorTurn();
  });
}

// ---- Producers

void TopicLives::SendTurn() {
  if (draining_) return;
  calls_->After(random_.Between(50, 300) * kMillisecond, [this] { SendTurn(); });
  for (int64_t i = random_.Between(1, 3); i > 0; --i) SendOne();
}

void TopicLives::SendOne() {
  store::NewMessage message;
  message.topic = options_.topic;
  message.body = message.message_id = StrCat("t", sent_++);
  message.client_id = "lives-producer";
  message.born_ms = clock_->WallMillis();
  message.born_host = "127.0.0.1";
  ++under_way_;
  ++may_be_in_life_;
  // While a deletion is under way nobody knows on which side of it the message comes.
  const int life = dead_through_ == life_ - 1 ? life_ : 0;
  send_(message, [=, this, body = message.body](const store::SendResult* sent) {
    --under_way_;
    if (sent != nullptr) OnSent(body, life, sent);
  });
}

void TopicLives::OnSent(const std::string& body, int life_begun, const store::SendResult* sent) {
  if (life_begun != life_) return;
  life_of_.emplace(body, life_);
  if (sent->offset >= QueueOffset(may_be_in_life_)) {
    complain_(StrCat(body, " of life ", life_, " of topic ", options_.topic, " has offset ",
                     sent->offset, ", and at most ", may_be_in_life_, " messages are in it"));
  }
  const auto [known, is_new] = places_.emplace(Place(sent->queue, sent->offset), body);
  if (!is_new) {
    complain_(StrCat(body, " and ", known->second, " of life ", life_, " of topic ", options_.topic,
                     " share queue ", sent->queue, " offset ", sent->offset));
  }
  if (given_again_.contains(body)) complain_(StrCat(body, " was given out after it was acked"));
}

// ---- Consumers

void TopicLives::ReceiveTurn() {
  const auto again = [this] {
    calls_->After(random_.Between(20, 200) * kMillisecond, [this] { ReceiveTurn(); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member) return again();
  store::ReceiveRequest request;
  request.group = options_.group;
  request.topic = options_.topic;
  request.max_messages = static_cast<int32_t>(random_.Between(1, 8));
  request.invisible_ms = random_.Between(500, 2'000);
  auto call = calls_->NewCall(*member, again);
  calls_->At(*member).Receive(
      std::move(request), [=, this, dead_through = dead_through_, acked_before = acked_.size()](
                              const absl::StatusOr<store::ReceiveResult>& result) {
        if (!MemberCalls::First(call)) return;
        if (result.ok()) {
          for (const store::Delivery& delivery : result->deliveries) {
            const auto record = store::ParseRecord(delivery.record);
            if (!record.ok()) {
              complain_(StrCat("a delivery: ", Message(record.status())));
              continue;
            }
            OnDelivery(delivery, std::string(record->body), dead_through, acked_before);
          }
        }
        again();
      });
}

// `dead_through`, `acked_before`: as they were when the receive began.
void TopicLives::OnDelivery(const store::Delivery& delivery, const std::string& body,
                            int dead_through, size_t acked_before) {
  const auto life = life_of_.find(body);
  if (life != life_of_.end() && life->second <= dead_through) {
    complain_(StrCat(body, " of life ", life->second, " of topic ", options_.topic,
                     " was given out after life ", dead_through, " was deleted"));
  }
  const auto acked = acked_.find(body);
  if (acked != acked_.end() && acked->second < acked_before) {
    if (life != life_of_.end()) complain_(StrCat(body, " was given out after it was acked"));
    given_again_.insert(body);
  }
  given_.insert(body);
  const bool ack = draining_ || random_.Chance(0.7);
  if (!ack && random_.Chance(0.5)) return;  // forgotten
  calls_->After(random_.Between(0, draining_ ? 5 : 400) * kMillisecond,
                [=, this] { SettleNow(delivery, body, ack); });
}

void TopicLives::SettleNow(const store::Delivery& delivery, const std::string& body, bool ack) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  auto call = calls_->NewCall(*member, [] {});
  if (!ack) {
    return calls_->At(*member).Nack(
        options_.group, options_.topic, delivery.receipt_handle, 0,
        [=](const absl::StatusOr<std::string>&) { MemberCalls::First(call); });
  }
  calls_->At(*member).Ack(options_.group, options_.topic, {delivery.receipt_handle},
                          [=, this](const std::vector<absl::Status>& statuses) {
                            if (!MemberCalls::First(call) || !statuses[0].ok()) return;
                            acked_.emplace(body, acked_.size());
                          });
}

// ---- The end

bool TopicLives::Drained(const store::LogMessageStore& leader) const {
  if (!exists_ || under_way_ > 0) return false;
  const auto rows = leader.GroupProgress(options_.group);
  return rows.ok() && !rows->empty() &&
         std::all_of(rows->begin(), rows->end(), [](const store::QueueProgress& row) {
           return row.commit_offset == row.max_offset;
         });
}

void TopicLives::CheckEnd(QueueId queue, QueueOffset min) {
  for (auto it = places_.lower_bound({queue, min}); it != places_.end() && it->first.first == queue;
       ++it) {
    if (given_.contains(it->second)) continue;
    complain_(StrCat(it->second, " of the last life of topic ", options_.topic, ", queue ", queue,
                     " offset ", it->first.second, ", was never given out"));
  }
}

}  // namespace raftmq::sim
