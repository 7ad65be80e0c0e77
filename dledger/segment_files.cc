#include "dledger/segment_files.h"

#include <algorithm>
#include <cstdint>

#include "base/strings.h"

namespace raftmq::dledger {

void SegmentFiles::Add(LogPosition start, std::shared_ptr<File> file) {
  absl::MutexLock lock(&mutex_);
  files_[start] = std::move(file);
}

void SegmentFiles::Remove(LogPosition start) {
  absl::MutexLock lock(&mutex_);
  files_.erase(start);
}

void SegmentFiles::RemoveBefore(LogPosition start) {
  begin_.store(start.value());
  absl::MutexLock lock(&mutex_);
  files_.erase(files_.begin(), files_.lower_bound(start));
  while (!recent_.empty() && recent_.front().position < start) {
    recent_bytes_ -= recent_.front().bytes.size();
    recent_.pop_front();
  }
}

std::shared_ptr<File> SegmentFiles::Find(LogPosition start) const {
  absl::MutexLock lock(&mutex_);
  auto found = files_.find(start);
  return found == files_.end() ? nullptr : found->second;
}

std::vector<LogPosition> SegmentFiles::Starts() const {
  absl::MutexLock lock(&mutex_);
  std::vector<LogPosition> starts;
  starts.reserve(files_.size());
  for (const auto& [start, file] : files_) starts.push_back(start);
  return starts;
}

void SegmentFiles::set_written_end(LogPosition end) {
  {
    absl::MutexLock lock(&mutex_);
    while (!recent_.empty() && recent_.back().end() > end) {
      Recent& last = recent_.back();
      recent_bytes_ -= last.bytes.size();
      if (last.position < end) {
        last.bytes = last.bytes.Sub(0, static_cast<size_t>(end - last.position));
        recent_bytes_ += last.bytes.size();
        break;
      }
      recent_.pop_back();
    }
  }
  written_end_.store(end.value());
}

void SegmentFiles::AddWritten(LogPosition position, std::span<const Bytes> pieces) {
  absl::MutexLock lock(&mutex_);
  for (const Bytes& piece : pieces) {
    if (recent_limit_ > 0) recent_.push_back({position, piece});
    recent_bytes_ += piece.size();
    position = position + static_cast<int64_t>(piece.size());
  }
  while (recent_bytes_ > recent_limit_ && !recent_.empty()) {
    recent_bytes_ -= recent_.front().bytes.size();
    recent_.pop_front();
  }
  written_end_.store(position.value());
}

bool SegmentFiles::ReadRecent(LogPosition position, size_t size, std::string* out) const {
  std::vector<Bytes> pieces;
  {
    absl::MutexLock lock(&mutex_);
    auto next = std::upper_bound(recent_.begin(), recent_.end(), position,
                                 [](LogPosition p, const Recent& r) { return p < r.position; });
    if (next == recent_.begin()) return false;
    for (--next; size > 0; ++next) {
      if (next == recent_.end() || position < next->position || position >= next->end()) {
        return false;
      }
      const auto skip = static_cast<size_t>(position - next->position);
      const size_t taken = std::min(size, next->bytes.size() - skip);
      pieces.push_back(next->bytes.Sub(skip, taken));
      position = position + static_cast<int64_t>(taken);
      size -= taken;
    }
  }
  out->clear();
  for (const Bytes& piece : pieces) out->append(piece.view());
  return true;
}

absl::Status SegmentFiles::Read(LogPosition position, size_t size, std::string* out) const {
  const LogPosition start = SegmentOf(position, segment_size_);
  // Position and size may be anything: nothing here overflows.
  const auto wanted = static_cast<int64_t>(std::min<size_t>(size, SIZE_MAX / 2));
  if (position < LogPosition(0) || wanted > segment_size_ - (position - start) ||
      wanted > written_end() - position) {
    return absl::OutOfRangeError(StrCat("log bytes at ", position, ", size ", size,
                                        ": not in one segment, or not written yet; written up to ",
                                        written_end()));
  }
  if (position.value() < begin_.load()) {
    return absl::OutOfRangeError(
        StrCat("log position ", position, ": the log is kept from ", begin_.load(), " on"));
  }
  if (ReadRecent(position, size, out)) return absl::OkStatus();
  const std::shared_ptr<File> file = Find(start);
  if (file == nullptr) {
    return absl::OutOfRangeError(
        StrCat("log position ", position, ": its segment is not kept any more"));
  }
  RAFTMQ_RETURN_IF_ERROR(file->PRead(position - start, size, out));
  if (out->size() != size) {
    return absl::DataLossError(StrCat("segment ", SegmentName(start), ": expected ", size,
                                      " bytes at ", position, ", found ", out->size()));
  }
  return absl::OkStatus();
}

}  // namespace raftmq::dledger
