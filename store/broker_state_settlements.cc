// BrokerState: what waits to be settled, timers and half messages, and their rows.

#include "base/strings.h"
#include "store/broker_state.h"
#include "store/receipt_handle.h"
#include "store/state_rows.h"

namespace raftmq::store {
namespace {

absl::Status NotOpen(const Settlement& settlement) {
  return absl::InternalError(
      StrCat("what the entry settles is not open: ", EncodeSettlement(settlement)));
}

}  // namespace

void BrokerState::AddTimer(const TimerRef& timer, int32_t record_size) {
  if (is_copy_) return;
  timers_.Add(timer, record_size);
  if (changes_ == nullptr) return;
  dirty_timers_[timer] = false;
  ++pending_rows_;
}

void BrokerState::PutHalf(LogPosition position, const HalfMessage& half) {
  if (is_copy_) return;
  transactions_.Put(position, half);
  if (changes_ == nullptr) return;
  dirty_halves_[position] = false;
  ++pending_rows_;
}

absl::Status BrokerState::ApplySettlement(const Settlement& settlement, TransactionEnd end) {
  if (const auto* lease = std::get_if<LeaseRef>(&settlement)) {
    const Ack ack{lease->group, lease->topic, {{lease->queue, lease->offset, lease->lease_id}}};
    RAFTMQ_RETURN_IF_ERROR(ApplyBody(ack, LogIndex(0)));
    const DeadLettered::Place place{ReceiptNamesCrc(lease->group, lease->topic), lease->queue,
                                    lease->offset};
    uint64_t forgotten = 0;
    const DeadLettered::Entry& entry = dead_lettered_.Add(place, lease->lease_id, &forgotten);
    if (changes_ == nullptr) return absl::OkStatus();
    new_dead_.push_back(entry);
    if (forgotten != 0) forgotten_dead_.push_back(forgotten);
    pending_rows_ += 2;
    return absl::OkStatus();
  }
  if (const auto* redrive = std::get_if<RedriveRef>(&settlement)) return ApplyRedrive(*redrive);
  if (is_copy_) return absl::OkStatus();
  if (const auto* timer = std::get_if<TimerRef>(&settlement)) {
    if (!timers_.Erase(*timer)) return NotOpen(settlement);
    if (changes_ != nullptr) dirty_timers_[*timer] = true;
    ++pending_rows_;
    DropKeptAt(timer->position);
    return absl::OkStatus();
  }
  const LogPosition position = std::get<HalfRef>(settlement).position;
  if (!transactions_.Erase(position)) return NotOpen(settlement);
  DropKeptAt(position);
  uint64_t forgotten = 0;
  const EndedTransactions::Entry& entry = ended_transactions_.Add(position, end, &forgotten);
  if (changes_ == nullptr) return absl::OkStatus();
  dirty_halves_[position] = true;
  new_ended_.push_back(entry);
  if (forgotten != 0) forgotten_ended_.push_back(forgotten);
  pending_rows_ += 3;
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyRedrive(const RedriveRef& redrive) {
  const std::optional<QueueEnds> ends = FindQueue(redrive.topic, redrive.queue);
  const bool open = ends.has_value() && redrive.offset < ends->max;
  const bool added =
      open && redriven_.Add(redrive.topic, redrive.queue, redrive.offset,
                            [&](QueueOffset begin, QueueOffset end) {
                              if (changes_ == nullptr) return;
                              const std::string key =
                                  RedrivenKeyOf(redrive.topic, redrive.queue, begin);
                              if (end > begin) {
                                changes_->Put(StateColumn::kRedriven, key, RedrivenValue(end));
                              } else {
                                changes_->Delete(StateColumn::kRedriven, key);
                              }
                            });
  return added ? absl::OkStatus() : NotOpen(redrive);
}

absl::Status BrokerState::ApplyBody(const Settle& settle, LogIndex) {
  return ApplySettlement(settle.settles, TransactionEnd::kRolledBack);
}

absl::Status BrokerState::ApplyBody(const CheckTransactions& check, LogIndex) {
  if (is_copy_) return absl::OkStatus();
  for (const CheckTransactions::Item& item : check.items) {
    const HalfMessage* open = transactions_.Find(item.position);
    if (open == nullptr) return NotOpen(HalfRef{item.position});
    HalfMessage half = *open;
    half.checks = item.checks;
    half.next_check_ms = item.next_check_ms;
    PutHalf(item.position, half);
  }
  return absl::OkStatus();
}

void BrokerState::PutWaitingRows() {
  for (const auto& [timer, gone] : dirty_timers_) {
    if (gone) {
      changes_->Delete(StateColumn::kTimers, TimerKeyOf(timer));
    } else {
      changes_->Put(StateColumn::kTimers, TimerKeyOf(timer), TimerValue(timers_.SizeOf(timer)));
    }
  }
  dirty_timers_.clear();
  for (const auto& [position, gone] : dirty_halves_) {
    if (gone) {
      changes_->Delete(StateColumn::kTransactions, TransactionKeyOf(position));
    } else {
      changes_->Put(StateColumn::kTransactions, TransactionKeyOf(position),
                    TransactionValue(*transactions_.Find(position)));
    }
  }
  dirty_halves_.clear();
  for (const EndedTransactions::Entry& entry : new_ended_) {
    changes_->Put(StateColumn::kEndedTransactions, EndedTransactionKeyOf(entry.number),
                  EndedTransactionValue(entry));
  }
  new_ended_.clear();
  for (const uint64_t number : forgotten_ended_) {
    changes_->Delete(StateColumn::kEndedTransactions, EndedTransactionKeyOf(number));
  }
  forgotten_ended_.clear();
  for (const DeadLettered::Entry& entry : new_dead_) {
    changes_->Put(StateColumn::kDeadLettered, DeadLetteredKeyOf(entry.number),
                  DeadLetteredValue(entry));
  }
  new_dead_.clear();
  for (const uint64_t number : forgotten_dead_) {
    changes_->Delete(StateColumn::kDeadLettered, DeadLetteredKeyOf(number));
  }
  forgotten_dead_.clear();
}

absl::Status BrokerState::LoadWaiting(StateColumn column, std::string_view key,
                                      std::string_view value) {
  if (column == StateColumn::kTimers) {
    RAFTMQ_ASSIGN_OR_RETURN(const TimerRef timer, ParseTimerKey(key));
    RAFTMQ_ASSIGN_OR_RETURN(const int32_t record_size, ParseTimerValue(value));
    timers_.Add(timer, record_size);
  } else if (column == StateColumn::kTransactions) {
    RAFTMQ_ASSIGN_OR_RETURN(const LogPosition position, ParseTransactionKey(key));
    RAFTMQ_ASSIGN_OR_RETURN(const HalfMessage half, ParseTransactionValue(value));
    transactions_.Put(position, half);
  } else if (column == StateColumn::kRedriven) {
    RAFTMQ_ASSIGN_OR_RETURN(const LeaseKey at, ParseRedrivenKey(key));
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset end, ParseRedrivenValue(value));
    const std::optional<QueueEnds> ends = FindQueue(at.position.topic, at.position.queue);
    if (!ends.has_value() || end <= at.offset || end > ends->max) {
      return absl::DataLossError(StrCat("the state database holds re-driven messages ", at.offset,
                                        " to ", end, " of queue ", at.position.queue, " of topic ",
                                        at.position.topic, ", which does not have them"));
    }
    redriven_.Load(at.position.topic, at.position.queue, at.offset, end);
  } else if (column == StateColumn::kDeadLettered) {
    RAFTMQ_ASSIGN_OR_RETURN(const DeadLettered::Entry entry, ParseDeadLettered(key, value));
    dead_lettered_.Load(entry);
  } else {
    RAFTMQ_ASSIGN_OR_RETURN(const EndedTransactions::Entry entry,
                            ParseEndedTransaction(key, value));
    ended_transactions_.Load(entry);
  }
  return absl::OkStatus();
}

}  // namespace raftmq::store
