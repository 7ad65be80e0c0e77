#include "store/message_index.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::store {
namespace {

constexpr std::string_view kMarkName = "index.mark";

// yyyyMMddHHmmssSSS in UTC.
std::string TimeName(int64_t ms) {
  const time_t seconds = static_cast<time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char name[64];
  std::snprintf(name, sizeof(name), "%04d%02d%02d%02d%02d%02d%03d", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(ms % 1000));
  return name;
}

}  // namespace

MessageIndex::MessageIndex(FileSystem* fs, std::string directory, Options options)
    : fs_(fs),
      directory_(std::move(directory)),
      shape_{options.slots, options.entries},
      cache_(fs, options.max_open_files) {}

std::string MessageIndex::MarkPath() const { return StrCat(directory_, "/", kMarkName); }

std::string MessageIndex::PathOf(int64_t name_ms) const {
  return StrCat(directory_, "/", TimeName(name_ms));
}

// ---- Opening

absl::StatusOr<std::unique_ptr<MessageIndex>> MessageIndex::Open(FileSystem* fs,
                                                                 std::string directory,
                                                                 Options options) {
  CHECK_GT(options.slots, 0);
  CHECK_GT(options.entries, 1);
  auto index = std::unique_ptr<MessageIndex>(new MessageIndex(fs, std::move(directory), options));
  RAFTMQ_RETURN_IF_ERROR(index->Load());
  return index;
}

absl::Status MessageIndex::Load() {
  RAFTMQ_RETURN_IF_ERROR(fs_->CreateDirs(directory_));
  RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(ParentDirectory(directory_)));
  const absl::StatusOr<std::string> data = ReadFile(fs_, MarkPath());
  if (absl::IsNotFound(data.status())) return Clear("it has no mark file");
  RAFTMQ_RETURN_IF_ERROR(data.status());
  const absl::StatusOr<Table> table = DecodeTable(*data);
  if (!table.ok()) return Clear(Message(table.status()));
  const absl::Status status = Restore(*table);
  if (absl::IsDataLoss(status)) return Clear(Message(status));
  return status;
}

absl::Status MessageIndex::Restore(const Table& table) {
  RAFTMQ_RETURN_IF_ERROR(RemoveUnknownFiles(table));
  FileList list;
  for (const Row& row : table.rows) {
    RAFTMQ_ASSIGN_OR_RETURN(std::shared_ptr<IndexFile> file,
                            IndexFile::Open(PathOf(row.name_ms), shape_, row.state, &cache_));
    list.push_back({row.name_ms, std::move(file)});
  }
  absl::MutexLock flush_lock(&flush_mutex_);
  absl::MutexLock lock(&mutex_);
  list_ = std::move(list);
  mark_ = table.mark;
  min_position_ = table.min_position;
  durable_ = table;
  return absl::OkStatus();
}

absl::Status MessageIndex::Clear(std::string_view why) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(directory_));
  if (names.empty()) return absl::OkStatus();
  LOG(ERROR) << "Message index in " << directory_ << ": " << why
             << "; removing it, the log rebuilds it";
  // The mark goes first: index files without one are nothing.
  cache_.ForgetBelow(directory_);
  RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(MarkPath()));
  RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(directory_));
  return RemoveUnknownFiles(Table());
}

absl::Status MessageIndex::RemoveUnknownFiles(const Table& table) {
  std::vector<std::string> known = {std::string(kMarkName)};
  for (const Row& row : table.rows) known.push_back(TimeName(row.name_ms));
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(directory_));
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(StrCat(directory_, "/", name)));
  }
  return absl::OkStatus();
}

// ---- Writing

void MessageIndex::Add(std::string_view topic, std::string_view key, LogPosition position,
                       int64_t store_timestamp_ms) {
  absl::MutexLock lock(&mutex_);
  if (position < mark_.position || !damage_.ok()) return;
  if (list_.empty() || list_.back().file->full()) {
    int64_t name_ms = std::max<int64_t>(store_timestamp_ms, 0);
    if (!list_.empty()) name_ms = std::max(name_ms, list_.back().name_ms + 1);
    list_.push_back({name_ms, std::make_shared<IndexFile>(PathOf(name_ms), shape_, &cache_)});
  }
  list_.back().file->Add(IndexKeyHash(topic, key), position, store_timestamp_ms);
}

