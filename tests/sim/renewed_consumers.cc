#include "tests/sim/renewed_consumers.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/strings.h"
#include "store/message_record.h"
#include "store/reason.h"
#include "store/receipt_handle.h"

namespace raftmq::sim {
namespace {

bool IsRefusal(const absl::Status& status) {
  return store::ReasonOf(status) == store::Reason::kInvalidReceiptHandle;
}

// No need to ask again.
bool IsOver(const absl::Status& status) { return status.ok() || IsRefusal(status); }

}  // namespace

RenewedConsumers::RenewedConsumers(Options options, MemberCalls* calls, SimScheduler* scheduler,
                                   Random random, Send send, Complain complain)
    : options_(std::move(options)),
      calls_(calls),
      scheduler_(scheduler),
      clock_(scheduler->clock()),
      random_(random),
      send_(std::move(send)),
      complain_(std::move(complain)),
      lives_(options_.consumers, 0) {}

void RenewedConsumers::Start() {
  SendTurn();
  SilenceTurn();
  for (int i = 0; i < options_.consumers; ++i) ReceiveTurn(i);
}

std::string RenewedConsumers::Client(int number) const {
  return StrCat("push-", number, "-", lives_[number]);
}

void RenewedConsumers::Up(int member) {
  auto up = std::make_shared<Member>();
  up->timer = scheduler_->NewRunner(StrCat("n", member, " renewals"));
  broker::Renewals::Options options = broker::Renewals::Options::ForLeasesOf(options_.lease_ms);
  options.scan_ms = 100;
  up->renewals = std::make_unique<broker::Renewals>(
      options, clock_, up->timer.get(),
      [this, weak = std::weak_ptr<Member>(up)](const broker::Renewals::Lease& lease,
                                               int64_t extend_ms, broker::Renewals::Done done) {
        Renew(weak, lease, extend_ms, std::move(done));
      },
      [this](const std::string& client_id) { return IsAlive(client_id); });
  members_[member] = std::move(up);
}

std::shared_ptr<RenewedConsumers::Member> RenewedConsumers::AnyMember() {
  if (members_.empty()) return nullptr;
  return std::next(members_.begin(), static_cast<int64_t>(random_.Below(members_.size())))->second;
}

// ---- What consumers do

void RenewedConsumers::SendTurn() {
  if (draining_) return;
  calls_->After(random_.Between(50, 300) * kMillisecond, [this] { SendTurn(); });
  store::NewMessage message;
  message.topic = options_.topic;
  message.body = message.message_id = StrCat("w", sent_++);
  message.client_id = "renewed-producer";
  message.born_ms = clock_->WallMillis();
  message.born_host = "127.0.0.1";
  send_(std::move(message), [](const store::SendResult*) {});
}

void RenewedConsumers::SilenceTurn() {
  if (draining_) return;
  calls_->After(random_.Between(2'000, 8'000) * kMillisecond, [this] { SilenceTurn(); });
  const size_t number = random_.Below(lives_.size());
  const std::string client_id = Client(static_cast<int>(number));
  ++lives_[number];
  // Some say goodbye, to one member.
  if (random_.Chance(0.5)) return;
  if (const auto member = AnyMember()) member->renewals->RemoveClient(client_id);
}

void RenewedConsumers::ReceiveTurn(int number) {
  const auto again = [=, this] {
    calls_->After(random_.Between(50, 500) * kMillisecond, [=, this] { ReceiveTurn(number); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member || members_.empty()) return again();
  // The consumer talks to any member, which passes the call on and renews what it gives out.
  const int renewer =
      std::next(members_.begin(), static_cast<int64_t>(random_.Below(members_.size())))->first;
  store::ReceiveRequest request;
  request.group = options_.group;
  request.topic = options_.topic;
  request.max_messages = static_cast<int32_t>(random_.Between(1, 4));
  request.invisible_ms = options_.lease_ms;
  request.client_id = Client(number);
  const int64_t asked_ms = NowMs();
  auto call = calls_->NewCall(*member, again);
  calls_->At(*member).Receive(
      std::move(request),
      [=, this, client_id = Client(number)](const absl::StatusOr<store::ReceiveResult>& result) {
        if (!MemberCalls::First(call)) return;
        if (result.ok()) {
          for (const store::Delivery& delivery : result->deliveries) {
            OnDelivered(renewer, client_id, asked_ms, delivery);
          }
        }
        again();
      });
}

void RenewedConsumers::OnDelivered(int renewer, const std::string& client_id, int64_t asked_ms,
                                   const store::Delivery& delivery) {
  const auto record = store::ParseRecord(delivery.record);
  const auto handle = store::ParseReceiptHandle(delivery.receipt_handle);
  if (!record.ok() || !handle.ok()) {
    return complain_(StrCat("a delivery can't be read: ", Message(record.status()), " ",
                            Message(handle.status())));
  }
  const uint64_t lease_id = handle->lease_id;
  Lease lease;
  lease.place = Place(delivery.queue, delivery.offset);
  lease.body = std::string(record->body);
  lease.handle = delivery.receipt_handle;
  lease.first_end = NowMs() + options_.lease_ms;
  lease.not_before = asked_ms + options_.lease_ms;
  const auto [newest, first] = newest_.emplace(lease.place, lease_id);
  if (!first && newest->second < lease_id) {
    const Lease& before = leases_.at(newest->second);
    if (!before.settling && NowMs() < before.not_before) {
      complain_(StrCat(lease.body, " was leased until ", before.not_before,
                       " ms by its grant and renewals, and given out again at ", NowMs(), " ms"));
    }
    newest->second = lease_id;
  }
  const auto acked = acked_ms_.find(lease.place);
  if (acked != acked_ms_.end() && asked_ms > acked->second) {
    complain_(StrCat(lease.body, " was acked at ", acked->second,
                     " ms and given out again to a receive of ", asked_ms, " ms"));
  }
  leases_.emplace(lease_id, std::move(lease));
  // The answer is lost with the member that it comes through, now and then.
  const auto member = members_.find(renewer);
  if (member == members_.end()) return;
  member->second->renewals->Add({client_id, options_.group, options_.topic, delivery.receipt_handle,
                                 std::string(record->body)},
                                options_.lease_ms);
  Work(client_id, lease_id, NowMs() + random_.Between(0, 4 * options_.lease_ms),
       random_.Chance(0.8));
}

// Looks up now and then whether it is to end at once.
void RenewedConsumers::Work(const std::string& client_id, uint64_t lease_id, int64_t until_ms,
                            bool ack) {
  if (draining_) return SettleNow(client_id, lease_id, true);
  const int64_t left_ms = until_ms - NowMs();
  if (left_ms > 0) {
    return calls_->After(std::min<int64_t>(left_ms, 500) * kMillisecond,
                         [=, this] { Work(client_id, lease_id, until_ms, ack); });
  }
  SettleNow(client_id, lease_id, ack);
}

bool RenewedConsumers::IsAlive(const std::string& client_id) const {
  for (int i = 0; i < options_.consumers; ++i) {
    if (Client(i) == client_id) return true;
  }
  return false;
}

// Until it is told that it is settled, or that it can't be.
void RenewedConsumers::SettleNow(const std::string& client_id, uint64_t lease_id, bool ack) {
  if (!IsAlive(client_id)) return;
  const auto again = [=, this] {
    calls_->After(random_.Between(20, 200) * kMillisecond,
                  [=, this] { SettleNow(client_id, lease_id, ack || draining_); });
  };
  const std::optional<int> member = calls_->Pick();
  if (!member) return again();
  Lease& lease = leases_.at(lease_id);
  const bool is_first = !std::exchange(lease.settling, true);
  // A deposed leader that does not know it refuses by what it alone has logged: it may have given
  // the message out again, since the renewal came to the next one.
  const auto first = [this, is_first, at = *member] { return is_first && calls_->Leads(at); };
  auto call = calls_->NewCall(*member, again);
  if (ack) {
    return calls_->At(*member).Ack(options_.group, options_.topic, {lease.handle},
                                   [=, this](const std::vector<absl::Status>& statuses) {
                                     if (!MemberCalls::First(call)) return;
                                     OnSettled(lease_id, first(), true, statuses[0]);
                                     if (!IsOver(statuses[0])) again();
                                   });
  }
  const auto done = [=, this](const absl::StatusOr<std::string>& handle) {
    if (!MemberCalls::First(call)) return;
    OnSettled(lease_id, first(), false, handle.status());
    if (!IsOver(handle.status())) again();
  };
  if (random_.Chance(0.5)) {
    return calls_->At(*member).Nack(options_.group, options_.topic, lease.handle, std::nullopt,
                                    done);
  }
  calls_->At(*member).ChangeInvisible(options_.group, options_.topic, lease.handle,
                                      random_.Between(0, 2'000), done);
}

void RenewedConsumers::OnSettled(uint64_t lease_id, bool first, bool ack,
                                 const absl::Status& status) {
  Lease& lease = leases_.at(lease_id);
  if (IsRefusal(status) && first && NowMs() < lease.not_before) {
    complain_(StrCat(lease.body, " is leased until ", lease.not_before, " ms, and its first handle",
                     ack ? " is refused for an ack" : " is refused for a nack", " at ", NowMs(),
                     " ms: ", Message(status)));
  }
  if (!status.ok()) return;
  lease.settled = true;
  if (ack) {
    acked_ms_.emplace(lease.place, NowMs());
    ++consumed_;
    if (NowMs() > lease.first_end) ++outlasted_;
  }
  // Only the member that the call came through learns of it.
  if (const auto member = AnyMember()) member->renewals->Remove(lease.handle);
}

// ---- What members do

void RenewedConsumers::Renew(std::weak_ptr<Member> member, const broker::Renewals::Lease& lease,
                             int64_t extend_ms, broker::Renewals::Done done) {
  const std::optional<int> to = calls_->Pick();
  if (!to) return done(absl::UnavailableError("no member to renew a lease through"));
  const auto handle = store::ParseReceiptHandle(lease.handle);
  if (!handle.ok()) return complain_(StrCat("a handle to renew: ", Message(handle.status())));
  const Lease& known = leases_.at(handle->lease_id);
  const bool settled = known.settled;
  const int64_t asked_ms = NowMs();
  // Called if the member that renews is still there.
  auto answer = std::make_shared<broker::Renewals::Done>(std::move(done));
  auto call = calls_->NewCall(*to, [=] {
    if (member.lock()) (*answer)(absl::UnavailableError("the member died"));
  });
  calls_->At(*to).Renew(
      lease.group, lease.topic, lease.handle, extend_ms,
      [=, this, lease_id = handle->lease_id](const absl::StatusOr<std::string>& renewed) {
        if (!MemberCalls::First(call)) return;
        if (renewed.ok() && settled) {
          complain_(StrCat(leases_.at(lease_id).body, " was renewed at ", asked_ms,
                           " ms, after its consumer was told that it is settled"));
        }
        if (renewed.ok()) OnRenewed(lease_id, asked_ms, extend_ms);
        not_renewed_ += settled && IsRefusal(renewed.status());
        if (member.lock()) (*answer)(renewed);
      });
}

void RenewedConsumers::OnRenewed(uint64_t lease_id, int64_t asked_ms, int64_t extend_ms) {
  ++renewed_;
  Lease& lease = leases_.at(lease_id);
  lease.not_before = std::max(lease.not_before, asked_ms + extend_ms);
}

// ---- The end

bool RenewedConsumers::Drained(const store::LogMessageStore& leader) const {
  const auto rows = leader.GroupProgress(options_.group);
  return rows.ok() && !rows->empty() &&
         std::all_of(rows->begin(), rows->end(), [](const store::QueueProgress& row) {
           return row.commit_offset == row.max_offset;
         });
}

}  // namespace raftmq::sim
