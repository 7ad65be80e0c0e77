#include "store/consume_queue.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::store {
namespace {

constexpr int64_t kEntry = kConsumeQueueEntrySize;
constexpr LogPosition kNoPosition{-1};
// Entries checked at the end of a queue when it is opened: one page of them.
constexpr int64_t kTailEntries = 4096 / kEntry;
constexpr size_t kVerifyChunk = 4096;
constexpr size_t kFileNameDigits = 20;

void AppendEntry(std::string* out, const ConsumeQueueEntry& entry) {
  AppendBe<int64_t>(out, entry.position.value());
  AppendBe<int32_t>(out, entry.size);
  AppendBe<int64_t>(out, entry.tag_hash);
}

ConsumeQueueEntry LoadEntry(const char* at) {
  return {LogPosition(LoadBe<int64_t>(at)), LoadBe<int32_t>(at + 8), LoadBe<int64_t>(at + 12)};
}

bool IsSane(const ConsumeQueueEntry& entry) {
  return entry.position >= LogPosition(0) && entry.size > 0;
}

LogPosition LastOf(std::string_view entries) {
  return LoadEntry(entries.data() + entries.size() - kEntry).position;
}

int64_t CountIn(std::string_view bytes) { return static_cast<int64_t>(bytes.size()) / kEntry; }

}  // namespace

ConsumeQueue::ConsumeQueue(Place place, FileCache* files, Durable durable, LogPosition min_position)
    : place_(std::move(place)),
      files_(files),
      end_at_open_(durable.end),
      min_(durable.min),
      min_position_(min_position),
      resolved_position_(min_position),
      end_(durable.end),
      last_position_(durable.last_position),
      disk_end_(durable.end),
      disk_last_position_(durable.last_position),
      on_disk_(durable.last_position != kNoPosition),
      first_file_(FileNumber(durable.min)) {
  CHECK_GT(place_.entries_per_file, 0);
}

std::string ConsumeQueue::PathOf(int64_t file) const {
  char name[32];
  std::snprintf(name, sizeof(name), "%020lld",
                static_cast<long long>(file * place_.entries_per_file * kEntry));
  return StrCat(place_.directory, "/", static_cast<const char*>(name));
}

std::string ConsumeQueue::Name() const {
  return StrCat("consume queue ", place_.topic, "/", place_.queue_id);
}

bool ConsumeQueue::Parses(const std::string& file_name, int64_t* file) const {
  int64_t bytes = 0;
  const char* end = file_name.data() + file_name.size();
  const auto [stop, error] = std::from_chars(file_name.data(), end, bytes);
  const int64_t file_size = place_.entries_per_file * kEntry;
  if (error != std::errc() || stop != end || file_name.size() != kFileNameDigits || bytes < 0 ||
      bytes % file_size != 0) {
    return false;
  }
  *file = bytes / file_size;
  return true;
}

// ---- Writing

absl::Status ConsumeQueue::Append(QueueOffset offset, const ConsumeQueueEntry& entry) {
  CHECK(IsSane(entry)) << Name() << " offset " << offset << ": position " << entry.position
                       << " size " << entry.size;
  {
    absl::MutexLock lock(&mutex_);
    RAFTMQ_RETURN_IF_ERROR(damage_);
    if (offset == end_) {
      if (entry.position <= last_position_) {
        return absl::DataLossError(StrCat(Name(), " offset ", offset, ": record at position ",
                                          entry.position, " comes after the one at ",
                                          last_position_, "; rebuild the queue from the log"));
      }
      AppendEntry(&buffer_, entry);
      ++end_;
      last_position_ = entry.position;
      return absl::OkStatus();
    }
    if (offset > end_) {
      return absl::DataLossError(StrCat(Name(), " ends at offset ", end_, ", a record has offset ",
                                        offset, "; rebuild the queue from the log"));
    }
    if (offset < min_) return absl::OkStatus();  // expired already
  }
  const absl::StatusOr<ConsumeQueueEntry> present = EntryAt(offset);
  if (absl::IsOutOfRange(present.status())) return absl::OkStatus();  // expired just now
  RAFTMQ_RETURN_IF_ERROR(present.status());
  if (*present != entry) {
    return absl::DataLossError(StrCat(Name(), " offset ", offset, " is the record at position ",
                                      present->position, ", another one is at ", entry.position,
                                      "; rebuild the queue from the log"));
  }
  return absl::OkStatus();
}

