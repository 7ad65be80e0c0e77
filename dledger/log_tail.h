// LogTail: the newest entries of the log in memory, metadata and bytes, so that peers are served
// without reading what was just written, or is not written yet.
//
// Replica thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "raft/types.h"

namespace raftmq::dledger {

class LogTail {
 public:
  struct Item {
    raft::EntryMeta meta;
    uint32_t chain_crc = 0;
  };

  bool empty() const { return items_.empty(); }
  // REQUIRES: not empty.
  const Item& front() const { return items_.front(); }

  // Null if the entry is not here.
  const Item* Find(LogIndex index) const;

  // Opens a slice of whole frames; Add tells of its entries, in order.
  void AddSlice(LogPosition position, Bytes frames);
  void Add(const raft::EntryMeta& entry, uint32_t chain_crc);

  // Drops the oldest slices while more than `max_bytes` are held, but nothing that reaches beyond
  // `durable_end`.
  void Trim(LogPosition durable_end, size_t max_bytes);

  // Drops `from` and all after it.
  void Truncate(LogIndex from);

  // Adds the bytes from `position` up to `end` to `pieces`, without a copy.
  // REQUIRES: both are bounds of frames that are here, in one segment.
  void Pieces(LogPosition position, LogPosition end, std::vector<Bytes>* pieces) const;

 private:
  struct Slice {
    LogPosition position;
    Bytes bytes;
    LogPosition end() const { return position + static_cast<int64_t>(bytes.size()); }
  };

  std::deque<Item> items_;
  std::deque<Slice> slices_;
  size_t bytes_ = 0;
};

}  // namespace raftmq::dledger
