#include "client/mqadmin/bootstrap_plan.h"

#include <algorithm>

#include "base/strings.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

absl::Status CheckBootstrapped(const AnsweredMember& answered,
                               const pb::BootstrapRequest& request) {
  const auto refuse = [&](const auto&... what) {
    return absl::FailedPreconditionError(
        StrCat(answered.address,
               " was bootstrapped before and belongs to a group with other members: ", what...,
               ". No member was changed. A member whose data directory was formatted again "
               "cannot take its former place"));
  };
  const auto& known = answered.status.members();
  if (known.size() != request.members_size()) {
    return refuse("it has ", known.size(), " members, not ", request.members_size());
  }
  for (const pb::BootstrapMemberSpec& asked : request.members()) {
    const auto member = std::find_if(
        known.begin(), known.end(), [&](const pb::GroupMember& m) { return m.id() == asked.id(); });
    if (member == known.end()) return refuse("it does not know member ", asked.name());
    if (member->incarnation() != asked.incarnation()) {
      return refuse("it knows another incarnation of member ", asked.name());
    }
    if (member->name() != asked.name() || member->peer_address() != asked.peer_address()) {
      return refuse("it knows member ", member->name(), " at ", member->peer_address(), ", not ",
                    asked.name(), " at ", asked.peer_address());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<pb::BootstrapRequest> PlanBootstrap(const std::vector<AnsweredMember>& members) {
  pb::BootstrapRequest request;
  for (const AnsweredMember& answered : members) {
    const pb::MemberIdentity& identity = answered.status.identity();
    if (!request.group().empty() && request.group() != identity.group()) {
      return absl::FailedPreconditionError(
          StrCat(answered.address, " belongs to group ", identity.group(), ", ", members[0].address,
                 " to ", request.group(), ": bootstrap one group at a time"));
    }
    for (const pb::BootstrapMemberSpec& other : request.members()) {
      if (other.id() != identity.member_id()) continue;
      return absl::FailedPreconditionError(
          StrCat(answered.address, " is member ", identity.member_name(), ", and so is another"));
    }
    request.set_group(identity.group());
    pb::BootstrapMemberSpec* spec = request.add_members();
    spec->set_id(identity.member_id());
    spec->set_name(identity.member_name());
    spec->set_peer_address(identity.peer_address());
    spec->set_incarnation(identity.incarnation());
  }
  for (const AnsweredMember& answered : members) {
    if (answered.status.role() == pb::NOT_BOOTSTRAPPED) continue;
    RAFTMQ_RETURN_IF_ERROR(CheckBootstrapped(answered, request));
  }
  return request;
}

}  // namespace raftmq::mqadmin
