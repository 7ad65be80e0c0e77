#include "tests/sim/waiting_clients.h"

#include <optional>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/message_record.h"
#include "store/reason.h"
#include "store/waiting_handles.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {
namespace {

// What its producer means to do with it, whenever and however often it is asked.
bool MeansToCommit(std::string_view body) { return body.back() % 2 == 0; }

}  // namespace

WaitingClients::WaitingClients(Options options, MemberCalls* calls, Clock* clock, Random random,
                               WaitingOracle* oracle, Send send, Complain complain)
    : options_(std::move(options)),
      calls_(calls),
      clock_(clock),
      random_(random),
      oracle_(oracle),
      send_(std::move(send)),
      complain_(std::move(complain)) {}

void WaitingClients::Start() {
  Delay(0);
  Transact(0);
}

store::NewMessage WaitingClients::Waiting(const std::string& topic, store::TopicType type,
                                          const std::string& body) {
  store::NewMessage message;
  message.topic = topic;
  message.type = type;
  message.body = message.message_id = body;
  message.client_id = "waiting";
  message.born_ms = clock_->WallMillis();
  message.born_host = "127.0.0.1";
  return message;
}

void WaitingClients::SendWaiting(store::NewMessage message,
                                 std::function<void(const store::SendResult*)> then) {
  const std::string body = message.body;
  send_(std::move(message), [=, this](const store::SendResult* sent) {
    if (sent != nullptr) oracle_->OnAcknowledged(body);
    then(sent);
  });
}

// ---- Delayed messages

void WaitingClients::Delay(int number) {
  if (draining_) return;
  calls_->After(random_.Between(5, 80) * kMillisecond, [=, this] { Delay(number + 1); });
  store::NewMessage message =
      Waiting(options_.delay_topic, store::TopicType::kDelay, StrCat("d", number));
  message.deliver_ms = message.born_ms + random_.Between(0, 3'000);
  oracle_->OnDelayedBegun(message.body, message.deliver_ms);
  const bool recall = random_.Chance(0.3);
  const int64_t recall_after = random_.Between(0, 3'000) * kMillisecond;
  SendWaiting(message, [=, this, body = message.body](const store::SendResult* sent) {
    if (sent == nullptr || !recall || sent->recall_handle.empty()) return;
    calls_->After(recall_after, [=, this, handle = sent->recall_handle] { Recall(body, handle); });
  });
}

void WaitingClients::Recall(const std::string& body, const std::string& handle) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  oracle_->OnRecallBegun(body);
  auto call = calls_->NewCall(*member, [] {});
  calls_->At(*member).waiting().Recall(
      options_.delay_topic, handle, [=, this](const absl::StatusOr<std::string>& recalled) {
        if (!MemberCalls::First(call)) return;
        if (recalled.ok()) {
          oracle_->OnRecalled(body);
        } else if (store::ReasonOf(recalled.status()) != store::Reason::kUnknownOutcome) {
          oracle_->OnRecallRefused(body);
        }
      });
}

// ---- Transactions

void WaitingClients::Transact(int number) {
  if (draining_) return;
  calls_->After(random_.Between(5, 80) * kMillisecond, [=, this] { Transact(number + 1); });
  store::NewMessage message =
      Waiting(options_.transaction_topic, store::TopicType::kTransaction, StrCat("x", number));
  message.check_immunity_ms = random_.Between(100, 2'000);
  oracle_->OnHalfBegun(message.body, MeansToCommit(message.body));
  const bool forgotten = random_.Chance(0.3);  // its producer is asked then
  const int64_t after = random_.Between(0, 1'000) * kMillisecond;
  SendWaiting(message, [=, this, body = message.body](const store::SendResult* sent) {
    if (sent == nullptr || forgotten) return;
    calls_->After(after, [=, this, id = sent->transaction_id] { EndTransaction(body, id); });
  });
}

void WaitingClients::EndTransaction(const std::string& body, const std::string& id) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  calls_->At(*member).waiting().EndTransaction(
      options_.transaction_topic, body, id, MeansToCommit(body),
      [=, this](const absl::Status& ended) {
        const auto reason = store::ReasonOf(ended);
        if (reason == store::Reason::kInvalidTransactionId ||
            reason == store::Reason::kMessageNotFound) {
          complain_(StrCat("the end of ", body, " was refused: ", Message(ended)));
        }
      });
}

void WaitingClients::AnswerCheck(const std::string& record) {
  const auto half = store::ParseRecord(record);
  CHECK(half.ok()) << half.status();
  const std::string body(half->body);
  const std::string id = store::EncodeTransactionId(options_.transaction_topic, half->unique_key(),
                                                    store::HalfRef{half->physical_offset});
  calls_->After(random_.Between(0, 50) * kMillisecond, [=, this] { EndTransaction(body, id); });
}

}  // namespace raftmq::sim