void MessageIndex::SetMinPosition(LogPosition position) {
  absl::MutexLock lock(&mutex_);
  min_position_ = std::max(min_position_, position);
}

// ---- Flushing

bool MessageIndex::Freeze(AppliedMark mark) {
  absl::MutexLock lock(&mutex_);
  if (frozen_) return false;
  CHECK(mark_.index <= mark.index && mark_.position <= mark.position)
      << "the message index is at index " << mark_.index << ", frozen at " << mark.index;
  frozen_ = true;
  frozen_mark_ = mark;
  frozen_min_position_ = min_position_;
  frozen_list_ = list_;
  for (const NamedFile& file : frozen_list_) file.file->Freeze();
  return true;
}

absl::Status MessageIndex::WriteFrozen() { return Write(/*with_slots=*/false); }

absl::Status MessageIndex::Flush(AppliedMark mark) {
  RAFTMQ_RETURN_IF_ERROR(WriteFrozen());  // whatever still waits
  CHECK(Freeze(mark)) << "two threads flush the message index";
  return WriteFrozen();
}

absl::Status MessageIndex::Close(AppliedMark mark) {
  RAFTMQ_RETURN_IF_ERROR(Flush(mark));
  CHECK(Freeze(mark)) << "two threads flush the message index";
  return Write(/*with_slots=*/true);
}

absl::Status MessageIndex::Write(bool with_slots) {
  absl::MutexLock flush_lock(&flush_mutex_);
  RAFTMQ_RETURN_IF_ERROR(failure_);
  FileList files;
  Table next;
  bool damaged;
  {
    absl::MutexLock lock(&mutex_);
    if (!frozen_) return absl::OkStatus();
    files = frozen_list_;
    next.mark = frozen_mark_;
    next.min_position = frozen_min_position_;
    damaged = !damage_.ok();
  }
  if (!damaged) {
    absl::Status status = WriteFiles(files, with_slots);
    if (absl::IsNotFound(status)) {
      status = SetDamaged(status);
    } else if (status.ok()) {
      status = WriteTable(files, next);
      if (status.ok()) status = DropExpired();
    }
    failure_ = status;
    RAFTMQ_RETURN_IF_ERROR(failure_);
  }
  absl::MutexLock lock(&mutex_);
  mark_ = next.mark;
  frozen_ = false;
  frozen_list_.clear();
  return absl::OkStatus();
}

absl::Status MessageIndex::WriteFiles(const FileList& files, bool with_slots) {
  for (const NamedFile& file : files) RAFTMQ_RETURN_IF_ERROR(file.file->WriteFrozen(with_slots));
  const int64_t newest = durable_.rows.empty() ? -1 : durable_.rows.back().name_ms;
  if (!files.empty() && files.back().name_ms > newest) return fs_->SyncDir(directory_);
  return absl::OkStatus();
}

absl::Status MessageIndex::WriteTable(const FileList& files, Table next) {
  for (const NamedFile& file : files) {
    const IndexFile::State state = file.file->frozen_state();
    // The last one stays, for its name.
    const bool expired = state.end_position < next.min_position && file.file->full() &&
                         file.file != files.back().file;
    if (!expired) next.rows.push_back({file.name_ms, state});
  }
  RAFTMQ_RETURN_IF_ERROR(WriteFileAtomically(fs_, MarkPath(), EncodeTable(next)));
  durable_ = std::move(next);
  return absl::OkStatus();
}

absl::Status MessageIndex::DropExpired() {
  if (durable_.rows.empty()) return absl::OkStatus();
  const int64_t oldest = durable_.rows.front().name_ms;
  std::vector<int64_t> expired;
  {
    absl::MutexLock lock(&mutex_);
    std::erase_if(list_, [&](const NamedFile& file) {
      if (file.name_ms >= oldest) return false;
      expired.push_back(file.name_ms);
      return true;
    });
  }
  for (const int64_t name_ms : expired) {
    cache_.Forget(PathOf(name_ms));
    RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(PathOf(name_ms)));
  }
  return absl::OkStatus();
}

absl::Status MessageIndex::SetDamaged(const absl::Status& why) {
  LOG(ERROR) << "Message index in " << directory_ << ": " << why
             << "; queries by key fail until a restart, which rebuilds it";
  {
    absl::MutexLock lock(&mutex_);
    damage_ = absl::DataLossError(
        StrCat("message index: ", Message(why), "; restart this member to rebuild it"));
    list_.clear();
  }
  durable_ = Table();
  // Without a mark the next Open begins anew.
  RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(MarkPath()));
  return fs_->SyncDir(directory_);
}

