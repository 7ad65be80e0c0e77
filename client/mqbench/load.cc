#include "client/mqbench/load.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/random.h"
#include "base/thread.h"
#include "client/producer.h"

namespace raftmq::mqbench {
namespace {

constexpr int64_t kRouteMs = 10'000;
constexpr int64_t kRouteRetryMs = 20;
constexpr int64_t kPollMs = 1'000;

void PrintHeading() {
  std::printf("%10s %10s %9s %9s %9s %9s %9s %9s %9s %8s\n", "sent", "TPS", "MB/s", "avg us",
              "p50 us", "p95 us", "p99 us", "p99.9 us", "max us", "failed");
}

void PrintLine(const LoadOptions& options, int64_t sent, int64_t failed, double seconds,
               const Histogram& h) {
  const double tps = seconds > 0 ? sent / seconds : 0;
  std::printf("%10lld %10.0f %9.1f %9.0f %9lld %9lld %9lld %9lld %9lld %8lld\n",
              static_cast<long long>(sent), tps, tps * options.size / 1e6, h.mean(),
              static_cast<long long>(h.Percentile(0.5)), static_cast<long long>(h.Percentile(0.95)),
              static_cast<long long>(h.Percentile(0.99)),
              static_cast<long long>(h.Percentile(0.999)), static_cast<long long>(h.max()),
              static_cast<long long>(failed));
  std::fflush(stdout);
}

class Load {
 public:
  Load(const LoadOptions& options, client::Producer* producer)
      : options_(options),
        producer_(producer),
        start_nanos_(SystemClock()->MonotonicNanos()),
        due_ms_(SystemClock()->WallMillis() + options.due_in_seconds * 1000) {
    // Incompressible, and the same for every message: making bodies is not what is measured.
    Random random(1);
    body_.resize(options.size);
    for (char& c : body_) c = static_cast<char>(random.Next());
  }

  void Run() {
    if (!options_.json) PrintHeading();
    ScheduleReport();
    if (options_.async) {
      RunSlots();
    } else {
      RunThreads();
    }
  }

  void Collect(LoadResult* result) {
    absl::MutexLock lock(&mu_);
    all_.Add(interval_);
    result->sent = sent_;
    result->failed = failed_;
    result->seconds = Seconds(start_nanos_);
    result->micros = all_;
    result->first_failure = first_failure_;
  }

 private:
  using Receipts = absl::StatusOr<std::vector<client::SendReceipt>>;

  static double Seconds(int64_t since) {
    return static_cast<double>(SystemClock()->MonotonicNanos() - since) / 1e9;
  }

  // What to send next; empty when all is sent or the time is over. The last batch may be smaller.
  std::vector<client::Message> NextBatch() {
    const int64_t begun = begun_.fetch_add(options_.batch, std::memory_order_relaxed);
    const int64_t left = options_.count > 0 ? options_.count - begun : options_.batch;
    if (left <= 0 || (options_.seconds > 0 && Seconds(start_nanos_) >= options_.seconds)) return {};
    std::vector<client::Message> messages(std::min<int64_t>(options_.batch, left));
    for (client::Message& message : messages) {
      message.topic = options_.topic;
      message.body = body_;
      if (options_.due_in_seconds == 0) continue;
      message.deliver_ms = due_ms_ + (begun + (&message - messages.data())) % 1000;
      message.properties[kDueProperty] = std::to_string(*message.deliver_ms);
    }
    return messages;
  }

  void RunThreads() {
    std::vector<std::thread> threads;
    for (int i = 0; i < options_.threads; ++i) {
      threads.push_back(StartThread("sender", [this] {
        for (auto messages = NextBatch(); !messages.empty(); messages = NextBatch()) {
          const auto count = static_cast<int64_t>(messages.size());
          const int64_t start = SystemClock()->MonotonicNanos();
          Count(start, count, producer_->SendBatch(std::move(messages)));
        }
      }));
    }
    for (std::thread& thread : threads) thread.join();
  }

