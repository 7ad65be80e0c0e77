// WatchedStore: a member's real store in a simulation, with every applied entry shown to the oracle
// first, and the broker's schedulers over it.
//
// Single-threaded, like the simulation.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "broker/dead_letter_scheduler.h"
#include "broker/retention_scheduler.h"
#include "broker/timer_scheduler.h"
#include "broker/transaction_checker.h"
#include "dledger/state_machine.h"
#include "glog/logging.h"
#include "store/commands.h"
#include "store/log_message_store.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/names.h"
#include "tests/sim/bystanders.h"
#include "tests/sim/classic_consumers.h"
#include "tests/sim/lite_clients.h"
#include "tests/sim/priority_clients.h"
#include "tests/sim/sim_scheduler.h"
#include "tests/sim/store_oracle.h"
#include "tests/sim/waiting_oracle.h"

namespace raftmq::sim {

// What the oracles are told of.
inline constexpr char kWatchedTopic[] = "T";
inline constexpr char kWatchedDelayTopic[] = "D";
inline constexpr char kWatchedTransactionTopic[] = "X";
inline constexpr char kWatchedGroup[] = "G";
inline constexpr char kWatchedDeadLetterTopic[] = "%DLQ%G";

// What a dead letter says of itself.
inline StoreOracle::DeadLetter DeadLetterOf(const store::RecordView& record) {
  const auto number = [&](std::string_view name) {
    int64_t value = -1;
    CHECK(absl::SimpleAtoi(std::string(record.properties.Get(name)), &value)) << name;
    return value;
  };
  StoreOracle::DeadLetter dead;
  dead.origin = {QueueId(static_cast<int32_t>(number(store::property::kDlqOriginQueueId))),
                 QueueOffset(number(store::property::kDlqOriginOffset))};
  dead.body = std::string(record.body);
  dead.reason = std::string(record.properties.Get(store::property::kDlqReason));
  dead.attempts = record.reconsume_times;
  return dead;
}

class WatchedStore final : public dledger::StateMachine, public store::ArrivalListener {
 public:
  struct Runners {
    std::unique_ptr<SimTaskRunner> read;
    std::unique_ptr<SimTaskRunner> flush;
    std::unique_ptr<SimTaskRunner> timer;
  };

  // Told of what members apply, and of some of it once, in the order of the log; `shown`: which
  // member was seen to apply which record, since a restarted one applies some again.
  struct Oracles {
    StoreOracle* store = nullptr;
    WaitingOracle* waiting = nullptr;
    ClassicConsumers* classic = nullptr;
    MoveOperator* moves = nullptr;
    LiteClients* lite = nullptr;
    PriorityClients* priority = nullptr;
    Bystanders* bystanders = nullptr;
    std::set<std::pair<int, LogPosition>>* shown = nullptr;
    LogIndex* newest = nullptr;  // that any member applied
  };

  // `log_bytes`: what retention leaves.
  WatchedStore(Oracles oracles, int member, Clock* clock, Runners runners,
               std::unique_ptr<store::LogMessageStore> store, broker::TransactionChecker::Ask ask,
               int64_t log_bytes)
      : oracles_(oracles),
        member_(member),
        clock_(clock),
        runners_(std::move(runners)),
        timers_({.max_batch = 8}, &store->waiting(), clock, runners_.timer.get()),
        transactions_({.check_max = 1'000, .check_interval_ms = 1'000}, &store->waiting(), clock,
                      runners_.timer.get(), runners_.read.get(), std::move(ask)),
        dead_letters_({.max_batch = 4}, &store->dead_letters(), clock, runners_.timer.get(),
                      [](const std::string&, const std::string&) {}),
        retention_({.limits = {.max_bytes = log_bytes}, .hours = {}, .check_ms = 500},
                   &store->retention(), clock, runners_.timer.get()),
        store_(std::move(store)) {
    store_->SetArrivalListener(this);
  }

  store::LogMessageStore* store() { return store_.get(); }

  LogIndex DurableAppliedIndex() const override { return store_->DurableAppliedIndex(); }
  LogIndex ReplayAfter() const override { return store_->ReplayAfter(); }
  LogIndex NeedsEntriesAfter() const override { return store_->NeedsEntriesAfter(); }
  absl::Status Apply(std::span<const dledger::CommittedEntry> entries) override {
    for (const dledger::CommittedEntry& entry : entries) {
      oracles_.store->OnApplied(member_, entry);
      const bool is_new = entry.index > *oracles_.newest;
      if (is_new) *oracles_.newest = entry.index;
      if (entry.type == dledger::FrameType::kRecords) ShowRecords(entry, is_new);
      if (entry.type == dledger::FrameType::kCommands && is_new) ShowCommands(entry);
    }
    return store_->Apply(entries);
  }
  void BeginLeadership(Term term) override {
    oracles_.store->OnLeader(member_, term);
    store_->BeginLeadership(term);
    SetLeading(true);
  }
  void EndLeadership() override {
    store_->EndLeadership();
    SetLeading(false);
  }
  void OnArrival(const std::string& topic, QueueId, const store::Arrival&) override {
    if (topic == store::kTimerTopic) timers_.OnTimersApplied();
    if (topic == store::kHalfTopic) transactions_.OnHalfMessagesApplied();
  }
  void OnEarlierFinalLease() override { dead_letters_.OnEarlierFinalLease(); }

