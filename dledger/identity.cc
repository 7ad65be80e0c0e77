#include "dledger/identity.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/strings.h"
#include "dledger/checked_file.h"
#include "dledger/frame.h"
#include "dledger/hard_state_file.h"
#include "dledger/inline_runner.h"
#include "dledger/log_files.h"
#include "dledger/segmented_log.h"

namespace raftmq::dledger {
namespace {

constexpr std::string_view kFirstGeneration = "gen-00000001";
constexpr int64_t kSegmentGranularity = 4096;

absl::Status CheckText(std::string_view what, std::string_view text) {
  if (!text.empty() && text.find('\n') == std::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(what, ": expected a text of one line, found \"", text, "\""));
}

absl::Status ValidateIdentity(const Identity& identity) {
  RAFTMQ_RETURN_IF_ERROR(CheckText("cluster", identity.cluster));
  RAFTMQ_RETURN_IF_ERROR(CheckText("group", identity.group));
  if (identity.member < MemberId(1)) {
    return absl::InvalidArgumentError(
        StrCat("member id: expected 1 or more, found ", identity.member));
  }
  if (identity.incarnation == Incarnation(0)) {
    return absl::InvalidArgumentError("incarnation: expected a random number, found 0");
  }
  if (identity.segment_size < kMinSegmentSize || identity.segment_size > kMaxSegmentSize ||
      identity.segment_size % kSegmentGranularity != 0) {
    return absl::InvalidArgumentError(StrCat("segment size: expected a multiple of ",
                                             kSegmentGranularity, " from ", kMinSegmentSize, " to ",
                                             kMaxSegmentSize, ", found ", identity.segment_size));
  }
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  const size_t slash = end == std::string::npos ? end : path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Creates a directory whose name survives a crash, its missing parents' names too.
absl::Status CreateDirsDurably(FileSystem* fs, const std::string& dir) {
  std::vector<std::string> changed;
  std::string path = dir;
  for (;;) {
    RAFTMQ_ASSIGN_OR_RETURN(const bool exists, fs->Exists(path));
    if (exists) break;
    std::string parent = ParentOf(path);
    if (parent == path) break;
    changed.push_back(parent);
    path = std::move(parent);
  }
  RAFTMQ_RETURN_IF_ERROR(fs->CreateDirs(dir));
  for (const std::string& parent : changed) RAFTMQ_RETURN_IF_ERROR(fs->SyncDir(parent));
  return absl::OkStatus();
}

absl::Status WriteIdentity(FileSystem* fs, const std::string& dir, const Identity& identity) {
  CheckedFields fields;
  fields.SetInt("format", identity.format_version);
  fields.Set("cluster", identity.cluster);
  fields.Set("group", identity.group);
  fields.SetInt("member", identity.member.value());
  fields.Set("incarnation", StrCat(identity.incarnation));
  fields.SetInt("segment_size", identity.segment_size);
  return WriteCheckedFile(fs, dir + "/identity", fields);
}

absl::StatusOr<GroupConfiguration> ParseFirstFrame(std::string_view frame,
                                                   const FrameLimits& limits) {
  RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header, ParseFrame(frame, limits));
  if (header.type != FrameType::kConfiguration || header.index != LogIndex(1)) {
    return absl::NotFoundError(StrCat("the log does not begin with a configuration but with ",
                                      raft::ToString(MetaOf(header))));
  }
  return ParseConfiguration(frame.substr(kFrameHeaderSize, static_cast<size_t>(header.body_size)));
}

// Appends the first entry to an empty log and waits until it is durable.
absl::Status WriteFirstEntry(SegmentedLog* log, std::string frame, InlineRunner* runner) {
  RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header,
                          ParseFrame(frame, FrameLimits::OfSegments(log->segment_size())));
  RAFTMQ_RETURN_IF_ERROR(log->Append(MetaOf(header), Bytes(std::move(frame))));
  absl::Status stopped = absl::InternalError("the log's writer did not run");
  log->Stop([&](absl::Status status) { stopped = std::move(status); });
  runner->RunAll();
  return stopped;
}

// From the log's first entry. NotFound: the log was never written, or starts later.
absl::StatusOr<GroupConfiguration> ReadLoggedConfiguration(FileSystem* fs, const std::string& dir) {
  RAFTMQ_ASSIGN_OR_RETURN(const Identity identity, ReadIdentity(fs, dir));
  RAFTMQ_ASSIGN_OR_RETURN(const DirectoryLayout layout, ReadLayout(fs, dir));
  RAFTMQ_ASSIGN_OR_RETURN(const LogStart start, ReadLogStart(fs, layout.generation));
  absl::StatusOr<std::optional<LogPosition>> roll = ReadRoll(fs, layout.generation);
  // An unreadable one is damage that recovery deals with; the first segment may still say who is in
  // the group.
  const absl::Status unreadable = roll.status();
  if (absl::IsDataLoss(unreadable)) roll = LogPosition(0);
  RAFTMQ_RETURN_IF_ERROR(roll.status());
  const std::optional<LogPosition> latest = *roll;
  if (start.index > LogIndex(0) || !latest.has_value()) {
    return absl::NotFoundError(StrCat(dir, ": no first configuration in the log"));
  }
  const std::string path = SegmentPath(layout.generation, LogPosition(0));
  const absl::StatusOr<std::unique_ptr<File>> opened = fs->Open(path, OpenMode::kRead);
  if (absl::IsNotFound(opened.status())) {
    return absl::DataLossError(
        StrCat(path, " is missing; the log has been written up to segment ", SegmentName(*latest)));
  }
  if (!opened.ok()) return opened.status();
  const File& segment = **opened;
  std::string frame;
  const FrameLimits limits = FrameLimits::OfSegments(identity.segment_size);
  RAFTMQ_RETURN_IF_ERROR(segment.PRead(0, kFrameHeaderSize, &frame));
  if (const auto header = ParseFrameHeader(frame, limits); header.ok()) {
    RAFTMQ_RETURN_IF_ERROR(segment.PRead(0, static_cast<size_t>(header->size), &frame));
  }
  absl::StatusOr<GroupConfiguration> configuration = ParseFirstFrame(frame, limits);
  if (configuration.ok() || absl::IsNotFound(configuration.status())) return configuration;
  // Not intact: never acknowledged, if nothing was known durable.
  RAFTMQ_ASSIGN_OR_RETURN(const std::optional<DurableMark> mark,
                          ReadMark(segment, identity.segment_size));
  if (!unreadable.ok()) return unreadable;
  if (*latest == LogPosition(0) && (!mark.has_value() || mark->position == LogPosition(0))) {
    return absl::NotFoundError(StrCat(dir, ": the log is empty"));
  }
  if (!absl::IsOutOfRange(configuration.status())) return configuration;
  return absl::DataLossError(StrCat(path, ": ", Message(configuration.status())));
}

}  // namespace

