// MemberAddresses: where the members of the group serve clients, as numeric addresses.
//
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "broker/host_names.h"
#include "broker/routes.h"
#include "dledger/ledger.h"

namespace raftmq::broker {

struct MemberAddressesOptions {
  std::string broker_name;
  MemberId self;
  std::string own_address;     // host:port that clients are told of this member
  MemberId preferred;          // listed first; kNoMember: none
  std::string group_dns_name;  // host:port, "": none
};

class MemberAddresses {
 public:
  // `hosts` outlives it.
  MemberAddresses(MemberAddressesOptions options, HostNames* hosts);

  // Those of `serving` whose client address is known.
  RouteView View(const dledger::LedgerStatus& status, const std::vector<MemberId>& serving);

  // Where a queue may be read without the leader, host:port as members tell NameServers: this
  // member, if it doesn't lead, else one of `serving`; queues take turns. "": only the leader
  // serves.
  std::string FollowerFor(const dledger::LedgerStatus& status, const std::vector<MemberId>& serving,
                          QueueId queue) const;

 private:
  const MemberAddressesOptions options_;
  HostNames* const hosts_;
};

}  // namespace raftmq::broker
