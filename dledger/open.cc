#include "dledger/open.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "dledger/group_configuration.h"
#include "dledger/identity.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

absl::Status DamagedAlone(const std::string& dir, std::string_view damage) {
  return absl::FailedPreconditionError(
      StrCat(dir, ": the log is damaged and no other member is known to repair it from: ", damage,
             ". Restore the directory from a backup, or, if losing what follows the damage is "
             "acceptable, run `mqbroker repair --accept-loss-after-damage` with the member's "
             "configuration"));
}

absl::Status CheckStateMachine(const StateMachine& state_machine, const SegmentedLog& log) {
  const LogIndex applied = state_machine.NeedsEntriesAfter();
  if (applied >= log.StartIndex()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the state machine has applied entries up to ", applied,
             ", but the log starts after entry ", log.StartIndex(),
             ": what lies between was dropped by retention, so that the state (the folder `state`) "
             "cannot be made from the log. Restore it from a backup of this member, or give the "
             "member an empty directory and let it join as a new member"));
}

// Who belongs to the group decides what may be done about a damaged log. Nobody is found: the
// member was never bootstrapped.
absl::StatusOr<GroupConfiguration> FindConfiguration(FileSystem* fs, const std::string& dir) {
  absl::StatusOr<GroupConfiguration> found = ReadBootstrapConfiguration(fs, dir);
  if (absl::IsNotFound(found.status())) {
    LOG(WARNING) << dir << ": the member has no configuration: it neither votes nor leads until "
                 << "its group is bootstrapped (mqadmin bootstrap) or it is added to one";
    return GroupConfiguration();
  }
  if (absl::IsDataLoss(found.status())) {
    return absl::FailedPreconditionError(
        StrCat(dir,
               ": the log is damaged, and so is the copy of the group's configuration: who could "
               "repair it is not known: ",
               Message(found.status()), ". Restore the directory from a backup"));
  }
  return found;
}

// Directories that were bootstrapped before the copy was kept, and copies that were spoilt.
absl::Status KeepConfigurationCopy(FileSystem* fs, const std::string& dir,
                                   const GroupConfiguration& configuration) {
  if (configuration.members.empty()) return absl::OkStatus();
  const absl::StatusOr<GroupConfiguration> copy = ReadConfigurationCopy(fs, dir);
  if (copy.ok() && *copy == configuration) return absl::OkStatus();
  return WriteConfigurationCopy(fs, dir, configuration);
}

// Opens the log and settles whether it is damaged, now or since an earlier start.
absl::Status OpenLog(const std::string& dir, SegmentedLog::Options log_options,
                     Replica::Storage* storage) {
  // A member that nobody knows has nothing to be repaired from either.
  const bool alone = storage->configuration.members.size() <= 1;
  RAFTMQ_ASSIGN_OR_RETURN(const std::string earlier, storage->damaged_flag.Read());
  if (alone && !earlier.empty()) return DamagedAlone(dir, earlier);
  log_options.on_damage = alone ? DamageAction::kStop : DamageAction::kQuarantine;
  RecoveryReport report;
  auto log = SegmentedLog::Open(std::move(log_options), &report);
  if (log.ok() && !report.damaged && earlier.empty() && !storage->configuration.members.empty() &&
      (*log)->LastIndex() == LogIndex(0)) {
    report.damaged = true;
    report.damage = StrCat(dir, ": the log is empty, but the member was bootstrapped");
  }
  if (report.damaged) {
    // Open has set the flag already, but does not know the term. What an earlier flag says is
    // replaced: a leader that repaired that did not repair this.
    RAFTMQ_RETURN_IF_ERROR(storage->damaged_flag.Set(storage->hard_state.term, report.damage));
    if (alone) return DamagedAlone(dir, report.damage);
    LOG(ERROR) << dir << ": the log is damaged and will be repaired by the group's leader: "
               << report.damage;
  }
  RAFTMQ_RETURN_IF_ERROR(log.status());
  storage->damaged = report.damaged || !earlier.empty();
  storage->damaged_term = report.damaged ? storage->hard_state.term : DamagedFlag::FoundIn(earlier);
  storage->damage = report.damaged ? report.damage : earlier;
  storage->log = std::move(log).value();
  LOG_IF(WARNING, report.torn_tail_bytes > 0)
      << dir << ": " << report.torn_tail_bytes
      << " bytes at the log's end were cleared: a write that "
      << "was never acknowledged, or an unfinished truncation";
  return absl::OkStatus();
}

// A sealed segment is trusted from its index. Where the state machine goes on is read from it: if
// that shows rot, everything is read, as after rot that was found while the member ran.
absl::Status OpenReadableLog(const std::string& dir, const SegmentedLog::Options& log_options,
                             const StateMachine& state_machine, Replica::Storage* storage) {
  RAFTMQ_RETURN_IF_ERROR(OpenLog(dir, log_options, storage));
  RAFTMQ_RETURN_IF_ERROR(CheckStateMachine(state_machine, *storage->log));
  const absl::Status readable =
      storage->log->EndAt(AppliedAtStart(state_machine, *storage->log)).status();
  if (!absl::IsDataLoss(readable)) return readable;
  storage->log.reset();
  RAFTMQ_RETURN_IF_ERROR(storage->damaged_flag.Set(storage->hard_state.term, Message(readable)));
  RAFTMQ_RETURN_IF_ERROR(OpenLog(dir, log_options, storage));
  return CheckStateMachine(state_machine, *storage->log);
}

