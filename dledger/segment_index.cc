#include "dledger/segment_index.h"

#include <algorithm>

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr int32_t kIndexMagic = 0x524D5149;  // "RMQI"
constexpr int32_t kIndexVersion = 1;
constexpr size_t kFixedSize = 88;
constexpr size_t kPairSize = 16;
constexpr size_t kCrcSize = 4;
constexpr size_t kFirstRead = 4096;
// More than any segment has: the largest, full of the smallest frames.
constexpr int32_t kMaxPairs = (1 << 30) / raft::kFrameHeaderSize;

absl::Status Bad(LogPosition start, std::string_view what) {
  return absl::DataLossError(StrCat("index of segment ", SegmentName(start), ": ", what));
}

void AppendEntry(std::string* out, const LogStart& entry) {
  AppendBe<int64_t>(out, entry.index.value());
  AppendBe<int64_t>(out, entry.term.value());
  AppendBe<int64_t>(out, entry.position.value());
  AppendBe<uint32_t>(out, entry.chain_crc);
}

LogStart LoadEntry(const char* p) {
  return {LogIndex(LoadBe<int64_t>(p)), Term(LoadBe<int64_t>(p + 8)),
          LogPosition(LoadBe<int64_t>(p + 16)), LoadBe<uint32_t>(p + 24)};
}

// Sizes of the two parts of an index file, from its fixed fields.
struct Shape {
  int32_t runs = 0;
  int32_t points = 0;
  size_t summary_size() const { return kFixedSize + runs * kPairSize + kCrcSize; }
  size_t points_size() const { return points * kPairSize + kCrcSize; }
};

absl::StatusOr<Shape> ReadShape(std::string_view bytes, LogPosition start) {
  if (bytes.size() < kFixedSize) return Bad(start, "too short");
  const char* p = bytes.data();
  if (LoadBe<int32_t>(p) != kIndexMagic || LoadBe<int32_t>(p + 4) != kIndexVersion) {
    return Bad(start, "wrong magic or version");
  }
  if (LogPosition(LoadBe<int64_t>(p + 8)) != start) return Bad(start, "is of another segment");
  const Shape shape{LoadBe<int32_t>(p + 80), LoadBe<int32_t>(p + 84)};
  if (shape.runs < 1 || shape.runs > kMaxPairs || shape.points < 0 || shape.points > kMaxPairs) {
    return Bad(start, "counts out of range");
  }
  return shape;
}

}  // namespace

SegmentIndex::SegmentIndex(LogPosition start, const LogStart& before)
    : start_(start), before_(before), last_(before) {}

void SegmentIndex::Add(const raft::EntryMeta& entry, uint32_t chain_crc) {
  CHECK_EQ(entry.index, last_.index + 1);
  CHECK_GE(entry.term, last_.term);
  CHECK(has_points_);
  if (runs_.empty() || runs_.back().term != entry.term) {
    runs_.push_back({entry.index, entry.term});
  }
  const LogPosition known = points_.empty() ? first_position() : points_.back().position;
  if (entry.position - known >= kPointDistance) points_.push_back({entry.index, entry.position});
  last_ = {entry.index, entry.term, entry.end(), chain_crc};
  last_position_ = entry.position;
}

void SegmentIndex::TruncateTo(const LogStart& last, LogPosition last_position) {
  CHECK_GE(last.index, before_.index);
  CHECK_LE(last.index, last_.index);
  while (!runs_.empty() && runs_.back().first > last.index) runs_.pop_back();
  while (!points_.empty() && points_.back().index > last.index) points_.pop_back();
  last_ = last;
  last_position_ = last_position;
}

Term SegmentIndex::TermAt(LogIndex index) const {
  CHECK(index >= before_.index && index <= last_.index) << index;
  if (index == before_.index) return before_.term;
  auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                [](LogIndex i, const TermRun& run) { return i < run.first; });
  return std::prev(after)->term;
}

SegmentIndex::Point SegmentIndex::Nearest(LogIndex index) const {
  auto after = std::upper_bound(points_.begin(), points_.end(), index,
                                [](LogIndex i, const Point& point) { return i < point.index; });
  if (after == points_.begin()) return {first_index(), first_position()};
  return *std::prev(after);
}

void SegmentIndex::DropPoints() {
  points_.clear();
  points_.shrink_to_fit();
  has_points_ = false;
}

