#include "broker/forwarding.h"

namespace raftmq::broker {
namespace {

constexpr std::string_view kNotLeaderText = "NOT_LEADER: ";
constexpr int64_t kHandedOverMs = 600;

absl::Status Refusal(std::string_view why) {
  return store::Refuse(store::Reason::kBusy,
                       StrCat("the request was not carried out: ", why, ": try again later"));
}

}  // namespace

absl::Status LeaderRouter::NotLeaderHere(const dledger::LedgerStatus& status) {
  return absl::FailedPreconditionError(
      StrCat(kNotLeaderText, "member ", status.self, " is ", static_cast<int>(status.role),
             " in term ", status.term, ", the leader it knows is ", status.leader));
}

bool LeaderRouter::IsNotLeaderHere(const absl::Status& status) {
  return status.code() == absl::StatusCode::kFailedPrecondition &&
         Message(status).substr(0, kNotLeaderText.size()) == kNotLeaderText;
}

int64_t LeaderRouter::BreakOffDelayMs(const dledger::LedgerStatus& status,
                                      const std::string& old_leader) {
  for (const dledger::Member& member : status.members) {
    if (member.client_address == old_leader && member.connected) return kHandedOverMs;
  }
  return 0;
}

std::string LeaderRouter::LeaderAddress(const dledger::LedgerStatus& status) {
  if (status.leader == kNoMember || status.leader == status.self) return "";
  for (const dledger::Member& member : status.members) {
    if (member.id == status.leader) return member.client_address;
  }
  return "";
}

void LeaderRouter::ParkOne(Parked parked) {
  const bool leader_elsewhere = !LeaderAddress(*ledger_->Status()).empty();
  std::string_view why;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) parked.give_up_ms = std::min(parked.give_up_ms, closing_until_ms_);
    if (closed_ && (!leader_elsewhere || clock_->MonotonicMillis() >= closing_until_ms_)) {
      why = "this member is shutting down";
    } else if (parked_.size() >= options_.max_parked) {
      why = "too many requests wait for a leader";
    } else if (clock_->MonotonicMillis() < parked.give_up_ms) {
      parked_.push_back(std::move(parked));
      ScheduleLook();
      return;
    } else {
      why = parked.why;
    }
  }
  parked.refuse(Refusal(why));
}

void LeaderRouter::ScheduleLook() {
  if (look_scheduled_) return;
  look_scheduled_ = true;
  timer_->RunAfter(options_.retry_ms * 1'000'000, [this] {
    {
      absl::MutexLock lock(&mutex_);
      look_scheduled_ = false;
    }
    Look();
  });
}

void LeaderRouter::Look() {
  const std::shared_ptr<const dledger::LedgerStatus> status = ledger_->Status();
  const bool leads = status->role == dledger::Role::kLeader;
  const bool may_retry = Leads(*status) || !LeaderAddress(*status).empty();
  const int64_t now_ms = clock_->MonotonicMillis();
  std::vector<Parked> taken;
  {
    absl::MutexLock lock(&mutex_);
    auto stays = [&](const Parked& parked) {
      const bool waits = parked.forwarded ? leads && !may_retry : !may_retry;
      return waits && now_ms < parked.give_up_ms;
    };
    const auto first = std::stable_partition(parked_.begin(), parked_.end(), stays);
    std::move(first, parked_.end(), std::back_inserter(taken));
    parked_.erase(first, parked_.end());
    if (!parked_.empty()) ScheduleLook();
  }
  for (Parked& parked : taken) {
    if (now_ms < parked.give_up_ms) {
      parked.retry();
    } else {
      parked.refuse(Refusal(parked.why));
    }
  }
}

void LeaderRouter::OnStatusChange() { Look(); }

void LeaderRouter::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    closing_until_ms_ = clock_->MonotonicMillis() + options_.closing_ms;
  }
  // The thread that tells of the successor may be late.
  Look();
  std::vector<Parked> taken;
  {
    absl::MutexLock lock(&mutex_);
    if (LeaderAddress(*ledger_->Status()).empty()) taken.swap(parked_);
  }
  for (Parked& parked : taken) parked.refuse(Refusal("this member is shutting down"));
}

size_t LeaderRouter::parked() const {
  absl::MutexLock lock(&mutex_);
  return parked_.size();
}

}  // namespace raftmq::broker
