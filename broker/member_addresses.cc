#include "broker/member_addresses.h"

#include <algorithm>
#include <utility>

namespace raftmq::broker {

MemberAddresses::MemberAddresses(MemberAddressesOptions options, HostNames* hosts)
    : options_(std::move(options)), hosts_(hosts) {}

RouteView MemberAddresses::View(const dledger::LedgerStatus& status,
                                const std::vector<MemberId>& serving) {
  RouteView view;
  view.broker_name = options_.broker_name;
  if (const absl::StatusOr<HostPort> dns = ParseHostPort(options_.group_dns_name); dns.ok()) {
    view.dns_host = dns->host;
    view.dns_port = dns->port;
  }
  for (const dledger::Member& member : status.members) {
    const bool self = member.id == options_.self;
    if (std::find(serving.begin(), serving.end(), member.id) == serving.end()) continue;
    const absl::StatusOr<HostPort> address =
        ParseHostPort(self ? options_.own_address : member.client_address);
    if (!address.ok()) continue;
    const ResolvedHost host = hosts_->Lookup(address->host);
    view.members.push_back(RouteMember{member.id, member.name, host.host, address->port,
                                       host.scheme, member.id == status.leader});
  }
  OrderMembers(options_.preferred, &view.members);
  return view;
}

std::string MemberAddresses::FollowerFor(const dledger::LedgerStatus& status,
                                         const std::vector<MemberId>& serving,
                                         QueueId queue) const {
  if (status.leader != options_.self) return options_.own_address;
  std::vector<const dledger::Member*> followers;
  for (const dledger::Member& member : status.members) {
    if (member.id == options_.self || member.client_address.empty()) continue;
    if (std::find(serving.begin(), serving.end(), member.id) == serving.end()) continue;
    followers.push_back(&member);
  }
  if (followers.empty()) return "";
  return followers[static_cast<size_t>(queue.value()) % followers.size()]->client_address;
}

}  // namespace raftmq::broker
