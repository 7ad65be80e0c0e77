#include "broker/host_names.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::broker {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  HostPort result;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(ToAbsl(text.substr(colon + 1)), &result.port) || result.port < 1 ||
      result.port > 65535) {
    return absl::InvalidArgumentError(
        StrCat("address \"", text, "\": expected host:port with a port of 1 to 65535"));
  }
  std::string_view host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  result.host = host;
  return result;
}

absl::StatusOr<ResolvedHost> ResolveHost(const std::string& host) {
  unsigned char binary[sizeof(in6_addr)];
  if (inet_pton(AF_INET, host.c_str(), binary) == 1) return ResolvedHost{host, v2::IPv4};
  if (inet_pton(AF_INET6, host.c_str(), binary) == 1) return ResolvedHost{host, v2::IPv6};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return absl::UnavailableError(
        StrCat("cannot resolve host \"", host, "\": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
      char text[NI_MAXHOST];
      if (a->ai_family == family && getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text),
                                                nullptr, 0, NI_NUMERICHOST) == 0) {
        return ResolvedHost{text, family == AF_INET ? v2::IPv4 : v2::IPv6};
      }
    }
  }
  return absl::UnavailableError(StrCat("host \"", host, "\" has no IPv4 or IPv6 address"));
}

HostNames::HostNames(const Clock* clock, TaskRunner* resolve, Resolver resolver)
    : clock_(clock), resolve_(resolve), resolver_(std::move(resolver)) {}

ResolvedHost HostNames::Lookup(const std::string& host) { return Find(host).host; }

void HostNames::WhenKnown(const std::vector<std::string>& hosts, absl::AnyInvocable<void()> known) {
  bool all = true;
  for (const std::string& host : hosts) all = Find(host).answered && all;
  // The look-ups that are still to end were posted before.
  if (all) return known();
  resolve_->Post(std::move(known));
}

HostNames::Known HostNames::Find(const std::string& host) {
  // Numeric addresses, the usual case, need no look-up.
  unsigned char binary[sizeof(in6_addr)];
  if (inet_pton(AF_INET, host.c_str(), binary) == 1) return {{host, v2::IPv4}, 0, true};
  if (inet_pton(AF_INET6, host.c_str(), binary) == 1) return {{host, v2::IPv6}, 0, true};
  const int64_t now_ms = clock_->MonotonicMillis();
  absl::MutexLock lock(&mutex_);
  if (known_.size() >= kMaxHosts && !known_.contains(host))
    return {{host, v2::DOMAIN_NAME}, 0, true};
  auto [it, first] = known_.try_emplace(host);
  Known& known = it->second;
  if (first) known.host = ResolvedHost{host, v2::DOMAIN_NAME};
  if (first || now_ms - known.asked_ms > kRefreshMs) {
    known.asked_ms = now_ms;
    ResolveLater(host);
  }
  return known;
}

void HostNames::ResolveLater(const std::string& host) {
  resolve_->Post([this, host] {
    const absl::StatusOr<ResolvedHost> resolved = resolver_(host);
    if (!resolved.ok()) LOG(WARNING) << "address of a member: " << Message(resolved.status());
    absl::MutexLock lock(&mutex_);
    Known& known = known_[host];
    known.answered = true;
    if (resolved.ok()) known.host = *resolved;
  });
}

}  // namespace raftmq::broker
