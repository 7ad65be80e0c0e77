// Addresses as users write them: "host:port", several separated by ';' or ','.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace raftmq::client {

// Splits and checks; a missing port becomes `default_port`. IPv6 hosts are in brackets. At least
// one address, else InvalidArgument.
absl::StatusOr<std::vector<std::string>> ParseAddresses(std::string_view text, int default_port);

}  // namespace raftmq::client
