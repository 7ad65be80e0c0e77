// OpenReplica: the one place where a member's data directory becomes a replica. Used by the
// broker's main, by tests and by the simulator; all that touches the world comes in through
// ReplicaDeps.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "dledger/replica.h"

namespace raftmq::dledger {

// Locks `dir`, unless the caller did, reads who it is, recovers its log. The replica does nothing
// before Start.
//
// FailedPrecondition: not formatted, used by another process, or a group of one whose log is
// damaged (the text says what to do). DataLoss: a file that cannot be replaced by the group is
// unreadable. A damaged log of a member of a larger group is set aside and repaired by its leader:
// until then the member neither votes nor leads.
absl::StatusOr<std::unique_ptr<Replica>> OpenReplica(const std::string& dir, ReplicaOptions options,
                                                     ReplicaDeps deps);

// For local clusters, --standalone and tests: formats `dir` if it is empty or missing and
// bootstraps it as the only member of its group, "n0" at `peer_address`. A directory that is ready
// is left as it is.
struct StandaloneDirectory {
  std::string cluster = "DefaultCluster";
  std::string group = "broker-a";
  std::string peer_address = "127.0.0.1:0";
  int64_t segment_size = 64 << 20;
};
absl::Status PrepareStandalone(FileSystem* fs, const std::string& dir,
                               const StandaloneDirectory& standalone, Random& random);

// The same for a whole group whose directories are on this machine: `dirs[i]` becomes member i + 1,
// "n<i>" at `peer_addresses[i]`. FailedPrecondition if only some are ready.
struct LocalMember {
  std::string dir;
  std::string peer_address;
};
absl::Status PrepareLocalGroup(FileSystem* fs, const std::string& cluster, const std::string& group,
                               int64_t segment_size, const std::vector<LocalMember>& members,
                               Random& random);

}  // namespace raftmq::dledger
