#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "base/strings.h"
#include "store/message_record.h"

namespace raftmq::store {
namespace {

absl::Status NotAnAddress(std::string_view text) {
  return absl::InvalidArgumentError(
      StrCat("\"", text, "\" is no address: expected like 10.1.2.3:80 or [::1]:80"));
}

bool ParsePort(std::string_view text, int32_t* port) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *port);
  return error == std::errc() && stop == end && *port >= 0 && *port <= 65535;
}

}  // namespace

absl::StatusOr<HostAddress> HostAddress::Parse(std::string_view text) {
  HostAddress host;
  std::string_view ip = text, port;
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return NotAnAddress(text);
    ip = text.substr(1, close - 1);
    port = text.substr(close + 1);
    host.v6 = true;
  } else if (const size_t colon = text.find(':'); colon == text.rfind(':')) {
    // One colon, or none: IPv4.
    ip = text.substr(0, colon);
    port = text.substr(ip.size());
  } else {
    host.v6 = true;  // a bare IPv6 address
  }
  if (!port.empty() && (port.front() != ':' || !ParsePort(port.substr(1), &host.port))) {
    return NotAnAddress(text);
  }
  const std::string terminated(ip);
  if (inet_pton(host.v6 ? AF_INET6 : AF_INET, terminated.c_str(), host.ip.data()) != 1) {
    return NotAnAddress(text);
  }
  return host;
}

std::string HostAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(v6 ? AF_INET6 : AF_INET, ip.data(), text, sizeof(text));
  return v6 ? StrCat("[", std::string_view(text), "]:", port)
            : StrCat(std::string_view(text), ":", port);
}

}  // namespace raftmq::store
