#include "client/mqbench/consume.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/thread.h"
#include "client/mqbench/histogram.h"
#include "client/mqbench/load.h"
#include "client/simple_consumer.h"

namespace raftmq::mqbench {
namespace {

constexpr int kReceiveBatch = 32;  // at most what a broker gives at once
constexpr int64_t kAwaitMs = 1'000;

class Consumption {
 public:
  Consumption(const ConsumeOptions& options, client::SimpleConsumer* consumer)
      : options_(options), consumer_(consumer), start_ms_(SystemClock()->MonotonicMillis()) {
    last_news_ms_ = start_ms_;
  }

  absl::Status Run(ConsumeResult* result) {
    if (!options_.json) {
      std::printf("%10s %12s %12s %12s %12s %12s %8s\n", "consumed", "consume TPS", "avg ms",
                  "p50 ms", "p99 ms", "max ms", "failed");
    }
    ScheduleReport();
    std::vector<std::thread> threads;
    for (int i = 0; i < options_.threads; ++i) {
      threads.push_back(StartThread("receiver", [this] {
        while (Goes()) Step();
      }));
    }
    for (std::thread& thread : threads) thread.join();
    absl::MutexLock lock(&mu_);
    all_.Add(interval_);
    PrintEnd();
    result->consumed = consumed_;
    result->failed = failed_;
    result->early = early_;
    result->first_failure = first_failure_;
    return fatal_;
  }

 private:
  bool Goes() {
    const int64_t now = SystemClock()->MonotonicMillis();
    absl::MutexLock lock(&mu_);
    return fatal_.ok() && (options_.count == 0 || consumed_ < options_.count) &&
           now - last_news_ms_ <= options_.idle_seconds * 1000 &&
           (options_.seconds == 0 || now - start_ms_ <= options_.seconds * 1000);
  }

  void Step() {
    auto messages = consumer_->Receive(kReceiveBatch);
    const int64_t now = SystemClock()->MonotonicMillis();
    const int64_t wall = SystemClock()->WallMillis();
    if (!messages.ok()) {
      absl::MutexLock lock(&mu_);
      if (absl::IsNotFound(messages.status()) || absl::IsInvalidArgument(messages.status())) {
        fatal_ = messages.status();
      }
      Fail(messages.status());
      return;
    }
    if (messages->empty()) return;
    {
      absl::MutexLock lock(&mu_);
      last_news_ms_ = now;
      consumed_ += static_cast<int64_t>(messages->size());
      for (const client::ReceivedMessage& m : *messages) Record(m, wall);
    }
    if (options_.work_us > 0) {
      // One message after the other, as a listener would; waiting for something, not computing.
      absl::Notification never;
      never.WaitForNotificationWithTimeout(
          absl::Microseconds(options_.work_us * static_cast<int64_t>(messages->size())));
    }
    for (const absl::Status& acked : consumer_->Ack(*messages)) {
      if (acked.ok()) continue;
      absl::MutexLock lock(&mu_);
      Fail(acked);
    }
  }

  void Record(const client::ReceivedMessage& m, int64_t wall_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    int64_t since_ms = m.born_ms;
    if (const auto due = m.properties.find(kDueProperty); due != m.properties.end()) {
      if (absl::SimpleAtoi(due->second, &since_ms) && wall_ms < since_ms) ++early_;
      delayed_ = true;
    }
    interval_.Record(std::max<int64_t>(0, wall_ms - since_ms));
  }

  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++failed_;
    if (first_failure_.ok()) first_failure_ = status;
  }

  void ScheduleReport() {
    loop_.RunAfter(options_.report_seconds * 1'000'000'000, [this] {
      {
        absl::MutexLock lock(&mu_);
        if (!options_.json) {
          PrintLine(interval_, static_cast<double>(options_.report_seconds));
        }
        all_.Add(interval_);
        interval_ = Histogram();
      }
      ScheduleReport();
    });
  }

  void PrintLine(const Histogram& h, double seconds) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::printf("%10lld %12.0f %12.1f %12lld %12lld %12lld %8lld\n",
                static_cast<long long>(h.count()), static_cast<double>(h.count()) / seconds,
                h.mean(), static_cast<long long>(h.Percentile(0.5)),
                static_cast<long long>(h.Percentile(0.99)), static_cast<long long>(h.max()),
                static_cast<long long>(failed_));
    std::fflush(stdout);
  }

  // The wait for messages that did not come at the end is not counted.
  void PrintEnd() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const double seconds =
        static_cast<double>(std::max<int64_t>(1, last_news_ms_ - start_ms_)) / 1000;
    if (!options_.json) {
      std::printf("\nconsumer in all: %s to consume, %.1f s", delayed_ ? "due" : "born", seconds);
      if (delayed_) std::printf(", %lld came early", static_cast<long long>(early_));
      std::printf("\n");
      PrintLine(all_, seconds);
      return;
    }
    const nlohmann::ordered_json out = {{"title", "consumer"},
                                        {"threads", options_.threads},
                                        {"work_us", options_.work_us},
                                        {"consumed", consumed_},
                                        {"failed", failed_},
                                        {"early", early_},
                                        {"since", delayed_ ? "due" : "born"},
                                        {"seconds", seconds},
                                        {"tps", static_cast<double>(consumed_) / seconds},
                                        {"avg_ms", all_.mean()},
                                        {"p50_ms", all_.Percentile(0.5)},
                                        {"p99_ms", all_.Percentile(0.99)},
                                        {"max_ms", all_.max()}};
    std::cout << out.dump() << "\n";
  }

  const ConsumeOptions& options_;
  client::SimpleConsumer* const consumer_;
  const int64_t start_ms_;

  absl::Mutex mu_;
  int64_t last_news_ms_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t consumed_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t failed_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t early_ ABSL_GUARDED_BY(mu_) = 0;
  bool delayed_ ABSL_GUARDED_BY(mu_) = false;  // there were delayed messages
  absl::Status first_failure_ ABSL_GUARDED_BY(mu_);
  absl::Status fatal_ ABSL_GUARDED_BY(mu_);
  Histogram interval_ ABSL_GUARDED_BY(mu_);  // milliseconds
  Histogram all_ ABSL_GUARDED_BY(mu_);
  // Last: stops before what its tasks use goes away.
  EventLoop loop_{"bench"};
};

}  // namespace

absl::Status RunConsume(const ConsumeOptions& options, ConsumeResult* result) {
  client::SimpleConsumerOptions consumer_options;
  consumer_options.namesrvAddr = options.namesrv_addr;
  consumer_options.topic = options.topic;
  consumer_options.consumerGroup = options.group;
  consumer_options.awaitDuration = kAwaitMs;
  auto consumer = client::SimpleConsumer::Start(consumer_options);
  if (!consumer.ok()) return consumer.status();
  Consumption consumption(options, consumer->get());
  return consumption.Run(result);
}

}  // namespace raftmq::mqbench