void ConsumeQueue::SetMinPosition(LogPosition position) {
  absl::MutexLock lock(&mutex_);
  min_position_ = std::max(min_position_, position);
}

absl::Status ConsumeQueue::TruncateTo(QueueOffset end) {
  absl::MutexLock lock(&mutex_);
  RAFTMQ_RETURN_IF_ERROR(damage_);
  CHECK(frozen_.empty()) << Name();
  CHECK(min_ <= end && end <= end_) << Name() << " truncate to " << end;
  if (end >= disk_end_) {
    buffer_.resize((end - disk_end_) * kEntry);
  } else {
    buffer_.clear();
    // The file that keeps entries is cut; those behind it go.
    const int64_t last = FileNumber(end);
    for (int64_t file = FileNumber(disk_end_ - 1); file > last; --file) {
      files_->Forget(PathOf(file));
      RAFTMQ_RETURN_IF_ERROR(files_->file_system()->RemoveAll(PathOf(file)));
    }
    RAFTMQ_ASSIGN_OR_RETURN(std::shared_ptr<File> file, files_->Open(PathOf(last)));
    RAFTMQ_RETURN_IF_ERROR(file->Truncate((end.value() - last * place_.entries_per_file) * kEntry));
    RAFTMQ_RETURN_IF_ERROR(file->DataSync());
    RAFTMQ_RETURN_IF_ERROR(files_->file_system()->SyncDir(place_.directory));
    disk_end_ = end;
  }
  end_ = end;
  if (disk_end_ <= min_) {
    on_disk_ = false;  // nothing there is wanted any more
    disk_last_position_ = kNoPosition;
  } else {
    std::string bytes;
    RAFTMQ_RETURN_IF_ERROR(ReadDisk(disk_end_ - 1, 1, &bytes));
    disk_last_position_ = LastOf(bytes);
  }
  last_position_ = buffer_.empty() ? disk_last_position_ : LastOf(buffer_);
  return absl::OkStatus();
}

absl::Status ConsumeQueue::Reset(QueueOffset first) {
  absl::MutexLock lock(&mutex_);
  CHECK(frozen_.empty()) << Name();
  files_->ForgetBelow(place_.directory);
  RAFTMQ_RETURN_IF_ERROR(files_->file_system()->RemoveAll(place_.directory));
  damage_ = absl::OkStatus();
  buffer_.clear();
  min_ = end_ = disk_end_ = first;
  resolved_position_ = min_position_;
  last_position_ = disk_last_position_ = kNoPosition;
  on_disk_ = false;
  first_file_ = FileNumber(first);
  return absl::OkStatus();
}

// ---- Flushing and recovery

void ConsumeQueue::Freeze() {
  absl::MutexLock lock(&mutex_);
  CHECK(frozen_.empty()) << Name();
  frozen_.swap(buffer_);
}

absl::Status ConsumeQueue::WriteFrozen(Unsynced* unsynced) {
  QueueOffset offset;
  std::string_view bytes;
  bool on_disk;
  {
    absl::MutexLock lock(&mutex_);
    if (frozen_.empty()) return absl::OkStatus();
    offset = disk_end_;
    bytes = frozen_;  // nobody else changes it
    on_disk = on_disk_;
  }
  const absl::Status status = WriteDisk(offset, bytes, on_disk, unsynced);
  absl::MutexLock lock(&mutex_);
  if (absl::IsNotFound(status)) {
    damage_ = absl::DataLossError(
        StrCat(Name(), ": ", Message(status), "; rebuild the queue from the log"));
    LOG(ERROR) << damage_;
    frozen_.clear();
    buffer_.clear();
    end_ = disk_end_;
    last_position_ = disk_last_position_;
    return absl::OkStatus();
  }
  RAFTMQ_RETURN_IF_ERROR(status);
  disk_end_ += CountIn(frozen_);
  disk_last_position_ = LastOf(frozen_);
  std::string().swap(frozen_);  // thousands of idle queues keep no buffers
  on_disk_ = true;
  return absl::OkStatus();
}