  void RunSlots() {
    {
      absl::MutexLock lock(&mu_);
      running_ = options_.threads;
    }
    for (int i = 0; i < options_.threads; ++i) NextOfSlot();
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](int* n) { return *n == 0; }, &running_));
  }

  // One of the slots sends its next batch, or ends.
  void NextOfSlot() {
    std::vector<client::Message> messages = NextBatch();
    if (messages.empty()) {
      absl::MutexLock lock(&mu_);
      --running_;
      return;
    }
    const auto count = static_cast<int64_t>(messages.size());
    const int64_t start = SystemClock()->MonotonicNanos();
    producer_->SendAsync(std::move(messages), [this, start, count](Receipts receipts) {
      Count(start, count, receipts);
      // The stack must not grow when answers come at once (a refusal, say).
      loop_.Post([this] { NextOfSlot(); });
    });
  }

  void Count(int64_t start, int64_t messages, const Receipts& receipts) {
    const int64_t micros = (SystemClock()->MonotonicNanos() - start) / 1000;
    absl::MutexLock lock(&mu_);
    if (receipts.ok()) {
      sent_ += messages;
      interval_sent_ += messages;
      interval_.Record(micros);
    } else {
      failed_ += messages;
      interval_failed_ += messages;
      if (first_failure_.ok()) first_failure_ = receipts.status();
    }
  }

  void ScheduleReport() {
    loop_.RunAfter(options_.report_seconds * 1'000'000'000, [this] {
      {
        absl::MutexLock lock(&mu_);
        if (!options_.json) {
          PrintLine(options_, interval_sent_, interval_failed_,
                    static_cast<double>(options_.report_seconds), interval_);
        }
        all_.Add(interval_);
        interval_ = Histogram();
        interval_sent_ = interval_failed_ = 0;
      }
      ScheduleReport();
    });
  }

  const LoadOptions& options_;
  client::Producer* const producer_;
  const int64_t start_nanos_;
  const int64_t due_ms_;  // of the first delayed ones, on the wall clock
  std::string body_;
  std::atomic<int64_t> begun_{0};

  absl::Mutex mu_;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t failed_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t interval_sent_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t interval_failed_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status first_failure_ ABSL_GUARDED_BY(mu_);
  Histogram interval_ ABSL_GUARDED_BY(mu_);
  Histogram all_ ABSL_GUARDED_BY(mu_);
  // Last: stops before what its tasks use goes away.
  EventLoop loop_{"bench"};
};

// A topic that was created a moment ago is known to NameServers a moment later.
absl::Status AwaitRoute(client::Producer* producer, const std::string& topic) {
  const int64_t give_up_ms = SystemClock()->MonotonicMillis() + kRouteMs;
  for (;;) {
    const absl::Status status = producer->FetchPublishMessageQueues(topic).status();
    if (status.ok() || SystemClock()->MonotonicMillis() >= give_up_ms) return status;
    absl::Notification never;
    never.WaitForNotificationWithTimeout(absl::Milliseconds(kRouteRetryMs));
  }
}

}  // namespace

absl::Status RunLoad(const LoadOptions& options, LoadResult* result) {
  client::ProducerOptions producer_options;
  producer_options.namesrvAddr = options.namesrv_addr;
  producer_options.sendMsgTimeout = options.timeout_ms;
  for (const auto& [level, name] : client::kAckLevelNames) {
    if (name == options.ack_level) producer_options.ackLevel = level;
  }
  // Bodies are incompressible: trying is no part of what is measured.
  producer_options.compressMsgBodyOverHowmuch = std::numeric_limits<int64_t>::max();
  // A group whose part of a new topic is told a moment late is soon used too.
  producer_options.pollNameServerInterval = kPollMs;
  producer_options.backPressureForAsyncSendNum = options.threads + 1;
  producer_options.backPressureForAsyncSendSize = std::numeric_limits<int64_t>::max();
  auto producer = client::Producer::Start(producer_options);
  if (!producer.ok()) return producer.status();
  if (absl::Status route = AwaitRoute(producer->get(), options.topic); !route.ok()) return route;
  Load load(options, producer->get());
  load.Run();
  load.Collect(result);
  return absl::OkStatus();
}

void PrintResult(const LoadOptions& options, const LoadResult& r) {
  if (options.json) {
    const double tps = r.seconds > 0 ? r.sent / r.seconds : 0;
    nlohmann::ordered_json o = {{"title", options.title},
                                {"threads", options.threads},
                                {"async", options.async},
                                {"size", options.size},
                                {"batch", options.batch},
                                {"sent", r.sent},
                                {"failed", r.failed},
                                {"seconds", r.seconds},
                                {"tps", tps},
                                {"mb_per_second", tps * options.size / 1e6},
                                {"avg_us", r.micros.mean()},
                                {"p50_us", r.micros.Percentile(0.5)},
                                {"p95_us", r.micros.Percentile(0.95)},
                                {"p99_us", r.micros.Percentile(0.99)},
                                {"p999_us", r.micros.Percentile(0.999)},
                                {"max_us", r.micros.max()}};
    std::cout << o.dump() << "\n";
    return;
  }
  std::printf("\n%s in all: %d %s, %d bytes, batches of %d, %.1f s\n", options.title.c_str(),
              options.threads, options.async ? "sends under way" : "threads", options.size,
              options.batch, r.seconds);
  PrintHeading();
  PrintLine(options, r.sent, r.failed, r.seconds, r.micros);
}

}  // namespace raftmq::mqbench
