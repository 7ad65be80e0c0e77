// A member's data directory: made, checked and repaired by what the configuration says. Any thread,
// while no broker has it open.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "broker/broker_config.h"
#include "dledger/identity.h"
#include "dledger/repair.h"

namespace raftmq::broker {

// What the directory was formatted as. FailedPrecondition if that is another cluster, group or
// member than the configuration's.
absl::StatusOr<dledger::Identity> CheckedIdentity(const BrokerConfig& config, FileSystem* fs);

// `mqbroker format`: makes the configured data directory this member's. FailedPrecondition if
// anything is in it.
absl::Status FormatMember(const BrokerConfig& config, FileSystem* fs);

// `mqbroker repair --accept-loss-after-damage`: see dledger/repair.h. All that was derived from the
// log is removed and made again from what is left of it, at the next start.
absl::StatusOr<dledger::RepairReport> RepairMember(const BrokerConfig& config, FileSystem* fs);

// `--standalone`: formats and bootstraps the directory as a group of one, unless it is one already.
absl::Status PrepareStandaloneMember(const BrokerConfig& config, FileSystem* fs);

}  // namespace raftmq::broker
