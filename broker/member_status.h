// A member's view of its group as raftmq.v1.Admin tells it, and compares it.
//
// Pure; any thread.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "dledger/ledger.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::broker {

inline constexpr char kVersion[] = "0.1.0";

raftmq::v1::GetMemberStatusResponse ToMemberStatus(const raftmq::v1::MemberIdentity& identity,
                                                   const dledger::LedgerStatus& status,
                                                   int64_t now_ms);

// OK if a member that was bootstrapped long ago holds what `request` asks for: the same group and
// members, each with its name, peer address and incarnation. FailedPrecondition names the first
// difference.
absl::Status CheckAlreadyBootstrapped(const raftmq::v1::BootstrapRequest& request,
                                      const raftmq::v1::MemberIdentity& identity,
                                      const dledger::LedgerStatus& status);

}  // namespace raftmq::broker