absl::Status FormatDirectory(FileSystem* fs, const std::string& dir, const Identity& identity) {
  RAFTMQ_RETURN_IF_ERROR(ValidateIdentity(identity));
  RAFTMQ_RETURN_IF_ERROR(CreateDirsDurably(fs, dir));
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs->List(dir));
  for (const std::string& name : names) {
    if (name == "lock" || name == "lost+found") continue;
    return absl::FailedPreconditionError(
        StrCat(dir, ": expected an empty directory, found ", name, " in it; not formatted"));
  }
  const std::string generation = StrCat(dir, "/", kFirstGeneration);
  RAFTMQ_RETURN_IF_ERROR(CreateLog(fs, generation, LogStart{}));
  RAFTMQ_RETURN_IF_ERROR(fs->SyncDir(dir));
  CheckedFields current;
  current.Set("generation", kFirstGeneration);
  RAFTMQ_RETURN_IF_ERROR(WriteCheckedFile(fs, dir + "/current", current));
  // Last: a directory with an identity is complete.
  return WriteIdentity(fs, dir, identity);
}

absl::StatusOr<Identity> ReadIdentity(FileSystem* fs, const std::string& dir) {
  const absl::StatusOr<CheckedFields> fields = ReadCheckedFile(fs, dir + "/identity");
  if (absl::IsNotFound(fields.status())) {
    return absl::FailedPreconditionError(
        StrCat(dir, ": not formatted (no identity file in it); run `mqbroker format` first"));
  }
  if (!fields.ok()) return fields.status();
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t format, fields->GetInt("format"));
  if (format != kDirectoryFormatVersion) {
    return absl::FailedPreconditionError(StrCat(dir, ": expected format version ",
                                                kDirectoryFormatVersion, ", found ", format,
                                                "; another version of the broker made it"));
  }
  Identity identity;
  RAFTMQ_ASSIGN_OR_RETURN(identity.cluster, fields->Get("cluster"));
  RAFTMQ_ASSIGN_OR_RETURN(identity.group, fields->Get("group"));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t member, fields->GetInt("member"));
  RAFTMQ_ASSIGN_OR_RETURN(const uint64_t incarnation, fields->GetUint("incarnation"));
  RAFTMQ_ASSIGN_OR_RETURN(identity.segment_size, fields->GetInt("segment_size"));
  identity.member = MemberId(static_cast<int32_t>(member));
  identity.incarnation = Incarnation(incarnation);
  if (const absl::Status valid = ValidateIdentity(identity); !valid.ok()) {
    return absl::DataLossError(StrCat(dir, "/identity: ", Message(valid)));
  }
  return identity;
}

