// LogStorage: where the core reads the metadata of entries that it no longer holds in memory.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "raft/types.h"

namespace raftmq::raft {

// Read only; implemented by the driver over its byte log. The core asks only for indexes that the
// driver was told to compact (Node::CompactMetadata) or that were on disk at start, never for what
// lies above its own last index, so the implementation may briefly hold more (a truncation under
// way) without harm.
//
// Errors: OutOfRange for an index below the log's start (dropped by retention: the peer needs a
// snapshot); any other error is a disk that fails, and stops the replica (Ready::storage_error).
//
// Called on the thread that owns the Node, inside its inputs and TakeReady: expected to answer from
// memory or from one small read.
class LogStorage {
 public:
  virtual ~LogStorage() = default;

  // The oldest entry held. LastIndex() + 1 if none is. 1 for a log that never dropped anything.
  virtual LogIndex FirstIndex() const = 0;
  virtual LogIndex LastIndex() const = 0;

  // Valid for FirstIndex() - 1 .. LastIndex(). Term 0 and position 0 at index 0. Answered from the
  // runs of terms, without reading frames, if possible: conflict search asks about log2(n) of them.
  virtual absl::StatusOr<Term> TermAt(LogIndex index) const = 0;

  // The position after entry `index`; valid for FirstIndex() - 1 .. LastIndex().
  virtual absl::StatusOr<LogPosition> EndAt(LogIndex index) const = 0;

  // Valid for FirstIndex() .. LastIndex().
  virtual absl::StatusOr<EntryMeta> EntryAt(LogIndex index) const = 0;

  // Entries from `index` on, contiguous: at least one, then as many as keep the sum of frame sizes
  // within `max_bytes` and their number within `max_count`; fewer are allowed.
  virtual absl::StatusOr<std::vector<EntryMeta>> EntriesFrom(LogIndex index, int64_t max_bytes,
                                                             int32_t max_count) const = 0;
};

}  // namespace raftmq::raft
