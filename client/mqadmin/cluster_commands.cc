#include <algorithm>
#include <iostream>

#include "client/endpoint.h"
#include "client/mqadmin/bootstrap_members.h"
#include "client/mqadmin/bootstrap_plan.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

// A member allocates and zeroes its first segment before it answers: 1 GiB takes a slow disk a
// while.
constexpr int64_t kBootstrapTimeoutMs = 120'000;

std::string RoleText(pb::MemberRole role) { return pb::MemberRole_Name(role); }

void ClusterList(CommandLine* line) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups();
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Cluster", "Broker", "Member", "Address", "Role", "Term", "Last Index",
                 "Commit Index", "Applied Index", "Version", "Log"});
  for (const GroupPlace& group : *groups) {
    for (const MemberPlace& member : group.members) {
      pb::GetMemberStatusResponse status;
      const absl::Status asked =
          session.CallAt(member.address, &Session::Admin::Stub::GetMemberStatus,
                         pb::GetMemberStatusRequest(), &status);
      if (!asked.ok()) {
        line->exit_code = kExitPartial;
        report.AddRow({group.cluster, group.broker_name, member.name, member.address,
                       std::string("UNREACHABLE"), group.term, int64_t{0}, int64_t{0}, int64_t{0},
                       std::string(), std::string()});
        continue;
      }
      report.AddRow({group.cluster, group.broker_name, member.name, member.address,
                     RoleText(status.role()), status.term(), status.last_index(),
                     status.commit_index(), status.applied_index(), status.version(),
                     std::string(status.damage().empty() ? "OK" : "DAMAGED")});
    }
  }
  line->Print(report);
}

void BrokerStatus(CommandLine* line, const std::string& broker) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto addresses = client::ParseAddresses(broker, 8081);
  if (!addresses.ok()) return line->Fail(addresses.status(), kExitUsage);
  pb::GetMemberStatusResponse s;
  const absl::Status asked = session.CallAt((*addresses)[0], &Session::Admin::Stub::GetMemberStatus,
                                            pb::GetMemberStatusRequest(), &s);
  if (!asked.ok()) return line->Fail(asked);
  Report report({"Cluster",       "Broker",         "Group",         "Member",
                 "Peer Address",  "Client Address", "Role",          "Serving",
                 "Term",          "Leader Id",      "First Index",   "Last Index",
                 "Durable Index", "Commit Index",   "Applied Index", "End Position",
                 "Segment Size",  "Incarnation",    "Failure",       "Damage",
                 "Version",       "Pending Timers", "Earliest Due",  "Open Transactions"});
  const pb::MemberIdentity& id = s.identity();
  char incarnation[17];
  std::snprintf(incarnation, sizeof(incarnation), "%016llx",
                static_cast<unsigned long long>(id.incarnation()));
  report.AddRow({id.cluster(),
                 id.broker_name(),
                 id.group(),
                 id.member_name(),
                 id.peer_address(),
                 id.client_address(),
                 RoleText(s.role()),
                 s.serving(),
                 s.term(),
                 int64_t{s.leader_id()},
                 s.first_index(),
                 s.last_index(),
                 s.durable_index(),
                 s.commit_index(),
                 s.applied_index(),
                 s.end_position(),
                 id.segment_size(),
                 std::string(incarnation),
                 s.failure(),
                 s.damage(),
                 s.version(),
                 s.pending_timers(),
                 FormatTime(s.earliest_due_ms()),
                 s.open_transactions()});
  line->Print(report, /*as_records=*/true);
}

