#include "tests/sim/bystanders.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/sql_filter.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {

void Bystanders::Start() {
  for (int i = 0; i < options_.consumers; ++i) ReceiveTurn();
}

store::MessageFilter Bystanders::Filter() {
  store::MessageFilter filter;
  if (options_.tag.empty()) {
    // Every message has one of the two.
    if (random_.Chance(0.3)) filter.tags = {"even", "odd"};
  } else if (options_.sql) {
    auto sql = store::SqlFilter::Parse(StrCat("TAGS = '", options_.tag, "'"));
    CHECK(sql.ok()) << sql.status();
    filter.sql = *std::move(sql);
  } else {
    filter.tags = {options_.tag};
  }
  return filter;
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
  request.filter = Filter();
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
  const auto known = messages_.find(place);
  if (known == messages_.end() || known->second != kTheirs) {
    complain_(StrCat("group ", options_.group, " was given queue ", place.first, " offset ",
                     place.second,
                     known == messages_.end()     ? ", which no member had applied"
                     : known->second == kSentBack ? ", which was sent back to another group alone"
                                                  : ", which its filter leaves out"));
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
  for (auto it = messages_.lower_bound({queue, min});
       it != messages_.end() && it->first.first == queue; ++it) {
    if (it->second == kSentBack) {
      ++spared_;
    } else if (it->second == kUnwanted) {
      ++filtered_;
    } else if (!given_.contains(it->first)) {
      complain_(StrCat("group ", options_.group, " was never given queue ", queue, " offset ",
                       it->first.second));
    }
  }
}

}  // namespace raftmq::sim
