#include "tests/sim/lite_clients.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/names.h"
#include "store/reason.h"
#include "store/receipt_handle.h"

namespace raftmq::sim {
namespace {

using store::LiteSubscribeRequest;

constexpr int64_t kMillisecondNanos = 1'000'000;
constexpr LogPlace kLogsEnd{LogIndex(std::numeric_limits<int64_t>::max()), 0};
const char* const kLiteTopics[] = {"a", "b", "c", "d", "e"};
constexpr size_t kLiteTopicCount = std::size(kLiteTopics);

}  // namespace

LiteClients::LiteClients(Options options, MemberCalls* calls, Clock* clock, Random random,
                         Send send, Complain complain)
    : options_(std::move(options)),
      calls_(calls),
      clock_(clock),
      random_(random),
      send_(std::move(send)),
      complain_(std::move(complain)),
      current_(options_.clients, options_.topic) {}

void LiteClients::Start() {
  SendTurn();
  ExpireTurn();
  for (int i = 0; i < options_.clients; ++i) {
    SubscribeTurn(i);
    ReceiveTurn(i);
  }
}

std::string LiteClients::Client(int number) const { return StrCat("lite-", number); }

const std::string& LiteClients::Parent(bool mostly_the_first) {
  return random_.Chance(mostly_the_first ? 0.8 : 0.5) ? options_.topic : options_.expiring_topic;
}

// ---- What they do

void LiteClients::SendTurn() {
  if (draining_) return;
  calls_->After(random_.Between(50, 300) * kMillisecondNanos, [this] { SendTurn(); });
  const std::string& parent = Parent(true);
  store::NewMessage message;
  message.topic = store::LiteTopicName(parent, kLiteTopics[random_.Below(kLiteTopicCount)]);
  message.type = store::TopicType::kLite;
  message.body = message.message_id = StrCat("l", sent_++);
  message.client_id = "lite-producer";
  message.born_ms = clock_->WallMillis();
  message.born_host = "127.0.0.1";
  const bool stays = parent == options_.topic;
  send_(message,
        [=, this, body = message.body, topic = message.topic](const store::SendResult* sent) {
          if (sent != nullptr && stays) acknowledged_[body] = topic;
        });
}

void LiteClients::ExpireTurn() {
  if (draining_) return;
  calls_->After(random_.Between(1'000, 4'000) * kMillisecondNanos, [this] { ExpireTurn(); });
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  auto call = calls_->NewCall(*member, [] {});
  calls_->At(*member).lite_topics().ExpireIdle(
      [=](const absl::StatusOr<int64_t>&) { MemberCalls::First(call); });
}

void LiteClients::SubscribeTurn(int number) {
  if (draining_) return;
  calls_->After(random_.Between(200, 2'500) * kMillisecondNanos,
                [=, this] { SubscribeTurn(number); });
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  LiteSubscribeRequest request;
  request.group = options_.group;
  request.client_id = Client(number);
  const uint64_t kind = random_.Below(10);
  request.action = kind < 6   ? LiteSubscribeRequest::Action::kAdd
                   : kind < 7 ? LiteSubscribeRequest::Action::kRemove
                   : kind < 9 ? LiteSubscribeRequest::Action::kReplace
                              : LiteSubscribeRequest::Action::kLeave;
  if (request.action == LiteSubscribeRequest::Action::kAdd && random_.Chance(0.2)) {
    current_[number] = Parent(true);
  }
  request.topic = current_[number];
  for (uint64_t i = random_.Below(3) + 1; i > 0; --i) {
    request.lite_topics.push_back(kLiteTopics[random_.Below(kLiteTopicCount)]);
  }
  if (request.action == LiteSubscribeRequest::Action::kAdd && random_.Chance(0.1)) {
    request.start = store::LiteStart{store::LiteStart::Kind::kMax, 0};
  }
  auto call = calls_->NewCall(*member, [] {});
  calls_->At(*member).lite_topics().Subscribe(
      std::move(request), [=, this](const absl::StatusOr<store::LiteSubscribeResult>& result) {
        if (!MemberCalls::First(call) || result.ok()) return;
        over_quota_ += store::ReasonOf(result.status()) == store::Reason::kLiteSubscriptionQuota;
      });
}

void LiteClients::ReceiveTurn(int number) {
  const auto again = [=, this] {
    calls_->After(random_.Between(20, 300) * kMillisecondNanos, [=, this] { ReceiveTurn(number); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member) return again();
  store::ReceiveRequest request;
  request.group = options_.group;
  request.topic = random_.Chance(draining_ ? 0.5 : 0.9) ? current_[number] : Parent(false);
  request.lite = true;
  request.max_messages = static_cast<int32_t>(random_.Between(1, 8));
  request.invisible_ms = random_.Between(500, 2'000);
  request.client_id = Client(number);
  const int64_t asked_ms = NowMs();
  auto call = calls_->NewCall(*member, again);
  calls_->At(*member).Receive(std::move(request),
                              [=, this](const absl::StatusOr<store::ReceiveResult>& result) {
                                if (!MemberCalls::First(call)) return;
                                if (result.ok()) {
                                  for (const store::Delivery& delivery : result->deliveries) {
                                    OnDelivered(number, asked_ms, delivery);
                                  }
                                }
                                again();
                              });
}

void LiteClients::OnDelivered(int number, int64_t asked_ms, const store::Delivery& delivery) {
  const auto record = store::ParseRecord(delivery.record);
  const auto handle = store::ParseReceiptHandle(delivery.receipt_handle);
  if (!record.ok() || !handle.ok()) {
    return complain_(StrCat("a lite delivery can't be read: ", record.status().ToString(), " ",
                            handle.status().ToString()));
  }
  const std::string topic(record->topic);
  delivered_.push_back({handle->lease_id, Client(number), topic, delivery.offset,
                        std::string(record->body), asked_ms});
  const bool ack = draining_ || random_.Chance(0.85);
  if (!ack && random_.Chance(0.5)) return;  // forgotten
  calls_->After(random_.Between(0, draining_ ? 5 : 200) * kMillisecondNanos,
                [=, this] { SettleNow(topic, delivery, ack); });
}

void LiteClients::SettleNow(const std::string& topic, const store::Delivery& delivery, bool ack) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  auto call = calls_->NewCall(*member, [] {});
  if (!ack) {
    return calls_->At(*member).Nack(
        options_.group, topic, delivery.receipt_handle, 0,
        [=](const absl::StatusOr<std::string>&) { MemberCalls::First(call); });
  }
  const uint64_t lease_id = store::ParseReceiptHandle(delivery.receipt_handle)->lease_id;
  calls_->At(*member).Ack(options_.group, topic, {delivery.receipt_handle},
                          [=, this](const std::vector<absl::Status>& statuses) {
                            if (!MemberCalls::First(call) || !statuses[0].ok()) return;
                            acked_leases_.push_back(lease_id);
                            ++consumed_;
                          });
}

// ---- What the log says

LiteClients::Topic& LiteClients::LifeOf(const std::string& topic) {
  std::vector<Topic>& lives = topics_[topic];
  if (lives.empty()) lives.emplace_back();
  return lives.back();
}

bool LiteClients::IsOver(const Topic& topic, QueueOffset offset, const Message& message) {
  return message.acked || offset < topic.start || (offset < topic.min && !message.granted);
}

bool LiteClients::HasSubscriber(const std::string& topic) const {
  const Name name(store::ParentOfLite(topic), store::LiteTopicOf(topic));
  return std::any_of(subscribed_.begin(), subscribed_.end(),
                     [&](const auto& client) { return client.second.count(name) != 0; });
}

void LiteClients::OnSubscribe(LogPlace at, int64_t now_ms, const store::SubscribeLite& subscribe) {
  ++subscriptions_;
  std::set<Name>& names = subscribed_[subscribe.client_id];
  for (const std::string& lite_topic : subscribe.removed) {
    const Name name(subscribe.topic, lite_topic);
    if (names.erase(name) == 0) continue;
    Subscription& last = history_[{subscribe.client_id, name}].back();
    last.to = at;
    last.over_ms = now_ms;
  }
  for (const std::string& lite_topic : subscribe.added) {
    const Name name(subscribe.topic, lite_topic);
    if (!names.insert(name).second) continue;
    history_[{subscribe.client_id, name}].push_back({at, kLogsEnd, 0});
    for (const auto& [client_id, others] : subscribed_) {
      if (options_.exclusive && client_id != subscribe.client_id && others.count(name) != 0) {
        complain_(StrCat("entry ", at.first, " gives ", lite_topic, " of ", subscribe.topic, " to ",
                         subscribe.client_id, ", ", client_id, " has it"));
      }
    }
  }
  if (!subscribe.added.empty() && names.size() > static_cast<size_t>(options_.quota)) {
    complain_(StrCat("entry ", at.first, " gives ", subscribe.client_id, " ", names.size(),
                     " lite topics, its quota is ", options_.quota));
  }
}

void LiteClients::OnGrant(LogPlace at, const store::Grant& grant) {
  if (grant.group != options_.group || !store::IsLiteTopic(grant.topic)) return;
  Topic& topic = LifeOf(grant.topic);
  const int life = static_cast<int>(topics_[grant.topic].size());
  std::set<QueueOffset> here;
  for (const store::GrantItem& item : grant.items) {
    Message& message = topic.messages[item.offset];
    message.granted = true;
    if (item.attempt == 0) continue;  // it waits
    here.insert(item.offset);
    grants_[item.lease_id] = {at, grant.topic, life, item.offset, grant.client_id};
    if (message.acked) {
      complain_(StrCat("entry ", at.first, " grants ", message.body, " of ", grant.topic,
                       " again, which was acked"));
    }
    for (const auto& [offset, earlier] : topic.messages) {
      if (offset >= item.offset) break;
      if (IsOver(topic, offset, earlier) || here.count(offset) != 0) continue;
      complain_(StrCat("entry ", at.first, " grants ", message.body, " of ", grant.topic,
                       " before ", earlier.body, " was acked"));
    }
  }
}

void LiteClients::OnAck(const store::Ack& ack) {
  if (ack.group != options_.group || !store::IsLiteTopic(ack.topic)) return;
  Topic& topic = LifeOf(ack.topic);
  for (const store::Ack::Item& item : ack.items) topic.messages[item.offset].acked = true;
}

// What is before it counts as acked, nothing from there on does.
void LiteClients::OnStart(const std::string& group, const std::string& topic, QueueOffset offset) {
  if (group != options_.group || !store::IsLiteTopic(topic)) return;
  Topic& life = LifeOf(topic);
  life.start = std::max(offset, life.min);
  for (auto it = life.messages.lower_bound(life.start); it != life.messages.end(); ++it) {
    it->second.granted = it->second.acked = false;
  }
}

void LiteClients::OnRetain(const store::Retain& retain) {
  for (const store::Retain::Queue& queue : retain.queues) {
    if (store::IsLiteTopic(queue.topic)) LifeOf(queue.topic).min = queue.min;
  }
}

void LiteClients::OnDeleted(const std::string& topic) {
  if (!store::IsLiteTopic(topic)) return;
  if (store::ParentOfLite(topic) != options_.expiring_topic) {
    complain_(StrCat(topic, " was deleted, though it never expires"));
  }
  ++deleted_;
  topics_[topic].emplace_back();
}

void LiteClients::OnMessage(const std::string& topic, QueueOffset offset, const std::string& body) {
  const auto [message, is_new] = LifeOf(topic).messages.emplace(offset, Message{body});
  if (!is_new) complain_(StrCat(topic, " has ", body, " where it has ", message->second.body));
}

// ---- The end

bool LiteClients::Drained() const {
  return std::all_of(topics_.begin(), topics_.end(), [&](const auto& lives) {
    if (!HasSubscriber(lives.first)) return true;
    const Topic& topic = lives.second.back();
    return std::all_of(topic.messages.begin(), topic.messages.end(), [&](const auto& message) {
      return IsOver(topic, message.first, message.second);
    });
  });
}

void LiteClients::CheckEnd(int member, const store::LogMessageStore& store) {
  std::map<std::string, std::set<Name>> seen;
  for (const LiteSubscribeRequest& client :
       const_cast<store::LogMessageStore&>(store).lite_topics().Clients()) {
    for (const std::string& lite_topic : client.lite_topics) {
      seen[client.client_id].emplace(client.topic, lite_topic);
    }
  }
  auto expected = subscribed_;
  std::erase_if(expected, [](const auto& client) { return client.second.empty(); });
  if (seen != expected) {
    complain_(StrCat("member ", member, " has other lite subscriptions than the log"));
  }
  for (const auto& [topic, lives] : topics_) {
    const auto range = store.Range(topic, QueueId(0));
    const auto& messages = lives.back().messages;
    if (messages.empty() ? range.ok() && range->max > QueueOffset(0)
                         : !range.ok() || range->max != messages.rbegin()->first + 1) {
      complain_(StrCat("member ", member, " has another end of ", topic, " than the log"));
    }
    if (messages.empty() || !HasSubscriber(topic)) continue;
    const QueueOffset end = messages.rbegin()->first + 1;
    const auto offset = store.CommitOffset(options_.group, topic, QueueId(0));
    // The group has no offset if all expired before it began.
    if (offset.ok() ? *offset != end : lives.back().min < end) {
      complain_(StrCat("member ", member, ": not all of ", topic, " is committed: ",
                       offset.ok() ? StrCat(*offset) : offset.status().ToString(), " of ", end,
                       ", kept from ", lives.back().min));
    }
  }
}

void LiteClients::CheckDelivered(const Delivered& delivered) {
  const std::string what =
      StrCat(delivered.body, " of ", delivered.topic, ", given to ", delivered.client_id);
  const auto grant = grants_.find(delivered.lease_id);
  if (grant == grants_.end() || grant->second.topic != delivered.topic ||
      grant->second.offset != delivered.offset || grant->second.client_id != delivered.client_id) {
    return complain_(StrCat(what, ": was not granted so"));
  }
  const Granted& granted = grant->second;
  const Topic& life = topics_[granted.topic][granted.life - 1];
  const auto message = life.messages.find(granted.offset);
  if (message == life.messages.end() || message->second.body != delivered.body) {
    complain_(StrCat(what, ": that is not what was stored there"));
  }
  const Name name(store::ParentOfLite(delivered.topic), store::LiteTopicOf(delivered.topic));
  const auto& history = history_[{delivered.client_id, name}];
  const bool had = std::any_of(history.begin(), history.end(), [&](const Subscription& one) {
    return one.from < granted.at && (granted.at < one.to || one.over_ms >= delivered.asked_ms);
  });
  if (!had) complain_(StrCat(what, ": it had not subscribed to that"));
}

void LiteClients::CheckLog() {
  for (const Delivered& delivered : delivered_) CheckDelivered(delivered);
  for (const uint64_t lease_id : acked_leases_) {
    const auto grant = grants_.find(lease_id);
    if (grant == grants_.end()) continue;  // complained about
    const Topic& life = topics_[grant->second.topic][grant->second.life - 1];
    const auto message = life.messages.find(grant->second.offset);
    if (message == life.messages.end()) continue;
    if (!message->second.acked && grant->second.offset >= life.start && !message->second.granted) {
      continue;  // a client's start took the group back to it
    }
    if (!message->second.acked && grant->second.offset >= life.start) {
      complain_(StrCat("the ack of ", message->second.body, " of ", grant->second.topic,
                       " was acknowledged, and is not in the log"));
    }
  }
  std::map<std::string, std::string> stored;
  for (const auto& [topic, lives] : topics_) {
    for (const auto& [offset, message] : lives.back().messages) {
      if (!stored.emplace(message.body, topic).second) {
        complain_(StrCat(message.body, " of ", topic, " is stored twice"));
      }
    }
  }
  for (const auto& [body, topic] : acknowledged_) {
    const auto found = stored.find(body);
    if (found == stored.end() || found->second != topic) {
      complain_(StrCat(body, " of ", topic, " was acknowledged and lost"));
    }
  }
}

}  // namespace raftmq::sim
