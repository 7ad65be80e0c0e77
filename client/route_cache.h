// RouteCache: where a topic's broker groups are, asked of a NameServer or of any broker. Kept and
// asked for again every pollNameServerInterval, and when a broker failed (RocketMQ:
// MQClientInstance, topicRouteTable). One access point is asked as long as it answers; then the
// next.
//
// Thread-safe. Nothing blocks but FindBlocking.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "client/route.h"

namespace raftmq::client {

// The question to one access point; the seam to the network.
class RouteSource {
 public:
  virtual ~RouteSource() = default;
  // `answer` is called exactly once, on any thread, also within Ask. NotFound: this access point
  // knows no such topic.
  using Answer = absl::AnyInvocable<void(absl::StatusOr<TopicRoute>)>;
  virtual void Ask(const std::string& access_point, const std::string& topic, Answer answer) = 0;
};

struct RouteCacheOptions {
  std::vector<std::string> access_points;  // NameServers or brokers, host:port
  size_t first = 0;                        // which to ask first, so that clients spread
};

class RouteCache {
 public:
  using Route = std::shared_ptr<const TopicRoute>;

  // `source` must have called all answers before this goes away.
  RouteCache(RouteCacheOptions options, RouteSource* source, const Clock* clock);

  // The cached route, at once; if there is none, or it is doubted and older than 100 ms, a fresh
  // one when it arrives. While no access point answers, an old one still serves. `found` is called
  // exactly once, on the caller's thread or one of the source's.
  using Found = absl::AnyInvocable<void(absl::StatusOr<Route>)>;
  void Find(const std::string& topic, Found found);
  absl::StatusOr<Route> FindBlocking(const std::string& topic);

  // A broker of the topic failed: the next Find asks again.
  void Doubt(const std::string& topic);

  // Asks again for every topic: to be called every pollNameServerInterval.
  void Refresh();

  // What is cached now.
  std::vector<Route> All() const;

 private:
  struct Entry {
    Route route;             // null until the first answer
    int64_t fetched_ms = 0;  // monotonic: when `route` was last heard
    bool doubted = false;
    bool asking = false;
    std::vector<Found> waiting;  // for the answer that is on its way
  };
  // One round over the access points.
  struct Round {
    std::string topic;
    size_t tried = 0;
    bool all_say_not_found = true;
    absl::Status last;
  };

  void AskNext(std::shared_ptr<Round> round);
  void OnAnswer(std::shared_ptr<Round> round, absl::StatusOr<TopicRoute> answer);
  void End(const Round& round, absl::StatusOr<Route> fresh);

  const RouteCacheOptions options_;
  RouteSource* const source_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
  size_t current_ ABSL_GUARDED_BY(mu_);  // access point that answered last
};

}  // namespace raftmq::client
