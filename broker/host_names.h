// HostNames: numeric addresses of the hosts that routes name. Names are resolved off-thread and
// kept; whoever asks never waits for a name server, unless it says so.
//
// Thread-safe. `resolve` outlives it and runs blocking look-ups, so nothing else may wait for it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/routes.h"

namespace raftmq::broker {

// "host:port" or "[v6]:port".
struct HostPort {
  std::string host;
  int32_t port = 0;
};
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

struct ResolvedHost {
  std::string host;
  v2::AddressScheme scheme = v2::DOMAIN_NAME;
};

// Blocking getaddrinfo: an IPv4 address if the host has one, else IPv6. Numeric hosts are answered
// without a look-up.
absl::StatusOr<ResolvedHost> ResolveHost(const std::string& host);

class HostNames {
 public:
  using Resolver = std::function<absl::StatusOr<ResolvedHost>(const std::string&)>;

  HostNames(const Clock* clock, TaskRunner* resolve, Resolver resolver = ResolveHost);

  // The newest known address; the name itself, as DOMAIN_NAME, until there is one. Looks it up
  // again, off-thread, when that is half a minute old.
  ResolvedHost Lookup(const std::string& host);

  // Calls `known` when each of the hosts has been looked up once, in vain or not: at once, or on
  // `resolve`.
  void WhenKnown(const std::vector<std::string>& hosts, absl::AnyInvocable<void()> known);

 private:
  struct Known {
    ResolvedHost host;
    int64_t asked_ms = 0;   // monotonic; when the last look-up began
    bool answered = false;  // a look-up has ended, or none is needed
  };
  static constexpr int64_t kRefreshMs = 30'000;
  static constexpr size_t kMaxHosts = 10'000;

  Known Find(const std::string& host);
  void ResolveLater(const std::string& host);

  const Clock* const clock_;
  TaskRunner* const resolve_;
  const Resolver resolver_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Known> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::broker