Incarnation DrawIncarnation(Random& random) { return Incarnation(random.Next() | 1); }

absl::StatusOr<bool> IsEmpty(FileSystem* fs, const std::string& dir) {
  RAFTMQ_ASSIGN_OR_RETURN(const bool exists, fs->Exists(dir));
  if (!exists) return true;
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs->List(dir));
  return names.empty();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Replica>> OpenReplica(const std::string& dir, ReplicaOptions options,
                                                     ReplicaDeps deps) {
  FileSystem* const fs = deps.fs;
  RAFTMQ_ASSIGN_OR_RETURN(Identity identity, ReadIdentity(fs, dir));
  std::shared_ptr<DirectoryLock> lock = std::move(deps.lock);
  if (lock == nullptr) {
    RAFTMQ_ASSIGN_OR_RETURN(lock, LockDirectory(fs, dir));
  }
  RAFTMQ_ASSIGN_OR_RETURN(const DirectoryLayout layout, ReadLayout(fs, dir));
  RAFTMQ_ASSIGN_OR_RETURN(GroupConfiguration configuration, FindConfiguration(fs, dir));

  Replica::Storage storage{std::move(identity),
                           std::move(configuration),
                           std::move(lock),
                           nullptr,
                           HardStateFile(fs, layout.hard_state()),
                           DamagedFlag(fs, layout.damaged()),
                           {},
                           false,
                           Term(0),
                           ""};
  RAFTMQ_ASSIGN_OR_RETURN(storage.hard_state, storage.hard_state_file.Read());

  SegmentedLog::Options log_options = options.log;
  log_options.fs = fs;
  log_options.dir = layout.generation;
  log_options.damaged_flag = layout.damaged();
  log_options.segment_size = storage.identity.segment_size;
  log_options.replica = deps.replica;
  log_options.writer = deps.writer;
  log_options.background = deps.background;
  RAFTMQ_RETURN_IF_ERROR(OpenReadableLog(dir, log_options, *deps.state_machine, &storage));
  RAFTMQ_RETURN_IF_ERROR(KeepConfigurationCopy(fs, dir, storage.configuration));
  if (storage.hard_state.term < storage.log->LastTerm()) {
    return absl::DataLossError(StrCat(
        layout.hard_state(), ": holds term ", storage.hard_state.term,
        ", but the log's last entry is of term ", storage.log->LastTerm(),
        ": the file is older than the log. The member could vote twice; give it an empty directory "
        "and let it join as a new member"));
  }
  return std::make_unique<Replica>(std::move(options), std::move(deps), std::move(storage));
}

absl::Status PrepareLocalGroup(FileSystem* fs, const std::string& cluster, const std::string& group,
                               int64_t segment_size, const std::vector<LocalMember>& members,
                               Random& random) {
  GroupConfiguration configuration;
  for (size_t i = 0; i < members.size(); ++i) {
    const MemberId id(static_cast<int32_t>(i) + 1);
    RAFTMQ_ASSIGN_OR_RETURN(const bool empty, IsEmpty(fs, members[i].dir));
    if (empty) {
      Identity identity;
      identity.cluster = cluster;
      identity.group = group;
      identity.member = id;
      identity.incarnation = DrawIncarnation(random);
      identity.segment_size = segment_size;
      RAFTMQ_RETURN_IF_ERROR(FormatDirectory(fs, members[i].dir, identity));
    }
    RAFTMQ_ASSIGN_OR_RETURN(const Identity identity, ReadIdentity(fs, members[i].dir));
    if (identity.group != group || identity.member != id) {
      return absl::FailedPreconditionError(StrCat(members[i].dir, ": belongs to member ",
                                                  identity.member, " of group ", identity.group,
                                                  ", expected member ", id, " of group ", group));
    }
    ConfiguredMember member;
    member.id = id;
    member.name = StrCat("n", i);
    member.peer_address = members[i].peer_address;
    member.incarnation = identity.incarnation;
    configuration.members.push_back(std::move(member));
  }
  for (const LocalMember& member : members) {
    RAFTMQ_ASSIGN_OR_RETURN(const auto lock, LockDirectory(fs, member.dir));
    RAFTMQ_RETURN_IF_ERROR(BootstrapMember(fs, member.dir, configuration));
  }
  return absl::OkStatus();
}

absl::Status PrepareStandalone(FileSystem* fs, const std::string& dir,
                               const StandaloneDirectory& standalone, Random& random) {
  RAFTMQ_ASSIGN_OR_RETURN(const bool empty, IsEmpty(fs, dir));
  if (!empty && ReadBootstrapConfiguration(fs, dir).ok()) return absl::OkStatus();
  return PrepareLocalGroup(fs, standalone.cluster, standalone.group, standalone.segment_size,
                           {{dir, standalone.peer_address}}, random);
}

}  // namespace raftmq::dledger
