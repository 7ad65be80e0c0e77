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

 private:
  const MemberAddressesOptions options_;
  HostNames* const hosts_;
};

}  // namespace raftmq::broker
