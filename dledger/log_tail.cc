#include "dledger/log_tail.h"

#include <algorithm>

#include "glog/logging.h"

namespace raftmq::dledger {

const LogTail::Item* LogTail::Find(LogIndex index) const {
  if (items_.empty() || index < items_.front().meta.index || index > items_.back().meta.index) {
    return nullptr;
  }
  return &items_[static_cast<size_t>(index - items_.front().meta.index)];
}

void LogTail::AddSlice(LogPosition position, Bytes frames) {
  bytes_ += frames.size();
  slices_.push_back({position, std::move(frames)});
}

void LogTail::Add(const raft::EntryMeta& entry, uint32_t chain_crc) {
  items_.push_back({entry, chain_crc});
}

void LogTail::Trim(LogPosition durable_end, size_t max_bytes) {
  while (bytes_ > max_bytes && slices_.front().end() <= durable_end) {
    const LogPosition end = slices_.front().end();
    bytes_ -= slices_.front().bytes.size();
    slices_.pop_front();
    while (!items_.empty() && items_.front().meta.position < end) items_.pop_front();
  }
}

void LogTail::Truncate(LogIndex from) {
  while (!items_.empty() && items_.back().meta.index >= from) {
    const LogPosition cut = items_.back().meta.position;
    items_.pop_back();
    while (!slices_.empty() && slices_.back().position >= cut) {
      bytes_ -= slices_.back().bytes.size();
      slices_.pop_back();
    }
  }
  if (slices_.empty() || items_.empty()) return;
  // What is left of a slice that was cut in the middle.
  Slice& last = slices_.back();
  const LogPosition end = items_.back().meta.end();
  if (last.end() > end) {
    bytes_ -= static_cast<size_t>(last.end() - end);
    last.bytes = last.bytes.Sub(0, static_cast<size_t>(end - last.position));
  }
}

void LogTail::Pieces(LogPosition position, LogPosition end, std::vector<Bytes>* pieces) const {
  auto slice = std::upper_bound(slices_.begin(), slices_.end(), position,
                                [](LogPosition p, const Slice& s) { return p < s.position; });
  CHECK(slice != slices_.begin());
  --slice;
  while (position < end) {
    CHECK(slice != slices_.end());
    const LogPosition to = std::min(end, slice->end());
    CHECK(position >= slice->position && position < to);
    pieces->push_back(slice->bytes.Sub(static_cast<size_t>(position - slice->position),
                                       static_cast<size_t>(to - position)));
    position = to;
    ++slice;
  }
}

}  // namespace raftmq::dledger
