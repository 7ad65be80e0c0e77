// BootstrapPlan: what `mqadmin bootstrap` is about to write, settled before it writes anything.
//
// Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::mqadmin {

// What a member answered to GetMemberStatus.
struct AnsweredMember {
  std::string address;
  raftmq::v1::GetMemberStatusResponse status;
};

// The request that all of them get. FailedPrecondition, naming the member and what differs: they
// are not of one group, two have the same id, or one was bootstrapped before with anything else
// than these very members and incarnations. Then none may be written to: members whose disks were
// wiped would start a new group with an empty log beside the one that has the data.
absl::StatusOr<raftmq::v1::BootstrapRequest> PlanBootstrap(
    const std::vector<AnsweredMember>& members);

}  // namespace raftmq::mqadmin