absl::Status ConsumeQueue::WriteDisk(QueueOffset offset, std::string_view bytes, bool on_disk,
                                     Unsynced* unsynced) {
  FileSystem* fs = files_->file_system();
  if (!on_disk) {
    files_->ForgetBelow(place_.directory);
    RAFTMQ_RETURN_IF_ERROR(fs->RemoveAll(place_.directory));
    RAFTMQ_RETURN_IF_ERROR(fs->CreateDirs(place_.directory));
    unsynced->directories.insert(ParentDirectory(place_.directory));
    unsynced->directories.insert(ParentDirectory(ParentDirectory(place_.directory)));
  }
  bool create = !on_disk;
  while (!bytes.empty()) {
    const int64_t number = FileNumber(offset);
    const int64_t in_file = offset.value() - number * place_.entries_per_file;
    const int64_t count = std::min(CountIn(bytes), place_.entries_per_file - in_file);
    create = create || in_file == 0;
    RAFTMQ_ASSIGN_OR_RETURN(std::shared_ptr<File> file, files_->Open(PathOf(number), create));
    if (create) {
      // It may be there from a flush that a crash cut short.
      RAFTMQ_RETURN_IF_ERROR(file->Truncate(0));
      unsynced->directories.insert(place_.directory);
    }
    RAFTMQ_RETURN_IF_ERROR(file->PWrite(in_file * kEntry, bytes.substr(0, count * kEntry)));
    unsynced->files.push_back(PathOf(number));
    bytes.remove_prefix(count * kEntry);
    offset += count;
    create = false;
  }
  return absl::OkStatus();
}

ConsumeQueue::Durable ConsumeQueue::FrozenState() {
  // If it can't be found what has expired, nothing more has; a damaged queue stays what the mark
  // file says of it, so that a restart finds the damage again.
  if (const absl::Status status = Resolve().status(); !status.ok()) LOG(ERROR) << status;
  absl::MutexLock lock(&mutex_);
  return Durable{std::min(min_, disk_end_), disk_end_, disk_last_position_};
}

absl::Status ConsumeQueue::RemoveFilesBelow(QueueOffset min) {
  int64_t first;
  {
    absl::MutexLock lock(&mutex_);
    first = first_file_;
    if (!on_disk_ || FileNumber(min) <= first) return absl::OkStatus();
  }
  for (; first < FileNumber(min); ++first) {
    files_->Forget(PathOf(first));
    RAFTMQ_RETURN_IF_ERROR(files_->file_system()->RemoveAll(PathOf(first)));
  }
  absl::MutexLock lock(&mutex_);
  first_file_ = first;
  return absl::OkStatus();
}

absl::Status ConsumeQueue::Rewrite(QueueOffset offset, const ConsumeQueueEntry& entry) {
  {
    absl::MutexLock lock(&mutex_);
    RAFTMQ_RETURN_IF_ERROR(damage_);
    if (offset < min_ || offset >= disk_end_) {
      return absl::OutOfRangeError(StrCat(Name(), " has offsets ", min_, " to ", disk_end_,
                                          " (excluded) on disk, not ", offset));
    }
  }
  const int64_t number = FileNumber(offset);
  std::string bytes;
  AppendEntry(&bytes, entry);
  RAFTMQ_ASSIGN_OR_RETURN(std::shared_ptr<File> file, files_->Open(PathOf(number)));
  RAFTMQ_RETURN_IF_ERROR(
      file->PWrite((offset.value() - number * place_.entries_per_file) * kEntry, bytes));
  return file->DataSync();
}

void ConsumeQueue::Retire() {
  absl::MutexLock lock(&mutex_);
  damage_ = absl::NotFoundError(StrCat("topic ", place_.topic, " was deleted"));
}

absl::Status ConsumeQueue::damage() const {
  absl::MutexLock lock(&mutex_);
  return damage_;
}

absl::Status ConsumeQueue::Recover() {
  absl::Status status = CheckFiles();
  if (status.code() == absl::StatusCode::kDataLoss) {
    absl::MutexLock lock(&mutex_);
    damage_ = std::move(status);
    return absl::OkStatus();
  }
  return status;
}

