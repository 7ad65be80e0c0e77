#include "tests/sim/bystanders.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {

void Bystanders::Start() {
  for (int i = 0; i < options_.consumers; ++i) ReceiveTurn();
}

void Bystanders::ReceiveTurn() {
  const auto again = [this] {
    calls_->After(random_.Between(20, 200) * kMillisecond, [this] { ReceiveTurn(); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member) return again();
  store::ReceiveRequest request;
  request.group = options_.group;
  request.topic = options_.topic;
  // Every message has one of the two.
  if (random_.Chance(0.3)) request.filter.tags = {"even", "odd"};
  request.max_messages = 16;
  request.invisible_ms = random_.Between(500, 2'000);
  auto call = calls_->NewCall(*member, again);
  calls_->At(*member).Receive(std::move(request),
                              [=, this](const absl::StatusOr<store::ReceiveResult>& result) {
                                if (!MemberCalls::First(call)) return;
                                if (result.ok()) {
                                  for (const auto& delivery : result->deliveries) {
                                    OnDelivery(delivery);
                                  }
                                }
                                again();
                              });
}

void Bystanders::OnDelivery(const store::Delivery& delivery) {
  ++consumed_;
  const Place place(delivery.queue, delivery.offset);
  given_.insert(place);
  const auto known = sent_back_.find(place);
  if (known == sent_back_.end() || known->second) {
    complain_(StrCat("group ", options_.group, " was given queue ", place.first, " offset ",
                     place.second,
                     known == sent_back_.end() ? ", which no member had applied"
                                               : ", which was sent back to another group alone"));
  }
  if (!draining_ && random_.Chance(0.05)) return;  // forgotten
  calls_->After(random_.Between(0, draining_ ? 5 : 100) * kMillisecond, [=, this] {
    const std::optional<int> member = calls_->Pick();
    if (!member) return;
    auto call = calls_->NewCall(*member, [] {});
    calls_->At(*member).Ack(options_.group, options_.topic, {delivery.receipt_handle},
                            [=](const std::vector<absl::Status>&) { MemberCalls::First(call); });
  });
}

bool Bystanders::Drained(const store::LogMessageStore& leader) const {
  const auto rows = leader.GroupProgress(options_.group);
  return rows.ok() && !rows->empty() &&
         std::all_of(rows->begin(), rows->end(), [](const store::QueueProgress& row) {
           return row.commit_offset == row.max_offset;
         });
}

void Bystanders::CheckEnd(QueueId queue, QueueOffset min) {
  for (auto it = sent_back_.lower_bound({queue, min});
       it != sent_back_.end() && it->first.first == queue; ++it) {
    if (it->second) {
      ++spared_;
    } else if (!given_.contains(it->first)) {
      complain_(StrCat("group ", options_.group, " was never given queue ", queue, " offset ",
                       it->first.second));
    }
  }
}

}  // namespace raftmq::sim