AppliedMark MessageIndex::mark() const {
  absl::ReaderMutexLock lock(&mutex_);
  return mark_;
}

int64_t MessageIndex::buffered_bytes() const {
  absl::ReaderMutexLock lock(&mutex_);
  int64_t bytes = 0;
  for (const NamedFile& file : list_) bytes += file.file->buffered_bytes();
  return bytes;
}

// ---- Reading

absl::StatusOr<std::vector<LogPosition>> MessageIndex::Collect(
    const Query& query,
    const std::function<absl::Status(const IndexFile&, const IndexFile::Range&,
                                     std::vector<IndexFile::Hit>*)>& search) const {
  FileList files;
  IndexFile::Range range{query.begin_ms, query.end_ms, LogPosition(0), query.before, query.max};
  {
    absl::ReaderMutexLock lock(&mutex_);
    RAFTMQ_RETURN_IF_ERROR(damage_);
    files = list_;
    range.from = min_position_;
  }
  std::vector<IndexFile::Hit> hits;
  for (auto file = files.rbegin(); file != files.rend() && hits.size() < query.max; ++file) {
    if (!file->file->MayContain(query.begin_ms, query.end_ms)) continue;
    const absl::Status status = search(*file->file, range, &hits);
    if (absl::IsNotFound(status)) {
      // Expired since the list was copied, or somebody removed it.
      absl::ReaderMutexLock lock(&mutex_);
      if (file->file->state().end_position < min_position_) break;
      return absl::DataLossError(
          StrCat("message index: ", Message(status), "; restart this member to rebuild it"));
    }
    RAFTMQ_RETURN_IF_ERROR(status);
  }
  std::vector<LogPosition> positions;
  for (const IndexFile::Hit& hit : hits) positions.push_back(hit.position);
  return positions;
}

absl::StatusOr<std::vector<LogPosition>> MessageIndex::QueryByKey(std::string_view topic,
                                                                  std::string_view key,
                                                                  const Query& query) const {
  const int32_t hash = IndexKeyHash(topic, key);
  return Collect(
      query, [hash](const IndexFile& file, const IndexFile::Range& range,
                    std::vector<IndexFile::Hit>* hits) { return file.Query(hash, range, hits); });
}

absl::StatusOr<std::vector<LogPosition>> MessageIndex::QueryByTime(const Query& query) const {
  return Collect(query,
                 [](const IndexFile& file, const IndexFile::Range& range,
                    std::vector<IndexFile::Hit>* hits) { return file.QueryByTime(range, hits); });
}

absl::StatusOr<std::string> MessageIndex::DumpLogical() const {
  FileList files;
  LogPosition from;
  {
    absl::ReaderMutexLock lock(&mutex_);
    RAFTMQ_RETURN_IF_ERROR(damage_);
    files = list_;
    from = min_position_;
  }
  std::string dump;
  for (const NamedFile& file : files) {
    const int32_t count = file.file->state().count;
    for (int32_t number = 1; number < count; ++number) {
      RAFTMQ_ASSIGN_OR_RETURN(const IndexFile::Entry entry, file.file->EntryAt(number));
      if (entry.position >= from) dump += StrCat(entry.position, " ", entry.key_hash, "\n");
    }
  }
  return dump;
}

absl::Status MessageIndex::Verify() const {
  FileList files;
  {
    absl::ReaderMutexLock lock(&mutex_);
    RAFTMQ_RETURN_IF_ERROR(damage_);
    files = list_;
  }
  for (const NamedFile& file : files) RAFTMQ_RETURN_IF_ERROR(file.file->Verify());
  return absl::OkStatus();
}

std::vector<MessageIndex::FileExtent> MessageIndex::DurableFiles() const {
  absl::MutexLock flush_lock(&flush_mutex_);
  std::vector<FileExtent> files;
  if (durable_.mark == AppliedMark()) return files;  // nothing was ever flushed
  files.push_back({std::string(kMarkName), static_cast<int64_t>(EncodeTable(durable_).size())});
  for (const Row& row : durable_.rows) {
    files.push_back({TimeName(row.name_ms), IndexFile::SizeOf(shape_, row.state)});
  }
  return files;
}

}  // namespace raftmq::store
