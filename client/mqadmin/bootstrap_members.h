// BootstrapMembers: gives all members of a new group their first entry, at the same time: each
// allocates and zeroes its first segment before it answers, which takes a slow disk a while.
//
// Blocks; one thread for each member while it runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/channel_credentials.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::mqadmin {

struct BootstrapOutcome {
  absl::Status status;
  bool already = false;  // it had this very entry before
};

// In the order of `addresses`.
std::vector<BootstrapOutcome> BootstrapMembers(const std::vector<std::string>& addresses,
                                               const raftmq::v1::BootstrapRequest& request,
                                               int64_t timeout_ms, const TlsClientOptions& tls);

}  // namespace raftmq::mqadmin
