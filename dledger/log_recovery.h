// Recovery of a log from its files. docs/formats.md states the rules; in short:
//
// - All segments up to the one named by `roll` must be there; later ones hold nothing.
// - Sealed segments are trusted from their index files, or else read whole; the latest is read
//   whole. While the damaged flag is set no index is trusted: rot may have been found in a segment
//   while the process ran.
// - A bad frame below the durable mark, a missing segment, or a mark of which no slot is readable
// is
//   damage. A bad frame at or above the mark is a torn tail: cut, whatever follows it.
// - What is left is synced before it counts as durable.
//
// Blocking; before anything else uses the log.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "dledger/log_files.h"
#include "dledger/log_writer.h"
#include "dledger/recovery_report.h"
#include "dledger/segment_files.h"
#include "dledger/segment_index.h"

namespace raftmq::dledger {

struct RecoveryOptions {
  FileSystem* fs = nullptr;
  std::string dir;  // of the log
  int64_t segment_size = 0;
  size_t recent_bytes = 0;  // SegmentFiles
  DamageAction on_damage = DamageAction::kStop;
  std::string damaged_flag;  // path
};

struct RecoveredLog {
  LogStart start;
  LogStart last;
  std::vector<SegmentIndex> segments;  // the last one has its points
  std::shared_ptr<SegmentFiles> files;
  bool next_is_ready = false;  // of zeros
  LogWriter::Initial initial;
};

// DataLoss: damaged, and on_damage is kStop. Either way of damage sets the flag, to what was found
// now, before any change.
absl::StatusOr<RecoveredLog> RecoverLog(const RecoveryOptions& options, RecoveryReport* report);

}  // namespace raftmq::dledger
