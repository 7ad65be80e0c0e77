// Repair of a group of one whose log is damaged: what an operator does who has no backup and
// accepts that everything from the damage on is lost. Larger groups repair themselves.
//
// Blocking; before anything else uses the directory.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/ids.h"

namespace raftmq::dledger {

struct RepairReport {
  bool was_damaged = false;  // if not, nothing was changed
  std::string damage;        // what was found, now or earlier
  LogIndex last_index;       // the last entry that is left
};

// Cuts the log at its first bad frame, keeping what follows in quarantine/, lets
// `remove_derived(generation)` remove whatever was derived from the log and may know more than is
// left of it, and clears the damaged flag. May be repeated after a crash at any point.
//
// FailedPrecondition: in use; not formatted or bootstrapped; not a group of one; or the log does
// not begin with entry 1 any more, so that nothing can be derived from it again.
absl::StatusOr<RepairReport> AcceptLossAfterDamage(
    FileSystem* fs, const std::string& dir,
    const std::function<absl::Status(const std::string& generation)>& remove_derived);

}  // namespace raftmq::dledger
