// What a member must never forget: its term and vote, and that its log is damaged.
//
// Both are small files written by temp file, fsync, rename, fsync of the folder, with a CRC. Any
// error means that nothing is known about the outcome: the caller stops the replica and neither
// votes nor acknowledges again (Raft paper §5, "persistent state"; DLedger swallows such errors and
// can vote twice).
//
// Blocking; called on the replica thread (a vote must be durable before it is answered).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "raft/types.h"

namespace raftmq::dledger {

class HardStateFile {
 public:
  // `path`: DirectoryLayout::hard_state(). `fs` outlives this.
  HardStateFile(FileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  // Term 0 and no vote if never written; DataLoss if unreadable.
  absl::StatusOr<raft::HardState> Read() const;

  // Returns once `state` is durable. After an error nothing may be written any more: Write keeps
  // returning the first error.
  absl::Status Write(const raft::HardState& state);

 private:
  FileSystem* const fs_;
  const std::string path_;
  absl::Status failure_;
};

// The durable flag of a member whose log was found damaged: it neither votes nor leads until it has
// matched an own-term entry of a leader elected without it.
class DamagedFlag {
 public:
  // `path`: DirectoryLayout::damaged().
  DamagedFlag(FileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  // What was found, or "" if the flag is not set. An unreadable flag is set.
  absl::StatusOr<std::string> Read() const;

  absl::Status Set(std::string_view reason);
  // With the term in which it was found, since a leader of a later term is what heals it.
  absl::Status Set(Term found_in, std::string_view reason);
  // Of a text that Read returned; 0 if it names none.
  static Term FoundIn(std::string_view text);
  absl::Status Clear();

 private:
  FileSystem* const fs_;
  const std::string path_;
};

}  // namespace raftmq::dledger