absl::Status ConsumeQueue::RemoveStrayFiles(int64_t first, int64_t last,
                                            std::vector<int64_t>* present) {
  FileSystem* fs = files_->file_system();
  absl::StatusOr<std::vector<std::string>> names = fs->List(place_.directory);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    int64_t file = 0;
    if (!Parses(name, &file)) continue;
    if (file >= first && file <= last) {
      present->push_back(file);
    } else {
      RAFTMQ_RETURN_IF_ERROR(fs->Remove(StrCat(place_.directory, "/", name)));
    }
  }
  return absl::OkStatus();
}

absl::Status ConsumeQueue::CheckFiles() {
  absl::MutexLock lock(&mutex_);
  if (!on_disk_) return absl::OkStatus();
  const int64_t first = FileNumber(min_);
  const int64_t last = FileNumber(end_ - 1);
  // Nothing left, and the next entry begins a file: the directory is made anew then.
  if (last < first) on_disk_ = false;
  std::vector<int64_t> present;
  RAFTMQ_RETURN_IF_ERROR(RemoveStrayFiles(first, last, &present));
  if (static_cast<int64_t>(present.size()) != last - first + 1) {
    return absl::DataLossError(StrCat(Name(), ": ", present.size(), " files in ", place_.directory,
                                      ", expected ", last - first + 1,
                                      "; rebuild the queue from the log"));
  }
  for (int64_t number : present) {
    RAFTMQ_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                            files_->file_system()->Open(PathOf(number), OpenMode::kReadWrite));
    RAFTMQ_ASSIGN_OR_RETURN(const int64_t size, file->Size());
    const int64_t begin = number * place_.entries_per_file;
    const int64_t expected =
        std::min<int64_t>(place_.entries_per_file, end_.value() - begin) * kEntry;
    if (size < expected) {
      return absl::DataLossError(StrCat(Name(), ": ", PathOf(number), " has ", size,
                                        " bytes, the mark file says ", expected,
                                        "; rebuild the queue from the log"));
    }
    if (size > expected) {
      // Not synced, which for thousands of queues takes many seconds: if this cut is lost, the next
      // start makes it again, and a flush of the queue syncs it before its mark tells of more.
      RAFTMQ_RETURN_IF_ERROR(file->Truncate(expected));
    }
    if (number == last) RAFTMQ_RETURN_IF_ERROR(CheckTail(*file, number));
  }
  return absl::OkStatus();
}

absl::Status ConsumeQueue::CheckTail(const File& file, int64_t number) {
  const int64_t begin = number * place_.entries_per_file;
  const int64_t from =
      std::max({begin, std::min(min_.value(), end_.value() - 1), end_.value() - kTailEntries});
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(
      file.PRead((from - begin) * kEntry, (end_.value() - from) * kEntry, &bytes));
  LogPosition previous = kNoPosition;
  for (int64_t i = 0; i < CountIn(bytes); ++i) {
    const ConsumeQueueEntry entry = LoadEntry(bytes.data() + i * kEntry);
    if (!IsSane(entry) || entry.position <= previous) {
      return absl::DataLossError(StrCat(Name(), " offset ", from + i, ": position ", entry.position,
                                        " size ", entry.size, " after position ", previous,
                                        "; rebuild the queue from the log"));
    }
    previous = entry.position;
  }
  if (previous != last_position_) {
    return absl::DataLossError(StrCat(Name(), ": the last entry's position is ", previous,
                                      ", the mark file says ", last_position_,
                                      "; rebuild the queue from the log"));
  }
  return absl::OkStatus();
}

// ---- Reading

absl::Status ConsumeQueue::ReadDisk(QueueOffset offset, size_t count, std::string* out) const {
  out->resize(count * kEntry);
  char* at = out->data();
  while (count > 0) {
    const int64_t number = FileNumber(offset);
    const int64_t in_file = offset.value() - number * place_.entries_per_file;
    const size_t part = std::min<size_t>(count, place_.entries_per_file - in_file);
    RAFTMQ_ASSIGN_OR_RETURN(std::shared_ptr<File> file, files_->Open(PathOf(number)));
    RAFTMQ_ASSIGN_OR_RETURN(const size_t got, file->PReadInto(in_file * kEntry, at, part * kEntry));
    if (got != part * kEntry) {
      return absl::DataLossError(StrCat(Name(), ": ", PathOf(number), " ends before offset ",
                                        offset + part, "; rebuild the queue from the log"));
    }
    at += got;
    offset += part;
    count -= part;
  }
  return absl::OkStatus();
}