// Gives each of a new group's members the same first entry. All must answer: a member that is
// started later could not know the others' incarnations otherwise. Nothing is written before all of
// them were looked at; then all are written at once.
void Bootstrap(CommandLine* line, const std::vector<std::string>& brokers) {
  Session session(line->namesrv_addr, std::max<int64_t>(line->timeout_ms, kBootstrapTimeoutMs),
                  line->tls());
  std::vector<AnsweredMember> members;
  for (const std::string& broker : brokers) {
    auto parsed = client::ParseAddresses(broker, 8081);
    if (!parsed.ok()) return line->Fail(parsed.status(), kExitUsage);
    for (const std::string& address : *parsed) {
      AnsweredMember& member = members.emplace_back();
      member.address = address;
      const absl::Status asked = session.CallAt(address, &Session::Admin::Stub::GetMemberStatus,
                                                pb::GetMemberStatusRequest(), &member.status);
      if (!asked.ok()) return line->Fail(Annotate(asked, "every member must be running"));
    }
  }
  const absl::StatusOr<pb::BootstrapRequest> request = PlanBootstrap(members);
  if (!request.ok()) return line->Fail(request.status());
  Report report({"Address", "Member", "Group", "Result"});
  std::vector<std::string> addresses;
  for (const AnsweredMember& member : members) addresses.push_back(member.address);
  const auto outcomes = BootstrapMembers(addresses, *request, session.timeout_ms(), line->tls());
  const bool some =
      std::any_of(outcomes.begin(), outcomes.end(),
                  [](const BootstrapOutcome& outcome) { return outcome.status.ok(); });
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const auto& [status, already] = outcomes[i];
    if (!status.ok()) line->Fail(status, some ? kExitPartial : kExitFailed);
    report.AddRow({addresses[i], request->members(static_cast<int>(i)).name(), request->group(),
                   std::string(!status.ok() ? "failed"
                               : already    ? "already bootstrapped"
                                            : "bootstrapped")});
  }
  line->Print(report);
}

void TransferLeader(CommandLine* line, const std::string& broker, const std::string& target) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups("", broker);
  if (!groups.ok()) return line->Fail(groups.status());
  const GroupPlace& group = (*groups)[0];
  if (groups->size() > 1) {
    return line->Fail(absl::InvalidArgumentError(
        "several broker groups: name a member of the one that is meant with -b"));
  }
  for (const MemberPlace& member : group.members) {
    if (member.name != target) continue;
    pb::TransferLeadershipRequest request;
    request.set_target_id(member.id);
    pb::TransferLeadershipResponse response;
    const absl::Status done =
        session.Call(group, &Session::Admin::Stub::TransferLeadership, request, &response);
    if (!done.ok()) return line->Fail(done);
    Report report({"Broker", "Leader"});
    report.AddRow({group.broker_name, target});
    return line->Print(report);
  }
  line->Fail(absl::NotFoundError(
      StrCat("group ", group.broker_name, " has no live member called ", target)));
}

void StepDown(CommandLine* line, const std::string& broker) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups("", broker);
  if (!groups.ok()) return line->Fail(groups.status());
  pb::TransferLeadershipResponse response;
  const absl::Status done = session.Call((*groups)[0], &Session::Admin::Stub::TransferLeadership,
                                         pb::TransferLeadershipRequest(), &response);
  if (!done.ok()) return line->Fail(done);
  Report report({"Broker", "Result"});
  report.AddRow({(*groups)[0].broker_name, std::string("handed over")});
  line->Print(report);
}

// All that has expired, part by part.
absl::Status ExpireAll(Session* session, const GroupPlace& group, pb::ExpireMessagesResponse* all) {
  for (bool first = true; first || all->more(); first = false) {
    pb::ExpireMessagesResponse part;
    const absl::Status done = session->Call(group, &Session::Admin::Stub::ExpireMessages,
                                            pb::ExpireMessagesRequest(), &part);
    if (!done.ok()) return done;
    if (!first) {
      part.set_previous_min_position(all->previous_min_position());
      part.set_queues_moved(part.queues_moved() + all->queues_moved());
    }
    *all = part;
  }
  return absl::OkStatus();
}

std::string NameOf(const GroupPlace& group, int32_t id) {
  for (const MemberPlace& member : group.members) {
    if (member.id == id) return member.name;
  }
  return id == 0 ? "" : StrCat("member ", id);
}

