#include "dledger/log_files.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_format.h"
#include "base/block_buffer.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "dledger/checked_file.h"

namespace raftmq::dledger {
namespace {

constexpr int32_t kMarkMagic = 0x524D514D;  // "RMQM"
constexpr size_t kMarkSize = 40;
constexpr int64_t kSlotDistance = 4096;
static_assert(kSlotDistance * 2 == kTrailerSize);
constexpr int64_t kZeroStep = 1 << 20;

std::optional<DurableMark> ParseMark(std::string_view slot) {
  if (slot.size() < kMarkSize || LoadBe<int32_t>(slot.data()) != kMarkMagic) return std::nullopt;
  if (Crc32c(slot.substr(0, kMarkSize - 4)) != LoadBe<uint32_t>(slot.data() + kMarkSize - 4)) {
    return std::nullopt;
  }
  DurableMark mark;
  mark.clean = LoadBe<int32_t>(slot.data() + 4) != 0;
  mark.sequence = LoadBe<uint64_t>(slot.data() + 8);
  mark.position = LogPosition(LoadBe<int64_t>(slot.data() + 16));
  mark.chain_crc = LoadBe<uint32_t>(slot.data() + 24);
  return mark;
}

std::string_view Zeros() {
  static const char* const zeros = [] {
    static BlockBuffer buffer;
    return static_cast<const char*>(std::memset(buffer.Reserve(kZeroStep), 0, kZeroStep));
  }();
  return {zeros, kZeroStep};
}

}  // namespace

std::string CommitlogDir(const std::string& dir) { return dir + "/commitlog"; }

std::string SegmentName(LogPosition start) { return absl::StrFormat("%020d", start.value()); }

std::string SegmentPath(const std::string& dir, LogPosition start) {
  return StrCat(CommitlogDir(dir), "/", SegmentName(start));
}

std::string SegmentIndexPath(const std::string& dir, LogPosition start) {
  return SegmentPath(dir, start) + ".idx";
}

std::optional<LogPosition> ParseSegmentName(std::string_view name) {
  if (name.size() != 20) return std::nullopt;
  int64_t value = 0;
  for (char c : name) {
    if (c < '0' || c > '9' || value > (INT64_MAX - 9) / 10) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return LogPosition(value);
}

absl::StatusOr<LogStart> ReadLogStart(FileSystem* fs, const std::string& dir) {
  RAFTMQ_ASSIGN_OR_RETURN(const CheckedFields fields, ReadCheckedFile(fs, dir + "/log-start"));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t index, fields.GetInt("index"));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t term, fields.GetInt("term"));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t position, fields.GetInt("position"));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t chain, fields.GetInt("chain"));
  if (index < 0 || term < 0 || position < 0 || chain < 0 || chain > UINT32_MAX) {
    return absl::DataLossError(StrCat(dir, "/log-start: a field is out of range"));
  }
  return LogStart{LogIndex(index), Term(term), LogPosition(position), static_cast<uint32_t>(chain)};
}

absl::Status WriteLogStart(FileSystem* fs, const std::string& dir, const LogStart& start) {
  CheckedFields fields;
  fields.SetInt("index", start.index.value());
  fields.SetInt("term", start.term.value());
  fields.SetInt("position", start.position.value());
  fields.SetInt("chain", start.chain_crc);
  return WriteCheckedFile(fs, dir + "/log-start", fields);
}

absl::StatusOr<std::optional<LogPosition>> ReadRoll(FileSystem* fs, const std::string& dir) {
  RAFTMQ_ASSIGN_OR_RETURN(const CheckedFields fields, ReadCheckedFile(fs, dir + "/roll"));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t latest, fields.GetInt("latest"));
  if (latest < 0) return std::optional<LogPosition>();
  return std::optional(LogPosition(latest));
}

absl::Status WriteRoll(FileSystem* fs, const std::string& dir, std::optional<LogPosition> latest) {
  CheckedFields fields;
  fields.SetInt("latest", latest.has_value() ? latest->value() : -1);
  return WriteCheckedFile(fs, dir + "/roll", fields);
}

absl::Status CreateLog(FileSystem* fs, const std::string& dir, const LogStart& start) {
  RAFTMQ_RETURN_IF_ERROR(fs->CreateDirs(CommitlogDir(dir)));
  RAFTMQ_RETURN_IF_ERROR(WriteLogStart(fs, dir, start));
  RAFTMQ_RETURN_IF_ERROR(WriteRoll(fs, dir, std::nullopt));
  return fs->SyncDir(CommitlogDir(dir));
}

absl::Status WriteMark(File* segment, int64_t segment_size, const DurableMark& mark) {
  char slot[kMarkSize] = {};
  StoreBe<int32_t>(slot, kMarkMagic);
  StoreBe<int32_t>(slot + 4, mark.clean ? 1 : 0);
  StoreBe<uint64_t>(slot + 8, mark.sequence);
  StoreBe<int64_t>(slot + 16, mark.position.value());
  StoreBe<uint32_t>(slot + 24, mark.chain_crc);
  StoreBe<uint32_t>(slot + kMarkSize - 4, Crc32c({slot, kMarkSize - 4}));
  const int64_t at = segment_size + static_cast<int64_t>(mark.sequence % 2) * kSlotDistance;
  return segment->PWrite(at, {slot, kMarkSize});
}

absl::StatusOr<std::optional<DurableMark>> ReadMark(const File& segment, int64_t segment_size) {
  std::optional<DurableMark> best;
  int unreadable = 0;
  for (int slot = 0; slot < 2; ++slot) {
    std::string bytes;
    RAFTMQ_RETURN_IF_ERROR(segment.PRead(segment_size + slot * kSlotDistance, kMarkSize, &bytes));
    const std::optional<DurableMark> mark = ParseMark(bytes);
    if (mark.has_value() && (!best.has_value() || mark->sequence > best->sequence)) best = mark;
    if (!mark.has_value() && bytes.find_first_not_of('\0') != std::string::npos) ++unreadable;
  }
  if (unreadable == 2) {
    return absl::DataLossError("both slots of the durable mark are unreadable");
  }
  return best;
}

absl::Status WriteZeroBlocks(File* file, int64_t offset, int64_t size) {
  CHECK_LE(size, kZeroStep);
  return file->PWriteBlocks(offset, Zeros().substr(0, static_cast<size_t>(size)));
}

absl::Status WriteZeros(File* file, int64_t offset, int64_t size) {
  while (size > 0) {
    const int64_t n = std::min(size, kZeroStep);
    RAFTMQ_RETURN_IF_ERROR(
        file->PWrite(offset, Zeros().substr(0, static_cast<size_t>(n))));
    offset += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status ClearRange(File* file, int64_t offset, int64_t size, int64_t* cleared) {
  std::string bytes;
  while (size > 0) {
    RAFTMQ_RETURN_IF_ERROR(
        file->PRead(offset, static_cast<size_t>(std::min(size, kZeroStep)), &bytes));
    if (bytes.empty()) return absl::DataLossError("segment file is too short");
    const auto n = static_cast<int64_t>(bytes.size());
    if (std::memcmp(bytes.data(), Zeros().data(), bytes.size()) != 0) {
      RAFTMQ_RETURN_IF_ERROR(WriteZeros(file, offset, n));
      *cleared += n;
    }
    offset += n;
    size -= n;
  }
  return absl::OkStatus();
}

}  // namespace raftmq::dledger
