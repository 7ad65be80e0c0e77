#include "client/route_cache.h"

#include <utility>

#include "absl/synchronization/notification.h"
#include "base/strings.h"

namespace raftmq::client {
namespace {

// A storm of failures asks no more often than this.
constexpr int64_t kMinRefetchMs = 100;

}  // namespace

RouteCache::RouteCache(RouteCacheOptions options, RouteSource* source, const Clock* clock)
    : options_(std::move(options)), source_(source), clock_(clock), current_(options_.first) {}

void RouteCache::Find(const std::string& topic, Found found) {
  Route cached;
  bool ask = false;
  {
    absl::MutexLock lock(&mu_);
    Entry& entry = entries_[topic];
    const int64_t age_ms = clock_->MonotonicMillis() - entry.fetched_ms;
    if (entry.route != nullptr && (!entry.doubted || age_ms < kMinRefetchMs)) {
      cached = entry.route;
    } else {
      entry.waiting.push_back(std::move(found));
      ask = !std::exchange(entry.asking, true);
    }
  }
  if (cached != nullptr) return found(std::move(cached));
  if (!ask) return;
  auto round = std::make_shared<Round>();
  round->topic = topic;
  AskNext(std::move(round));
}

absl::StatusOr<RouteCache::Route> RouteCache::FindBlocking(const std::string& topic) {
  absl::Notification answered;
  absl::StatusOr<Route> result;
  Find(topic, [&](absl::StatusOr<Route> route) {
    result = std::move(route);
    answered.Notify();
  });
  answered.WaitForNotification();
  return result;
}

void RouteCache::Doubt(const std::string& topic) {
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(topic);
  if (found != entries_.end()) found->second.doubted = true;
}

void RouteCache::Refresh() {
  std::vector<std::string> topics;
  {
    absl::MutexLock lock(&mu_);
    for (auto& [topic, entry] : entries_) {
      if (!std::exchange(entry.asking, true)) topics.push_back(topic);
    }
  }
  for (std::string& topic : topics) {
    auto round = std::make_shared<Round>();
    round->topic = std::move(topic);
    AskNext(std::move(round));
  }
}

std::vector<RouteCache::Route> RouteCache::All() const {
  std::vector<Route> routes;
  absl::MutexLock lock(&mu_);
  for (const auto& [topic, entry] : entries_) {
    if (entry.route != nullptr) routes.push_back(entry.route);
  }
  return routes;
}

void RouteCache::AskNext(std::shared_ptr<Round> round) {
  if (round->tried >= options_.access_points.size()) return End(*round, round->last);
  std::string access_point;
  {
    absl::MutexLock lock(&mu_);
    access_point = options_.access_points[current_ % options_.access_points.size()];
  }
  ++round->tried;
  const std::string& topic = round->topic;
  source_->Ask(access_point, topic, [this, round](absl::StatusOr<TopicRoute> answer) {
    OnAnswer(round, std::move(answer));
  });
}

void RouteCache::OnAnswer(std::shared_ptr<Round> round, absl::StatusOr<TopicRoute> answer) {
  if (answer.ok()) {
    return End(*round, std::make_shared<const TopicRoute>(*std::move(answer)));
  }
  // A NameServer that has just started may know fewer topics than another, so that one is asked
  // after a "not found" too. What is reported in the end is that rather than that some other could
  // not be reached.
  const bool not_found = absl::IsNotFound(answer.status());
  round->all_say_not_found = round->all_say_not_found && not_found;
  if (round->last.ok() || not_found || !absl::IsNotFound(round->last)) {
    round->last = answer.status();
  }
  {
    absl::MutexLock lock(&mu_);
    ++current_;
  }
  AskNext(std::move(round));
}

void RouteCache::End(const Round& round, absl::StatusOr<Route> fresh) {
  std::vector<Found> waiting;
  {
    absl::MutexLock lock(&mu_);
    Entry& entry = entries_[round.topic];
    entry.asking = false;
    waiting.swap(entry.waiting);
    if (fresh.ok()) {
      entry.route = *fresh;
      entry.fetched_ms = clock_->MonotonicMillis();
      entry.doubted = false;
    } else if (entry.route != nullptr && !round.all_say_not_found) {
      // Nobody who would know could be asked: the old one serves on, and is asked for again.
      fresh = entry.route;
      entry.fetched_ms = clock_->MonotonicMillis();
      entry.doubted = true;
    } else {
      entries_.erase(round.topic);
    }
  }
  for (Found& found : waiting) found(fresh);
}

}  // namespace raftmq::client