absl::Status ConsumeQueue::ReadBytes(QueueOffset offset, size_t count, std::string* out) const {
  size_t on_disk = 0;
  std::string in_memory;
  {
    absl::MutexLock lock(&mutex_);
    RAFTMQ_RETURN_IF_ERROR(damage_);
    const QueueOffset end = offset + static_cast<int64_t>(count);
    if (end > end_) {
      return absl::OutOfRangeError(StrCat(Name(), " ends at offset ", end_, " now"));
    }
    on_disk = std::clamp<int64_t>(disk_end_ - offset, 0, count);
    // The rest begins in frozen_ or in buffer_.
    QueueOffset next = offset + static_cast<int64_t>(on_disk);
    const QueueOffset buffered = disk_end_ + CountIn(frozen_);
    if (next < end && next < buffered) {
      const int64_t part = std::min(end, buffered) - next;
      in_memory.append(frozen_, (next - disk_end_) * kEntry, part * kEntry);
      next += part;
    }
    if (next < end) in_memory.append(buffer_, (next - buffered) * kEntry, (end - next) * kEntry);
  }
  absl::Status status = ReadDisk(offset, on_disk, out);
  if (absl::IsNotFound(status)) {
    // Expired and removed since the caller looked, or damage.
    absl::MutexLock lock(&mutex_);
    RAFTMQ_RETURN_IF_ERROR(damage_);
    if (FileNumber(offset) < first_file_ || offset < min_) {
      return absl::OutOfRangeError(StrCat(Name(), " offset ", offset, " has expired"));
    }
    return absl::DataLossError(
        StrCat(Name(), ": ", Message(status), "; rebuild the queue from the log"));
  }
  RAFTMQ_RETURN_IF_ERROR(status);
  out->append(in_memory);
  return absl::OkStatus();
}

absl::StatusOr<ConsumeQueueEntry> ConsumeQueue::EntryAt(QueueOffset offset) const {
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(ReadBytes(offset, 1, &bytes));
  const ConsumeQueueEntry entry = LoadEntry(bytes.data());
  if (!IsSane(entry)) {
    return absl::DataLossError(StrCat(Name(), " offset ", offset, ": position ", entry.position,
                                      " size ", entry.size, "; rebuild the queue from the log"));
  }
  return entry;
}

