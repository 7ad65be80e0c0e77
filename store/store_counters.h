// StoreCounters: what happened in a store since its process started, for metrics.
//
// What entries do is counted as they are applied, by the member that leads then: counts of all
// members add up to what happened, less what was applied while nobody led. What is read is counted
// by the member that reads.
//
// Thread-safe. Ordinary messages cost relaxed counters, what waits or fails a lock that only a
// scrape contends for. CountRecord and CountCommand belong to the apply thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/synchronization/mutex.h"
#include "store/broker_state.h"
#include "store/commands.h"
#include "store/message_record.h"

namespace raftmq::store {

// How many times were in which range, and their sum.
class TimeCounts {
 public:
  static constexpr std::array<int64_t, 9> kBoundsMs = {1,      10,     100,     1'000,    5'000,
                                                       10'000, 60'000, 600'000, 3'600'000};

  void Record(int64_t ms);

  struct Snapshot {
    std::array<int64_t, kBoundsMs.size() + 1> counts;  // up to each bound, then above the last
    int64_t sum_ms = 0;
  };
  Snapshot Take() const;

 private:
  std::array<std::atomic<int64_t>, kBoundsMs.size() + 1> counts_{};
  std::atomic<int64_t> sum_ms_{0};
};

// Counts by topic, and by group where there is one. As many names as kMaxNames have counts of their
// own, whoever came first; the others count under "".
class NamedCounts {
 public:
  static constexpr size_t kMaxNames = 1'000;
  using Name = std::pair<std::string, std::string>;  // topic, group

  void Add(std::string_view topic, std::string_view group = "");
  std::map<Name, int64_t> Take() const;

 private:
  mutable absl::Mutex mutex_;
  std::map<Name, int64_t> counts_ ABSL_GUARDED_BY(mutex_);
};

class StoreCounters {
 public:
  using Counter = std::atomic<int64_t>;

  // Replica thread.
  void SetLeading(bool leads) { leads_.store(leads, std::memory_order_relaxed); }

  // Before they change `state`. What contradicts the state is not counted: applying it says so.
  void CountRecord(const RecordHeaderView& record, const BrokerState& state);
  void CountCommand(const Command& command, const BrokerState& state);

  Counter bytes_in{0};  // records of messages, those that wait included

  // Transactions, and how long after its half message was stored each was committed or rolled back.
  // By topic: under "" also those that were open when the process started, if rolled back.
  NamedCounts committed_of;
  NamedCounts rolled_back_of;
  Counter committed{0};
  Counter rolled_back{0};
  Counter given_up{0};  // checked too often
  Counter checks{0};
  TimeCounts finish_time;
  // Delayed messages; how long after they were due they were stored in their topics.
  NamedCounts timers_added_of;
  NamedCounts timers_delivered_of;
  Counter timers_added{0};
  Counter timers_delivered{0};
  Counter timers_dropped{0};  // recalled, or their topic was gone
  TimeCounts timer_lateness;
  Counter dead_letters{0};
  NamedCounts dead_letters_of;  // by the topic they were received from, and group
  Counter redriven{0};
  Counter expired{0};  // messages that retention took from queues
  // By the member that reads.
  Counter delivered{0};    // messages given out under leases
  Counter bytes_out{0};    // records given out, under leases or by pulls
  Counter offset_gone{0};  // reads from an offset below the queue's first

 private:
  void CountSettled(const Settlement& settlement, const RecordHeaderView& record,
                    const BrokerState& state);

  std::string TakeHalfTopic(LogPosition position);

  std::atomic<bool> leads_{false};
  // Of the transactions that became open since the process started.
  absl::btree_map<LogPosition, std::string> half_topics_;
};

}  // namespace raftmq::store