absl::StatusOr<std::unique_ptr<DirectoryLock>> LockDirectory(FileSystem* fs,
                                                             const std::string& dir) {
  return fs->Lock(dir + "/lock");
}

absl::StatusOr<DirectoryLayout> ReadLayout(FileSystem* fs, const std::string& dir) {
  const absl::StatusOr<CheckedFields> fields = ReadCheckedFile(fs, dir + "/current");
  if (absl::IsNotFound(fields.status())) {
    return absl::FailedPreconditionError(StrCat(dir, ": not formatted (no file `current`)"));
  }
  if (!fields.ok()) return fields.status();
  RAFTMQ_ASSIGN_OR_RETURN(const std::string generation, fields->Get("generation"));
  DirectoryLayout layout{dir, StrCat(dir, "/", generation)};
  RAFTMQ_ASSIGN_OR_RETURN(const bool exists, fs->Exists(layout.generation));
  if (!exists) {
    return absl::DataLossError(StrCat(dir, "/current names ", generation, ", which is not there"));
  }
  return layout;
}

absl::Status BootstrapMember(FileSystem* fs, const std::string& dir,
                             const GroupConfiguration& configuration) {
  RAFTMQ_RETURN_IF_ERROR(ValidateConfiguration(configuration));
  RAFTMQ_ASSIGN_OR_RETURN(const Identity identity, ReadIdentity(fs, dir));
  RAFTMQ_ASSIGN_OR_RETURN(const DirectoryLayout layout, ReadLayout(fs, dir));
  const ConfiguredMember* self = configuration.Find(identity.member);
  if (self == nullptr || self->incarnation != identity.incarnation) {
    return absl::FailedPreconditionError(
        StrCat(dir, ": expected a configuration with member ", identity.member, ", incarnation ",
               identity.incarnation, ", found ", configuration.ToString()));
  }
  std::string frame(kFrameHeaderSize, '\0');
  frame += EncodeConfiguration(configuration);
  if (static_cast<int64_t>(frame.size()) > MaxFrameSize(identity.segment_size)) {
    return absl::InvalidArgumentError(StrCat("the configuration takes ", frame.size(),
                                             " bytes; a frame of this log has at most ",
                                             MaxFrameSize(identity.segment_size)));
  }
  SealFrame(LogIndex(1), Term(1), LogPosition(0), FrameType::kConfiguration, 0, frame);

  // A log that lost everything is empty too, but not new.
  const absl::StatusOr<GroupConfiguration> copy = ReadConfigurationCopy(fs, dir);
  if (!copy.ok() && !absl::IsNotFound(copy.status())) return copy.status();
  if (copy.ok() && *copy != configuration) {
    return absl::FailedPreconditionError(StrCat(dir, ": expected ", configuration.ToString(),
                                                ", but the member was bootstrapped with ",
                                                copy->ToString()));
  }
  InlineRunner runner;
  RAFTMQ_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentedLog> log,
                          SegmentedLog::Open({.fs = fs,
                                              .dir = layout.generation,
                                              .segment_size = identity.segment_size,
                                              .replica = &runner,
                                              .writer = &runner,
                                              .background = &runner,
                                              .damaged_flag = layout.damaged(),
                                              .reserve_bytes = 0},
                                             nullptr));
  if (log->StartIndex() > LogIndex(0)) {
    return absl::FailedPreconditionError(
        StrCat(dir, ": its log starts after entry ", log->StartIndex(),
               ": it belongs to a running group and cannot be bootstrapped"));
  }
  if (log->LastIndex() > LogIndex(0)) {
    RAFTMQ_ASSIGN_OR_RETURN(const raft::EntryMeta first, log->EntryAt(LogIndex(1)));
    RAFTMQ_ASSIGN_OR_RETURN(const Bytes found, log->ReadSlice(std::span(&first, 1)));
    if (found.view() == frame) return WriteConfigurationCopy(fs, dir, configuration);
    const auto other =
        ParseFirstFrame(found.view(), FrameLimits::OfSegments(identity.segment_size));
    return absl::FailedPreconditionError(
        StrCat(dir, ": expected an empty log or ", configuration.ToString(), ", found ",
               other.ok() ? other->ToString() : std::string(Message(other.status()))));
  }
  // A log whose last entry has term 1 belongs to a member that has seen term 1.
  HardStateFile hard_state(fs, layout.hard_state());
  RAFTMQ_ASSIGN_OR_RETURN(raft::HardState state, hard_state.Read());
  if (state.term < Term(1)) {
    RAFTMQ_RETURN_IF_ERROR(hard_state.Write({.term = Term(1)}));
  }
  RAFTMQ_RETURN_IF_ERROR(WriteFirstEntry(log.get(), std::move(frame), &runner));
  return WriteConfigurationCopy(fs, dir, configuration);
}

