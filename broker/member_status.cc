#include "broker/member_status.h"

#include <algorithm>
#include <string>

#include "base/strings.h"

namespace raftmq::broker {
namespace {

namespace adm = ::raftmq::v1;

adm::MemberRole ToRole(dledger::Role role) {
  switch (role) {
    case dledger::Role::kFollower:
      return adm::FOLLOWER;
    case dledger::Role::kCandidate:
      return adm::CANDIDATE;
    case dledger::Role::kLeader:
      return adm::LEADER;
    case dledger::Role::kLearner:
      return adm::LEARNER;
    case dledger::Role::kStopped:
      return adm::STOPPED;
  }
  return adm::MEMBER_ROLE_UNSPECIFIED;
}

}  // namespace

adm::GetMemberStatusResponse ToMemberStatus(const adm::MemberIdentity& identity,
                                            const dledger::LedgerStatus& status, int64_t now_ms) {
  adm::GetMemberStatusResponse response;
  *response.mutable_identity() = identity;
  response.set_role(ToRole(status.role));
  response.set_term(status.term.value());
  response.set_leader_id(status.leader.value());
  response.set_serving(status.serving);
  response.set_first_index(status.first_index.value());
  response.set_last_index(status.last_index.value());
  response.set_commit_index(status.commit_index.value());
  response.set_applied_index(status.applied_index.value());
  response.set_durable_index(status.durable_index.value());
  response.set_end_position(status.end_position.value());
  response.set_first_position(status.first_position.value());
  for (const dledger::Member& member : status.members) {
    adm::GroupMember* row = response.add_members();
    row->set_id(member.id.value());
    row->set_name(member.name);
    row->set_peer_address(member.peer_address);
    row->set_client_address(member.client_address);
    row->set_connected(member.connected);
    row->set_match_index(member.match_index.value());
    row->set_durable_index(member.durable_index.value());
    row->set_incarnation(member.incarnation.value());
    row->set_damaged(member.damaged);
    row->set_needs_snapshot(member.needs_snapshot);
  }
  if (!status.failure.ok()) response.set_failure(std::string(Message(status.failure)));
  if (status.leaderless_since_ms != 0) {
    response.set_leaderless_ms(now_ms - status.leaderless_since_ms);
  }
  response.set_version(kVersion);
  response.set_damage(status.damage);
  return response;
}

absl::Status CheckAlreadyBootstrapped(const adm::BootstrapRequest& request,
                                      const adm::MemberIdentity& identity,
                                      const dledger::LedgerStatus& status) {
  const auto differs = [&](const auto&... what) {
    return absl::FailedPreconditionError(
        StrCat("member ", identity.member_name(), " of group ", identity.group(),
               " was bootstrapped before, and not with what is asked for: ", what...));
  };
  if (request.group() != identity.group()) return differs("group ", request.group());
  for (const adm::BootstrapMemberSpec& asked : request.members()) {
    const auto member =
        std::find_if(status.members.begin(), status.members.end(),
                     [&](const dledger::Member& m) { return m.id.value() == asked.id(); });
    if (member == status.members.end()) return differs("it does not know member ", asked.name());
    if (member->name != asked.name() || member->peer_address != asked.peer_address()) {
      return differs("member ", asked.id(), " is ", member->name, " at ", member->peer_address,
                     ", not ", asked.name(), " at ", asked.peer_address());
    }
    if (member->incarnation.value() != asked.incarnation()) {
      return differs("member ", asked.name(), " has incarnation ", member->incarnation,
                     " in the group, not ", Incarnation(asked.incarnation()),
                     ": its data directory was formatted again, so it is no longer this member");
    }
  }
  if (static_cast<size_t>(request.members_size()) != status.members.size()) {
    return differs("the group has ", status.members.size(), " members, not ",
                   request.members_size());
  }
  return absl::OkStatus();
}

}  // namespace raftmq::broker