absl::StatusOr<QueueOffset> ConsumeQueue::Search(
    QueueOffset from, QueueOffset to,
    const std::function<absl::StatusOr<bool>(const ConsumeQueueEntry&)>& before) const {
  while (from < to) {
    const QueueOffset middle = from + (to - from) / 2;
    RAFTMQ_ASSIGN_OR_RETURN(const ConsumeQueueEntry entry, EntryAt(middle));
    RAFTMQ_ASSIGN_OR_RETURN(const bool is_before, before(entry));
    if (is_before) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

absl::StatusOr<ConsumeQueue::Extent> ConsumeQueue::Resolve() {
  while (true) {
    Extent extent;
    LogPosition wanted;
    {
      absl::MutexLock lock(&mutex_);
      RAFTMQ_RETURN_IF_ERROR(damage_);
      extent = {min_, end_};
      wanted = min_position_;
      if (resolved_position_ >= wanted) return extent;
    }
    const absl::StatusOr<QueueOffset> found = FindFirst(extent, wanted);
    // Another thread was faster, and what it found to be expired is removed already.
    if (absl::IsOutOfRange(found.status())) continue;
    RAFTMQ_RETURN_IF_ERROR(found.status());
    absl::MutexLock lock(&mutex_);
    min_ = std::max(min_, *found);
    resolved_position_ = std::max(resolved_position_, wanted);
    return Extent{min_, end_};
  }
}

absl::StatusOr<QueueOffset> ConsumeQueue::FindFirst(Extent extent, LogPosition position) const {
  if (extent.min == extent.end) return extent.end;
  // Most queues have nothing in the segment that went: look at the first entry first.
  RAFTMQ_ASSIGN_OR_RETURN(const ConsumeQueueEntry first, EntryAt(extent.min));
  if (first.position >= position) return extent.min;
  return Search(extent.min + 1, extent.end,
                [position](const ConsumeQueueEntry& entry) -> absl::StatusOr<bool> {
                  return entry.position < position;
                });
}

absl::StatusOr<QueueOffset> ConsumeQueue::MinOffset() {
  RAFTMQ_ASSIGN_OR_RETURN(const Extent extent, Resolve());
  return extent.min;
}

absl::StatusOr<QueueOffset> ConsumeQueue::FirstFrom(LogPosition position) {
  RAFTMQ_ASSIGN_OR_RETURN(const Extent extent, Resolve());
  return FindFirst(extent, position);
}

QueueOffset ConsumeQueue::MaxOffset() const {
  absl::MutexLock lock(&mutex_);
  return end_;
}

absl::StatusOr<ConsumeQueueEntry> ConsumeQueue::Get(QueueOffset offset) {
  RAFTMQ_ASSIGN_OR_RETURN(const Extent extent, Resolve());
  if (offset < extent.min || offset >= extent.end) {
    return absl::OutOfRangeError(StrCat(Name(), " holds offsets ", extent.min, " to ", extent.end,
                                        " (excluded), not ", offset));
  }
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(ReadBytes(offset, 1, &bytes));
  return LoadEntry(bytes.data());
}

absl::StatusOr<std::vector<ConsumeQueueEntry>> ConsumeQueue::GetRange(QueueOffset offset,
                                                                      size_t max) {
  RAFTMQ_ASSIGN_OR_RETURN(const Extent extent, Resolve());
  if (offset < extent.min || offset > extent.end) {
    return absl::OutOfRangeError(StrCat(Name(), " holds offsets ", extent.min, " to ", extent.end,
                                        " (excluded), not ", offset));
  }
  const size_t count = std::min<size_t>(max, extent.end - offset);
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(ReadBytes(offset, count, &bytes));
  std::vector<ConsumeQueueEntry> entries;
  entries.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    entries.push_back(LoadEntry(bytes.data() + i * kEntry));
  }
  return entries;
}

absl::StatusOr<QueueOffset> ConsumeQueue::OffsetByTime(int64_t timestamp_ms, TimeBoundary boundary,
                                                       const StoreTimeOf& store_time_of) {
  RAFTMQ_ASSIGN_OR_RETURN(const Extent extent, Resolve());
  const auto before = [&](const ConsumeQueueEntry& entry) -> absl::StatusOr<bool> {
    RAFTMQ_ASSIGN_OR_RETURN(const int64_t stored_ms, store_time_of(entry));
    return boundary == TimeBoundary::kLower ? stored_ms < timestamp_ms : stored_ms <= timestamp_ms;
  };
  RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset found, Search(extent.min, extent.end, before));
  if (boundary == TimeBoundary::kLower) return found;
  return std::max(extent.min, found - 1);
}

absl::Status ConsumeQueue::Verify() {
  RAFTMQ_ASSIGN_OR_RETURN(const Extent extent, Resolve());
  LogPosition previous = kNoPosition;
  for (QueueOffset at = extent.min; at < extent.end;) {
    const size_t count = std::min<size_t>(kVerifyChunk, extent.end - at);
    RAFTMQ_ASSIGN_OR_RETURN(const std::vector<ConsumeQueueEntry> entries, GetRange(at, count));
    for (const ConsumeQueueEntry& entry : entries) {
      if (!IsSane(entry) || entry.position <= previous) {
        return absl::DataLossError(StrCat(Name(), " offset ", at, ": position ", entry.position,
                                          " size ", entry.size, " after position ", previous,
                                          "; rebuild the queue from the log"));
      }
      previous = entry.position;
      ++at;
    }
  }
  return absl::OkStatus();
}

std::vector<ConsumeQueue::FileExtent> ConsumeQueue::DurableFiles() const {
  absl::MutexLock lock(&mutex_);
  std::vector<FileExtent> files;
  if (!on_disk_) return files;
  for (int64_t file = first_file_; file <= FileNumber(disk_end_ - 1); ++file) {
    const int64_t begin = file * place_.entries_per_file;
    const int64_t count = std::min<int64_t>(place_.entries_per_file, disk_end_.value() - begin);
    files.push_back({PathOf(file), count * kEntry});
  }
  return files;
}

}  // namespace raftmq::store