absl::StatusOr<GroupConfiguration> ReadBootstrapConfiguration(FileSystem* fs,
                                                              const std::string& dir) {
  absl::StatusOr<GroupConfiguration> logged = ReadLoggedConfiguration(fs, dir);
  if (logged.ok()) return logged;
  if (!absl::IsNotFound(logged.status()) && !absl::IsDataLoss(logged.status())) return logged;
  absl::StatusOr<GroupConfiguration> copy = ReadConfigurationCopy(fs, dir);
  if (copy.ok() || absl::IsNotFound(copy.status())) return copy.ok() ? copy : logged;
  // The copy is there, so the member was bootstrapped: an empty log is no new one.
  return copy.status();
}

absl::Status WriteConfigurationCopy(FileSystem* fs, const std::string& dir,
                                    const GroupConfiguration& configuration) {
  CheckedFields fields;
  fields.Set("entry", absl::BytesToHexString(ToAbsl(EncodeConfiguration(configuration))));
  std::string text = configuration.ToString();
  std::replace(text.begin(), text.end(), '\n', ' ');
  fields.Set("text", text);
  return WriteCheckedFile(fs, dir + "/configuration", fields);
}

absl::StatusOr<GroupConfiguration> ReadConfigurationCopy(FileSystem* fs, const std::string& dir) {
  RAFTMQ_ASSIGN_OR_RETURN(const CheckedFields fields, ReadCheckedFile(fs, dir + "/configuration"));
  RAFTMQ_ASSIGN_OR_RETURN(const std::string entry, fields.Get("entry"));
  absl::StatusOr<GroupConfiguration> configuration =
      ParseConfiguration(absl::HexStringToBytes(entry));
  return configuration.ok() ? std::move(configuration)
                            : Annotate(configuration.status(), dir + "/configuration");
}

}  // namespace raftmq::dledger
