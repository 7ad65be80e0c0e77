#include "client/mqbench/pull.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/strings.h"
#include "base/thread.h"
#include "client/mqbench/histogram.h"
#include "client/pull_consumer.h"

namespace raftmq::mqbench {
namespace {

constexpr int kBatch = 32;  // at most what a broker gives at once

// A queue and where it is read next.
struct Reading {
  client::MessageQueue queue;
  QueueOffset begin;
  QueueOffset next;
};

class Pulling {
 public:
  Pulling(const PullOptions& options, client::PullConsumer* consumer, std::vector<Reading> readings)
      : options_(options),
        consumer_(consumer),
        readings_(std::move(readings)),
        start_us_(NowMicros()) {}

  void Run(PullResult* result) {
    const size_t count = std::min<size_t>(options_.threads, readings_.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i) {
      threads.push_back(StartThread("puller", [this, i, count] {
        for (size_t at = i; Goes(); at = at + count < readings_.size() ? at + count : i) {
          Step(&readings_[at]);
        }
      }));
    }
    for (std::thread& thread : threads) thread.join();
    const double seconds = static_cast<double>(std::max<int64_t>(1, NowMicros() - start_us_)) / 1e6;
    absl::MutexLock lock(&mu_);
    Print(seconds);
    *result = seen_;
  }

 private:
  static int64_t NowMicros() { return SystemClock()->MonotonicNanos() / 1'000; }

  bool Goes() {
    absl::MutexLock lock(&mu_);
    return (options_.count == 0 || seen_.pulled < options_.count) &&
           (options_.seconds == 0 || NowMicros() - start_us_ <= options_.seconds * 1'000'000);
  }

  void Step(Reading* reading) {
    const int64_t began_us = NowMicros();
    auto pulled = consumer_->Pull(reading->queue, "*", reading->next, kBatch);
    const int64_t took_us = NowMicros() - began_us;
    absl::MutexLock lock(&mu_);
    ++seen_.pulls;
    if (!pulled.ok()) {
      if (seen_.failed++ == 0) seen_.first_failure = pulled.status();
      return;
    }
    took_.Record(took_us);
    if (pulled->status == client::PullStatus::kOffsetIllegal) {
      reading->begin = pulled->next_begin_offset;  // what was before it has expired
    }
    // At its end the queue is read again.
    reading->next = pulled->messages.empty() ? reading->begin : pulled->next_begin_offset;
    seen_.pulled += static_cast<int64_t>(pulled->messages.size());
    if (pulled->messages.empty()) return;
    seen_.by_member[pulled->messages[0].endpoint] += static_cast<int64_t>(pulled->messages.size());
    for (const client::ReceivedMessage& message : pulled->messages) {
      bytes_ += static_cast<int64_t>(message.body.size());
    }
  }

  void Print(double seconds) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const double tps = static_cast<double>(seen_.pulled) / seconds;
    const double mb = static_cast<double>(bytes_) / seconds / 1e6;
    if (options_.json) {
      const nlohmann::ordered_json out = {{"title", "pull"},
                                          {"threads", options_.threads},
                                          {"pulled", seen_.pulled},
                                          {"pulls", seen_.pulls},
                                          {"failed", seen_.failed},
                                          {"seconds", seconds},
                                          {"tps", tps},
                                          {"mb_per_second", mb},
                                          {"p50_us", took_.Percentile(0.5)},
                                          {"p99_us", took_.Percentile(0.99)},
                                          {"by_member", seen_.by_member}};
      std::cout << out.dump() << "\n";
      return;
    }
    std::printf("%10s %12s %10s %10s %10s %8s\n", "pulled", "TPS", "MB/s", "p50 us", "p99 us",
                "failed");
    std::printf("%10lld %12.0f %10.1f %10lld %10lld %8lld\n", static_cast<long long>(seen_.pulled),
                tps, mb, static_cast<long long>(took_.Percentile(0.5)),
                static_cast<long long>(took_.Percentile(0.99)),
                static_cast<long long>(seen_.failed));
    for (const auto& [member, messages] : seen_.by_member) {
      std::printf("answered by %s: %lld\n", member.c_str(), static_cast<long long>(messages));
    }
  }

  const PullOptions& options_;
  client::PullConsumer* const consumer_;
  std::vector<Reading> readings_;  // each used by one thread
  const int64_t start_us_;
  absl::Mutex mu_;
  PullResult seen_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  Histogram took_ ABSL_GUARDED_BY(mu_);  // microseconds of a pull
};

}  // namespace

absl::Status RunPull(const PullOptions& options, PullResult* result) {
  client::PullConsumerOptions consumer_options;
  consumer_options.namesrvAddr = options.namesrv_addr;
  consumer_options.consumerGroup = options.group;
  consumer_options.read = options.read;
  RAFTMQ_ASSIGN_OR_RETURN(const auto consumer, client::PullConsumer::Start(consumer_options));
  RAFTMQ_ASSIGN_OR_RETURN(const auto queues, consumer->FetchSubscribeMessageQueues(options.topic));
  std::vector<Reading> readings;
  for (const client::MessageQueue& queue : queues) {
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset begin, consumer->MinOffset(queue));
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset end, consumer->MaxOffset(queue));
    if (begin < end) readings.push_back({queue, begin, begin});
  }
  if (readings.empty()) {
    return absl::NotFoundError(StrCat("topic ", options.topic,
                                      " holds no message: `mqbench producer -t ", options.topic,
                                      "` sends some"));
  }
  Pulling(options, consumer.get(), std::move(readings)).Run(result);
  return absl::OkStatus();
}

}  // namespace raftmq::mqbench