std::string SegmentIndex::Encode() const {
  CHECK(has_points_);
  std::string out;
  out.reserve(kFixedSize + (runs_.size() + points_.size()) * kPairSize + 2 * kCrcSize);
  AppendBe<int32_t>(&out, kIndexMagic);
  AppendBe<int32_t>(&out, kIndexVersion);
  AppendBe<int64_t>(&out, start_.value());
  AppendEntry(&out, before_);
  AppendEntry(&out, last_);
  AppendBe<int64_t>(&out, last_position_.value());
  AppendBe<int32_t>(&out, static_cast<int32_t>(runs_.size()));
  AppendBe<int32_t>(&out, static_cast<int32_t>(points_.size()));
  CHECK_EQ(out.size(), kFixedSize);
  for (const TermRun& run : runs_) {
    AppendBe<int64_t>(&out, run.first.value());
    AppendBe<int64_t>(&out, run.term.value());
  }
  AppendBe<uint32_t>(&out, Crc32c(out));
  const size_t points_at = out.size();
  for (const Point& point : points_) {
    AppendBe<int64_t>(&out, point.index.value());
    AppendBe<int64_t>(&out, point.position.value());
  }
  AppendBe<uint32_t>(&out, Crc32c(std::string_view(out).substr(points_at)));
  return out;
}

absl::Status SegmentIndex::ParseSummary(std::string_view bytes, int32_t runs) {
  const size_t size = kFixedSize + runs * kPairSize + kCrcSize;
  if (bytes.size() < size) return Bad(start_, "too short for its term runs");
  const char* p = bytes.data();
  if (Crc32c(bytes.substr(0, size - kCrcSize)) != LoadBe<uint32_t>(p + size - kCrcSize)) {
    return Bad(start_, "wrong CRC");
  }
  before_ = LoadEntry(p + 16);
  last_ = LoadEntry(p + 44);
  last_position_ = LogPosition(LoadBe<int64_t>(p + 72));
  for (int32_t i = 0; i < runs; ++i) {
    const char* run = p + kFixedSize + i * kPairSize;
    runs_.push_back({LogIndex(LoadBe<int64_t>(run)), Term(LoadBe<int64_t>(run + 8))});
  }
  if (last_.index <= before_.index || last_position_ < start_ || last_.position <= last_position_ ||
      runs_[0].first != first_index() || runs_.back().term != last_.term) {
    return Bad(start_, "bounds make no sense");
  }
  has_points_ = false;
  return absl::OkStatus();
}

absl::StatusOr<SegmentIndex> SegmentIndex::ReadSummary(const File& file, LogPosition start) {
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(file.PRead(0, kFirstRead, &bytes));
  RAFTMQ_ASSIGN_OR_RETURN(const Shape shape, ReadShape(bytes, start));
  if (shape.summary_size() > bytes.size()) {
    RAFTMQ_RETURN_IF_ERROR(file.PRead(0, shape.summary_size(), &bytes));
  }
  SegmentIndex index(start, {});
  RAFTMQ_RETURN_IF_ERROR(index.ParseSummary(bytes, shape.runs));
  return index;
}

absl::StatusOr<SegmentIndex> SegmentIndex::Parse(std::string_view bytes, LogPosition start) {
  RAFTMQ_ASSIGN_OR_RETURN(const Shape shape, ReadShape(bytes, start));
  SegmentIndex index(start, {});
  RAFTMQ_RETURN_IF_ERROR(index.ParseSummary(bytes, shape.runs));
  const std::string_view points = bytes.substr(shape.summary_size());
  if (points.size() != shape.points_size()) return Bad(start, "wrong size");
  if (Crc32c(points.substr(0, points.size() - kCrcSize)) !=
      LoadBe<uint32_t>(points.data() + points.size() - kCrcSize)) {
    return Bad(start, "wrong CRC of its points");
  }
  index.points_.reserve(static_cast<size_t>(shape.points));
  for (int32_t i = 0; i < shape.points; ++i) {
    const char* point = points.data() + i * kPairSize;
    index.points_.push_back(
        {LogIndex(LoadBe<int64_t>(point)), LogPosition(LoadBe<int64_t>(point + 8))});
  }
  index.has_points_ = true;
  return index;
}

}  // namespace raftmq::dledger
