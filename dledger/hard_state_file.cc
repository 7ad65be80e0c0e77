#include "dledger/hard_state_file.h"

#include <charconv>

#include "base/strings.h"
#include "dledger/checked_file.h"

namespace raftmq::dledger {
namespace {

constexpr std::string_view kTermMark = "found in term ";

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

absl::StatusOr<raft::HardState> HardStateFile::Read() const {
  // If the process was killed between the rename and the sync of the folder, what we are about to
  // read could still be undone by a power loss, after we have acted on it.
  RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(DirectoryOf(path_)));
  const absl::StatusOr<CheckedFields> fields = ReadCheckedFile(fs_, path_);
  if (absl::IsNotFound(fields.status())) return raft::HardState{};
  if (!fields.ok()) return fields.status();
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t term, fields->GetInt("term"));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t vote, fields->GetInt("vote"));
  if (term < 0 || Term(term) > raft::kMaxTerm || vote < 0 || vote > INT32_MAX) {
    return absl::DataLossError(StrCat(path_, ": term ", term, ", vote ", vote, " make no sense"));
  }
  return raft::HardState{Term(term), MemberId(static_cast<int32_t>(vote))};
}

absl::Status HardStateFile::Write(const raft::HardState& state) {
  if (!failure_.ok()) return failure_;
  CheckedFields fields;
  fields.SetInt("term", state.term.value());
  fields.SetInt("vote", state.vote.value());
  failure_ = Annotate(WriteCheckedFile(fs_, path_, fields), "writing term and vote");
  return failure_;
}

absl::StatusOr<std::string> DamagedFlag::Read() const {
  RAFTMQ_ASSIGN_OR_RETURN(const bool exists, fs_->Exists(path_));
  if (!exists) return std::string();
  const absl::StatusOr<CheckedFields> fields = ReadCheckedFile(fs_, path_);
  if (fields.ok()) {
    const absl::StatusOr<std::string> reason = fields->Get("reason");
    if (reason.ok() && !reason->empty()) return *reason;
  } else if (!absl::IsDataLoss(fields.status())) {
    return fields.status();
  }
  return StrCat("the flag ", path_, " is there but unreadable");
}

absl::Status DamagedFlag::Set(std::string_view reason) {
  std::string line(reason);
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  CheckedFields fields;
  fields.Set("reason", line);
  return WriteCheckedFile(fs_, path_, fields);
}

absl::Status DamagedFlag::Set(Term found_in, std::string_view reason) {
  return Set(StrCat(kTermMark, found_in, ": ", reason));
}

Term DamagedFlag::FoundIn(std::string_view text) {
  int64_t term = 0;
  if (text.starts_with(kTermMark)) {
    text.remove_prefix(kTermMark.size());
    std::from_chars(text.data(), text.data() + text.size(), term);
  }
  return Term(term);
}

absl::Status DamagedFlag::Clear() {
  RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(path_));
  return fs_->SyncDir(DirectoryOf(path_));
}

}  // namespace raftmq::dledger
