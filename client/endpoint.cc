#include "client/endpoint.h"

#include <charconv>

#include "base/strings.h"

namespace raftmq::client {
namespace {

absl::StatusOr<std::string> CheckAddress(std::string_view text, int default_port) {
  const size_t bracket = text.rfind(']');
  const size_t colon = text.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  if (!has_port) return StrCat(text, ":", default_port);
  const std::string_view digits = text.substr(colon + 1);
  int port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port < 1 || port > 65535 ||
      colon == 0) {
    return absl::InvalidArgumentError(
        StrCat("address '", text, "': expected host:port with a port from 1 to 65535"));
  }
  return std::string(text);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseAddresses(std::string_view text, int default_port) {
  std::vector<std::string> addresses;
  while (!text.empty()) {
    const size_t end = text.find_first_of(";, ");
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (one.empty()) continue;
    RAFTMQ_ASSIGN_OR_RETURN(std::string address, CheckAddress(one, default_port));
    addresses.push_back(std::move(address));
  }
  if (addresses.empty()) {
    return absl::InvalidArgumentError(
        "no address given: set namesrvAddr to host:port[;host:port…]");
  }
  return addresses;
}

}  // namespace raftmq::client
