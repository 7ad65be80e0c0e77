#include "dledger/repair.h"

#include <memory>

#include "base/strings.h"
#include "dledger/hard_state_file.h"
#include "dledger/identity.h"
#include "dledger/inline_runner.h"
#include "dledger/log_files.h"
#include "dledger/segmented_log.h"

namespace raftmq::dledger {
namespace {

// Opens the log as a member of a larger group would, and closes it.
absl::StatusOr<RecoveryReport> CutAtDamage(FileSystem* fs, const DirectoryLayout& layout,
                                           int64_t segment_size, LogIndex* last_index) {
  InlineRunner runner;
  RecoveryReport report;
  RAFTMQ_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentedLog> log,
                          SegmentedLog::Open({.fs = fs,
                                              .dir = layout.generation,
                                              .segment_size = segment_size,
                                              .replica = &runner,
                                              .writer = &runner,
                                              .background = &runner,
                                              .on_damage = DamageAction::kQuarantine,
                                              .damaged_flag = layout.damaged(),
                                              .reserve_bytes = 0},
                                             &report));
  *last_index = log->LastIndex();
  absl::Status stopped = absl::InternalError("the log's writer did not run");
  log->Stop([&](absl::Status status) { stopped = std::move(status); });
  runner.RunAll();
  RAFTMQ_RETURN_IF_ERROR(stopped);
  return report;
}

}  // namespace

absl::StatusOr<RepairReport> AcceptLossAfterDamage(
    FileSystem* fs, const std::string& dir,
    const std::function<absl::Status(const std::string& generation)>& remove_derived) {
  RAFTMQ_ASSIGN_OR_RETURN(const Identity identity, ReadIdentity(fs, dir));
  RAFTMQ_ASSIGN_OR_RETURN(const std::unique_ptr<DirectoryLock> lock, LockDirectory(fs, dir));
  RAFTMQ_ASSIGN_OR_RETURN(const DirectoryLayout layout, ReadLayout(fs, dir));
  const absl::StatusOr<GroupConfiguration> configuration = ReadBootstrapConfiguration(fs, dir);
  if (!configuration.ok()) {
    return absl::FailedPreconditionError(
        StrCat(dir, ": the group's configuration is not known: ", Message(configuration.status())));
  }
  if (configuration->members.size() != 1) {
    return absl::FailedPreconditionError(
        StrCat(dir, ": expected a group of one, found ", configuration->ToString(),
               ": start the member, its group's leader repairs it"));
  }
  RAFTMQ_ASSIGN_OR_RETURN(const LogStart start, ReadLogStart(fs, layout.generation));
  if (start.index > LogIndex(0)) {
    return absl::FailedPreconditionError(
        StrCat(dir, ": the log starts after entry ", start.index,
               ": what is derived from the entries before could not be made again"));
  }
  DamagedFlag flag(fs, layout.damaged());
  RepairReport result;
  RAFTMQ_ASSIGN_OR_RETURN(result.damage, flag.Read());
  RAFTMQ_ASSIGN_OR_RETURN(const RecoveryReport found,
                          CutAtDamage(fs, layout, identity.segment_size, &result.last_index));
  if (found.damaged) result.damage = found.damage;
  if (result.last_index == LogIndex(0)) {
    if (!found.damaged) result.damage = "the log is empty, but the member was bootstrapped";
    RAFTMQ_RETURN_IF_ERROR(flag.Set(result.damage));
    RAFTMQ_RETURN_IF_ERROR(BootstrapMember(fs, dir, *configuration));
    result.last_index = LogIndex(1);
  }
  result.was_damaged = !result.damage.empty();
  if (!result.was_damaged) return result;
  RAFTMQ_RETURN_IF_ERROR(remove_derived(layout.generation));
  RAFTMQ_RETURN_IF_ERROR(flag.Clear());
  return result;
}

}  // namespace raftmq::dledger
