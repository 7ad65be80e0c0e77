// LiteScheduler: on the leader, deletes lite topics that nothing was sent to for long, and takes
// the subscriptions of clients away that are silent. It only proposes.
//
// Belongs to the task runner. Outlives the runner's tasks and the store's callbacks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/alarm.h"
#include "store/lite_topics.h"

namespace raftmq::broker {

class LiteScheduler {
 public:
  struct Options {
    int64_t check_ms = 10'000;
    int64_t next_round_ms = 100;  // while there is more to delete
    // A new leader has not heard all clients yet: it waits so long before it takes any for silent.
    int64_t client_expire_ms = 120'000;
  };
  using IsAlive = std::function<bool(const std::string& client_id)>;

  LiteScheduler(Options options, store::LiteTopics* lite_topics, Clock* clock, TaskRunner* timer,
                IsAlive is_alive)
      : options_(options),
        lite_topics_(lite_topics),
        clock_(clock),
        timer_(timer),
        is_alive_(std::move(is_alive)),
        alarm_(clock, timer, [this] { Look(); }) {}

  void SetLeading(bool leads);

 private:
  void Look();
  void DropSilent();

  const Options options_;
  store::LiteTopics* const lite_topics_;
  Clock* const clock_;
  TaskRunner* const timer_;
  const IsAlive is_alive_;
  Alarm alarm_;  // for Look

  bool leads_ = false;
  bool busy_ = false;  // the store is at it
  int64_t leads_since_ms_ = 0;
};

}  // namespace raftmq::broker