 private:
  void SetLeading(bool leads) {
    runners_.timer->Post([this, leads] {
      timers_.SetLeading(leads);
      transactions_.SetLeading(leads);
      dead_letters_.SetLeading(leads);
      retention_.SetLeading(leads);
    });
  }

  // A restarted member applies some entries again.
  void ShowRecords(const dledger::CommittedEntry& entry, bool is_new) {
    std::string_view records = entry.body;
    int number = 0;
    while (!records.empty()) {
      const auto bytes = store::TakeRecord(&records);
      CHECK(bytes.ok()) << bytes.status();
      const auto record = store::ParseRecord(*bytes);
      CHECK(record.ok()) << record.status();
      ++number;
      const std::string body(record->body);
      if (is_new && store::IsLiteTopic(record->topic)) {
        oracles_.lite->OnMessage(std::string(record->topic), record->queue_offset, body);
      }
      if (is_new) {
        oracles_.priority->OnMessage(entry.index, std::string(record->topic), record->queue_id,
                                     record->queue_offset, body);
      }
      const std::string_view settles = record->properties.Get(store::property::kSettles);
      const bool sent_back = settles.substr(0, 2) == "R:";
      if (is_new) {
        oracles_.bystanders->OnMessage(record->topic, record->queue_id, record->queue_offset,
                                       record->tags(), sent_back);
      }
      if (sent_back) {
        oracles_.store->OnRedriveApplied(std::string(settles), record->physical_offset, body);
      }
      if (!oracles_.shown->emplace(member_, record->physical_offset).second) continue;
      if (record->topic == kWatchedTopic) {
        oracles_.store->OnMessageApplied(member_, record->queue_id, record->queue_offset, body);
      } else if (record->topic == kWatchedDelayTopic || record->topic == kWatchedTransactionTopic) {
        oracles_.waiting->OnApplied(member_, body, record->store_timestamp_ms);
      } else if (record->topic == kWatchedDeadLetterTopic && is_new) {
        oracles_.store->OnDeadLetter({entry.index, number}, clock_->MonotonicMillis(),
                                     DeadLetterOf(*record));
      }
    }
  }

  void ShowCommands(const dledger::CommittedEntry& entry) {
    const auto commands = store::SplitCommands(entry.body);
    CHECK(commands.ok()) << commands.status();
    LogPlace place{entry.index, 0};
    for (const std::string_view bytes : *commands) {
      ++place.second;
      const auto command = store::ParseCommand(bytes);
      CHECK(command.ok()) << command.status();
      if (const auto* update = std::get_if<store::UpdateOffset>(&command->body)) {
        oracles_.classic->OnUpdate(place, *update);
        oracles_.lite->OnStart(update->group, update->topic, update->offset);
      } else if (const auto* move = std::get_if<store::MoveOffsets>(&command->body)) {
        oracles_.moves->OnMove(place, *move);
        oracles_.classic->OnMove(place, *move);
      } else if (const auto* lock = std::get_if<store::LockQueues>(&command->body)) {
        oracles_.classic->OnLock(*lock);
      } else if (const auto* retain = std::get_if<store::Retain>(&command->body)) {
        oracles_.moves->OnRetain(*retain);
        oracles_.classic->OnRetain(place, *retain);
        oracles_.lite->OnRetain(*retain);
        oracles_.priority->OnRetain(place, *retain);
      } else if (const auto* subscribe = std::get_if<store::SubscribeLite>(&command->body)) {
        oracles_.lite->OnSubscribe(place, clock_->MonotonicMillis(), *subscribe);
      } else if (const auto* ack = std::get_if<store::Ack>(&command->body)) {
        oracles_.lite->OnAck(*ack);
      } else if (const auto* deleted = std::get_if<store::DeleteTopic>(&command->body)) {
        oracles_.lite->OnDeleted(deleted->name);
      } else if (const auto* init = std::get_if<store::InitPositions>(&command->body)) {
        for (const auto& item : init->items) {
          oracles_.lite->OnStart(init->group, init->topic, item.offset);
        }
      } else if (const auto* grant = std::get_if<store::Grant>(&command->body)) {
        oracles_.lite->OnGrant(place, *grant);
        oracles_.priority->OnGrant(place, *grant);
        if (grant->group != kWatchedGroup || grant->topic != kWatchedTopic) continue;
        for (const store::GrantItem& item : grant->items) oracles_.store->OnGrant(place, item);
      }
    }
  }

  const Oracles oracles_;
  const int member_;
  Clock* const clock_;
  Runners runners_;
  // Outlive the store, which ends what they asked of it when it goes.
  broker::TimerScheduler timers_;
  broker::TransactionChecker transactions_;
  broker::DeadLetterScheduler dead_letters_;
  broker::RetentionScheduler retention_;
  std::unique_ptr<store::LogMessageStore> store_;
};

}  // namespace raftmq::sim
