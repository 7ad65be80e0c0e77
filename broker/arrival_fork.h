// ArrivalFork: tells of what became readable whoever waits for it.
//
// Made by the broker's wiring; called on the apply thread.
#pragma once

#include <string>

#include "broker/dead_letter_scheduler.h"
#include "broker/pull_waiters.h"
#include "broker/receive_waiters.h"
#include "broker/timer_scheduler.h"
#include "broker/transaction_checker.h"
#include "store/message_store.h"
#include "store/names.h"

namespace raftmq::broker {

class ArrivalFork final : public store::ArrivalListener {
 public:
  ArrivalFork(ReceiveWaiters* waiters, PullWaiters* pull_waiters, TimerScheduler* timers,
              TransactionChecker* transactions, DeadLetterScheduler* dead_letters)
      : waiters_(waiters),
        pull_waiters_(pull_waiters),
        timers_(timers),
        transactions_(transactions),
        dead_letters_(dead_letters) {}

  void OnArrival(const std::string& topic, QueueId queue, const store::Arrival& arrival) override {
    // Messages of the broker's own topics wait themselves: nobody receives them.
    if (topic == store::kTimerTopic) {
      timers_->OnTimersApplied();
    } else if (topic == store::kHalfTopic) {
      transactions_->OnHalfMessagesApplied();
    } else {
      waiters_->OnArrival(topic, queue, arrival);
      pull_waiters_->OnArrival(topic, queue, arrival);
    }
  }
  void OnEarlierFinalLease() override { dead_letters_->OnEarlierFinalLease(); }

 private:
  ReceiveWaiters* const waiters_;
  PullWaiters* const pull_waiters_;
  TimerScheduler* const timers_;
  TransactionChecker* const transactions_;
  DeadLetterScheduler* const dead_letters_;
};

}  // namespace raftmq::broker
