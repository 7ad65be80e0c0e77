// A member's data directory: what it is, and where things lie in it.
//
//   <store>/identity              written once, by FormatDirectory
//   <store>/lock                  held by the process that uses the directory
//   <store>/current               names the generation in use, so that installing a snapshot is
//                                 one rename
//   <store>/gen-00000001/         a generation: everything that a snapshot replaces
//       commitlog/<start>         segments, see segmented_log.h
//       log-start, roll           see segmented_log.h
//   <store>/hardstate, damaged    survive a snapshot: see hard_state_file.h
//   <store>/configuration         copy of the group's first configuration
//
// Any thread; but one process at a time (LockDirectory).
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "dledger/group_configuration.h"

namespace raftmq::dledger {

inline constexpr int32_t kDirectoryFormatVersion = 2;

struct Identity {
  int32_t format_version = kDirectoryFormatVersion;
  std::string cluster;  // brokerClusterName
  std::string group;    // dLegerGroup
  MemberId member;
  Incarnation incarnation;  // random, drawn by whoever formats
  int64_t segment_size = 0;

  bool operator==(const Identity&) const = default;
};

// Paths within a member's directory.
struct DirectoryLayout {
  std::string store;
  std::string generation;  // path of the generation in use

  std::string commitlog() const { return generation + "/commitlog"; }
  std::string hard_state() const { return store + "/hardstate"; }
  std::string damaged() const { return store + "/damaged"; }
  std::string configuration() const { return store + "/configuration"; }
};

// Makes `dir` (created if missing) a member's directory. FailedPrecondition if anything is in it
// (but a lock file and lost+found, which a mount point has);
// InvalidArgument if a field makes no sense. After a crash part way the directory is either
// unformatted, and must be emptied to be formatted again, or complete.
absl::Status FormatDirectory(FileSystem* fs, const std::string& dir, const Identity& identity);

// FailedPrecondition: not formatted, or a format version this binary does not know; DataLoss:
// unreadable.
absl::StatusOr<Identity> ReadIdentity(FileSystem* fs, const std::string& dir);

// Takes the directory for this process. FailedPrecondition: another holds it.
absl::StatusOr<std::unique_ptr<DirectoryLock>> LockDirectory(FileSystem* fs,
                                                             const std::string& dir);

// Follows `current`. FailedPrecondition: not formatted; DataLoss: it names what is not there.
absl::StatusOr<DirectoryLayout> ReadLayout(FileSystem* fs, const std::string& dir);

// Durably writes the group's first entry (index 1, term 1, the configuration) into the empty log of
// a formatted member; all members get identical bytes. OK if it is there already;
// FailedPrecondition if the log starts with anything else, or the configuration does not have this
// member with this incarnation. The caller holds the directory's lock and no log is open on it.
absl::Status BootstrapMember(FileSystem* fs, const std::string& dir,
                             const GroupConfiguration& configuration);

// The group's first configuration: from the log's first entry, or, if that is damaged or gone, from
// the copy that is kept beside the log. NotFound: formatted, but never bootstrapped; DataLoss:
// neither is readable.
absl::StatusOr<GroupConfiguration> ReadBootstrapConfiguration(FileSystem* fs,
                                                              const std::string& dir);

// Makes the copy beside the log say `configuration`, durably. It is written after the first entry
// is durable: where it is, the log was not empty.
absl::Status WriteConfigurationCopy(FileSystem* fs, const std::string& dir,
                                    const GroupConfiguration& configuration);

// NotFound: there is none; DataLoss: unreadable.
absl::StatusOr<GroupConfiguration> ReadConfigurationCopy(FileSystem* fs, const std::string& dir);

}  // namespace raftmq::dledger