void DeleteExpired(CommandLine* line, const std::string& cluster, const std::string& broker) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(cluster, broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Min Position", "Before", "Queue Moves", "Held Up By", "Reserved Hours",
                 "Max Bytes"});
  for (const GroupPlace& group : *groups) {
    pb::ExpireMessagesResponse done;
    const absl::Status status = ExpireAll(&session, group, &done);
    if (!status.ok()) {
      line->Fail(Annotate(status, group.broker_name),
                 report.rows() > 0 ? kExitPartial : kExitFailed);
      continue;
    }
    report.AddRow({group.broker_name, done.min_position(), done.previous_min_position(),
                   done.queues_moved(), NameOf(group, done.held_up_by()),
                   done.reserved_ms() / 3'600'000, done.max_bytes()});
  }
  if (report.rows() == 0) return;
  line->Print(report);
  if (line->exit_code == kExitFailed) line->exit_code = kExitPartial;
}

void DumpState(CommandLine* line, const std::string& broker) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto addresses = client::ParseAddresses(broker, 8081);
  if (!addresses.ok()) return line->Fail(addresses.status(), kExitUsage);
  auto stub = Session::Admin::NewStub(session.channels()->Get((*addresses)[0]));
  grpc::ClientContext context;
  client::PrepareContext(&context, "mqadmin", line->timeout_ms);
  auto stream = stub->DumpState(&context, pb::DumpStateRequest());
  pb::DumpStateResponse piece;
  while (stream->Read(&piece)) std::cout << piece.text();
  const absl::Status end = client::FromGrpc(stream->Finish(), (*addresses)[0]);
  if (!end.ok()) line->Fail(end);
}

}  // namespace

void AddClusterCommands(CLI::App* app, CommandLine* line) {
  line->AddCommand(app, "clusterList", "All members of all broker groups, and who leads",
                   "clusterList -n host:9876")
      ->callback([line] { ClusterList(line); });

  static std::string broker;
  static std::string target;
  static std::vector<std::string> brokers;

  CLI::App* status =
      line->AddCommand(app, "brokerStatus", "One member in detail", "brokerStatus -b host:8081");
  status->add_option("-b,--brokerAddr", broker, "the member's address")->required();
  status->callback([line] { BrokerStatus(line, broker); });

  CLI::App* bootstrap = line->AddCommand(
      app, "bootstrap", "Starts a new group: gives each formatted member the same first entry",
      "bootstrap -b host0:8081 -b host1:8081 -b host2:8081");
  bootstrap->add_option("-b,--brokerAddr", brokers, "every member's address")->required();
  bootstrap->callback([line] { Bootstrap(line, brokers); });

  CLI::App* transfer = line->AddCommand(app, "transferLeader", "Hands leadership to a member",
                                        "transferLeader -b host:8081 -m n1");
  transfer->add_option("-b,--brokerAddr", broker, "a member of the group");
  transfer->add_option("-m,--member", target, "the member that shall lead, by name")->required();
  transfer->callback([line] { TransferLeader(line, broker, target); });

  CLI::App* step_down = line->AddCommand(
      app, "stepDown", "Makes the leader hand over to the most advanced other member",
      "stepDown -b host:8081");
  step_down->add_option("-b,--brokerAddr", broker, "a member of the group")->required();
  step_down->callback([line] { StepDown(line, broker); });

  static std::string cluster;
  CLI::App* expire = line->AddCommand(app, "deleteExpiredCommitLog",
                                      "Lets expire now, at any hour, what is older than "
                                      "fileReservedTime or beyond commitLogMaxBytes",
                                      "deleteExpiredCommitLog -c DefaultCluster");
  expire->add_option("-c,--cluster,--clusterName", cluster, "all broker groups of this cluster");
  expire->add_option("-b,--brokerAddr", broker, "the group of the broker at this address");
  expire->callback([line] { DeleteExpired(line, cluster, broker); });

  CLI::App* dump = line->AddCommand(
      app, "dumpState", "A member's replicated state as text, equal on members at the same index",
      "dumpState -b host:8081");
  dump->add_option("-b,--brokerAddr", broker, "the member's address")->required();
  dump->callback([line] { DumpState(line, broker); });
}

}  // namespace raftmq::mqadmin
