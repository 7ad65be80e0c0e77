#include "store/index_file.h"

#include <algorithm>
#include <limits>

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "store/java_string_hash.h"

namespace raftmq::store {
namespace {

constexpr int32_t kNoEntry = 0;
constexpr int64_t kMillisPerSecond = 1000;
// Entries read at once when all of them are wanted: 1.25 MiB.
constexpr int32_t kScanChunk = 65536;
// Slots written at once: 1 MiB.
constexpr size_t kSlotChunk = 262'144;

IndexFile::Entry LoadEntry(const char* at) {
  return {LoadBe<int32_t>(at), LogPosition(LoadBe<int64_t>(at + 4)), LoadBe<int32_t>(at + 12),
          LoadBe<int32_t>(at + 16)};
}

void AppendEntry(std::string* out, const IndexFile::Entry& entry) {
  AppendBe<int32_t>(out, entry.key_hash);
  AppendBe<int64_t>(out, entry.position.value());
  AppendBe<int32_t>(out, entry.seconds);
  AppendBe<int32_t>(out, entry.previous);
}

// The earliest time at which the entry's record may have been stored.
int64_t StoredAt(const IndexFile::Entry& entry, int64_t begin_ms) {
  return begin_ms + int64_t{entry.seconds} * kMillisPerSecond;
}

bool IsBefore(const IndexFile::Entry& entry, int64_t stored_ms, const IndexFile::Range& range) {
  return stored_ms + kMillisPerSecond <= range.begin_ms || entry.position < range.from;
}

bool IsAfter(const IndexFile::Entry& entry, int64_t stored_ms, const IndexFile::Range& range) {
  return stored_ms > range.end_ms || entry.position >= range.before;
}

void AddHit(const IndexFile::Entry& entry, int64_t stored_ms, std::vector<IndexFile::Hit>* hits) {
  // A record's keys are added one after another, so its entries come together.
  if (!hits->empty() && hits->back().position == entry.position) return;
  hits->push_back({entry.position, stored_ms});
}

}  // namespace

int32_t IndexKeyHash(std::string_view topic, std::string_view key) {
  const int32_t hash = JavaStringHash(key, JavaStringHash("#", JavaStringHash(topic)));
  if (hash == std::numeric_limits<int32_t>::min()) return 0;
  return hash < 0 ? -hash : hash;
}

IndexFile::IndexFile(std::string path, Shape shape, FileCache* files)
    : path_(std::move(path)), shape_(shape), files_(files) {
  CHECK_GT(shape_.slots, 0);
  CHECK_GT(shape_.entries, 1);
}

int64_t IndexFile::SizeOf(const Shape& shape, const State& state) {
  return kHeaderSize + int64_t{shape.slots} * kSlotSize + int64_t{state.count} * kEntrySize;
}

std::string IndexFile::EncodeHeader(const State& state) {
  std::string header;
  AppendBe<int64_t>(&header, state.begin_timestamp_ms);
  AppendBe<int64_t>(&header, state.end_timestamp_ms);
  AppendBe<int64_t>(&header, state.begin_position.value());
  AppendBe<int64_t>(&header, state.end_position.value());
  AppendBe<int32_t>(&header, state.used_slots);
  AppendBe<int32_t>(&header, state.count);
  CHECK_EQ(header.size(), kHeaderSize);
  return header;
}

// ---- Opening

absl::StatusOr<std::unique_ptr<IndexFile>> IndexFile::Open(std::string path, Shape shape,
                                                           const State& state, FileCache* files) {
  auto file = std::make_unique<IndexFile>(std::move(path), shape, files);
  {
    absl::MutexLock lock(&file->mutex_);
    file->state_ = file->frozen_state_ = state;
    file->disk_count_ = state.count;
    file->disk_crc_ = state.entries_crc;
  }
  RAFTMQ_RETURN_IF_ERROR(file->Load());
  return file;
}

absl::Status IndexFile::Load() {
  const State state = this->state();
  absl::StatusOr<std::shared_ptr<File>> file = OpenFile();
  if (absl::IsNotFound(file.status())) return absl::DataLossError(ToAbsl(Message(file.status())));
  RAFTMQ_RETURN_IF_ERROR(file.status());
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t size, (*file)->Size());
  const int64_t expected = SizeOf(shape_, state);
  if (state.count < 2 || state.count > shape_.entries || size < expected) {
    return absl::DataLossError(StrCat(path_, " has ", size, " bytes, the mark file says ", expected,
                                      " for ", state.count - 1, " entries"));
  }
  // What a crash left beyond the mark.
  if (size > expected) RAFTMQ_RETURN_IF_ERROR((*file)->Truncate(expected));
  if (state.count == shape_.entries) {
    if (state.slots_on_disk) return absl::OkStatus();
    return absl::DataLossError(StrCat(path_, " is full, but its slots were not written"));
  }
  // The slots may be those of a later state that a crash kept from the mark, so they need not
  // match.
  absl::StatusOr<std::vector<int32_t>> slots =
      state.slots_on_disk ? ReadSlots(state) : MakeSlots(state);
  if (state.slots_on_disk && absl::IsDataLoss(slots.status())) slots = MakeSlots(state);
  RAFTMQ_RETURN_IF_ERROR(slots.status());
  absl::MutexLock lock(&mutex_);
  slots_ = *std::move(slots);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> IndexFile::ReadSlots(const State& state) const {
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, OpenFile());
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(file->PRead(kHeaderSize, shape_.slots * kSlotSize, &bytes));
  if (const uint32_t crc = Crc32c(bytes); crc != state.slots_crc) {
    return absl::DataLossError(
        StrCat(path_, ": its slots have CRC ", crc, ", the mark file says ", state.slots_crc));
  }
  std::vector<int32_t> slots(shape_.slots);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = LoadBe<int32_t>(&bytes[i * kSlotSize]);
  return slots;
}

absl::StatusOr<std::vector<int32_t>> IndexFile::MakeSlots(const State& state) const {
  std::vector<int32_t> slots(shape_.slots, kNoEntry);
  uint32_t crc = 0;
  RAFTMQ_RETURN_IF_ERROR(ScanFile(state.count, &crc, [&slots](int32_t number, const Entry& entry) {
    // Unsigned: garbage must not lead outside before its CRC gives it away.
    slots[static_cast<uint32_t>(entry.key_hash) % slots.size()] = number;
  }));
  if (crc != state.entries_crc) {
    return absl::DataLossError(
        StrCat(path_, ": its entries have CRC ", crc, ", the mark file says ", state.entries_crc));
  }
  return slots;
}

absl::Status IndexFile::ScanFile(int32_t count, uint32_t* crc,
                                 const std::function<void(int32_t, const Entry&)>& visit) const {
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, OpenFile());
  *crc = 0;
  std::string bytes;
  for (int32_t at = 1; at < count; at += kScanChunk) {
    const int32_t part = std::min(kScanChunk, count - at);
    RAFTMQ_RETURN_IF_ERROR(file->PRead(EntryOffset(at), part * kEntrySize, &bytes));
    if (bytes.size() != part * kEntrySize) {
      return absl::DataLossError(StrCat(path_, " ends before entry ", at + part));
    }
    *crc = Crc32c(bytes, *crc);
    for (int32_t i = 0; i < part; ++i) visit(at + i, LoadEntry(&bytes[i * kEntrySize]));
  }
  return absl::OkStatus();
}

absl::Status IndexFile::Verify() const {
  int32_t count;
  uint32_t expected;
  State state;
  {
    absl::ReaderMutexLock lock(&mutex_);
    count = disk_count_;
    expected = disk_crc_;
    state = state_;
  }
  if (count == 1) return absl::OkStatus();
  uint32_t crc = 0;
  RAFTMQ_RETURN_IF_ERROR(ScanFile(count, &crc, [](int32_t, const Entry&) {}));
  if (crc != expected) {
    return absl::DataLossError(
        StrCat(path_, ": its entries have CRC ", crc, ", expected ", expected));
  }
  return state.slots_on_disk ? ReadSlots(state).status() : absl::OkStatus();
}

// ---- Writing

void IndexFile::Add(int32_t key_hash, LogPosition position, int64_t store_timestamp_ms) {
  absl::MutexLock lock(&mutex_);
  CHECK_LT(state_.count, shape_.entries) << path_ << " is full";
  if (state_.count == 1) {
    state_.begin_timestamp_ms = store_timestamp_ms;
    state_.begin_position = position;
    slots_.assign(shape_.slots, kNoEntry);
  }
  CHECK_GE(position, state_.end_position) << path_;
  int32_t& slot = slots_[key_hash % shape_.slots];
  const int64_t seconds = (store_timestamp_ms - state_.begin_timestamp_ms) / kMillisPerSecond;
  AppendEntry(
      &buffer_,
      {key_hash, position,
       static_cast<int32_t>(std::clamp<int64_t>(seconds, 0, std::numeric_limits<int32_t>::max())),
       slot});
  if (slot == kNoEntry) ++state_.used_slots;
  slot = state_.count++;
  state_.end_position = position;
  state_.end_timestamp_ms = store_timestamp_ms;
  state_.slots_on_disk = false;
}

void IndexFile::Freeze() {
  absl::MutexLock lock(&mutex_);
  CHECK(frozen_.empty()) << path_;
  frozen_.swap(buffer_);
  state_.entries_crc = Crc32c(frozen_, state_.entries_crc);
  frozen_state_ = state_;
}

absl::Status IndexFile::WriteFrozen(bool with_slots) {
  std::string_view entries;
  std::string header;
  int32_t at;
  bool write_slots;
  {
    absl::MutexLock lock(&mutex_);
    write_slots =
        !frozen_state_.slots_on_disk && (with_slots || frozen_state_.count >= shape_.entries);
    if (frozen_.empty() && !write_slots) return absl::OkStatus();
    entries = frozen_;  // nobody else changes it
    at = disk_count_;
    header = EncodeHeader(frozen_state_);
  }
  const bool create = at == 1;
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, files_->Open(path_, create));
  // A file that a crash left behind may be in the way.
  if (create) RAFTMQ_RETURN_IF_ERROR(file->Truncate(0));
  RAFTMQ_RETURN_IF_ERROR(file->PWrite(0, header));
  RAFTMQ_RETURN_IF_ERROR(file->PWrite(EntryOffset(at), entries));
  uint32_t slots_crc = 0;
  if (write_slots) RAFTMQ_RETURN_IF_ERROR(WriteSlots(*file, &slots_crc));
  RAFTMQ_RETURN_IF_ERROR(file->DataSync());
  absl::MutexLock lock(&mutex_);
  disk_count_ = frozen_state_.count;
  disk_crc_ = frozen_state_.entries_crc;
  std::string().swap(frozen_);
  if (write_slots) {
    CHECK_EQ(state_.count, frozen_state_.count)
        << path_ << ": added to while its slots are written";
    state_.slots_on_disk = frozen_state_.slots_on_disk = true;
    state_.slots_crc = frozen_state_.slots_crc = slots_crc;
  }
  // A full file's slots are read from the disk from now on.
  if (disk_count_ == shape_.entries) std::vector<int32_t>().swap(slots_);
  return absl::OkStatus();
}

absl::Status IndexFile::WriteSlots(File& file, uint32_t* crc) const {
  *crc = 0;
  std::string bytes;
  for (size_t from = 0; from < static_cast<size_t>(shape_.slots); from += kSlotChunk) {
    bytes.clear();
    {
      absl::ReaderMutexLock lock(&mutex_);
      const size_t to = std::min(slots_.size(), from + kSlotChunk);
      for (size_t i = from; i < to; ++i) AppendBe<int32_t>(&bytes, slots_[i]);
    }
    *crc = Crc32c(bytes, *crc);
    RAFTMQ_RETURN_IF_ERROR(file.PWrite(SlotOffset(from), bytes));
  }
  return absl::OkStatus();
}

IndexFile::State IndexFile::state() const {
  absl::ReaderMutexLock lock(&mutex_);
  return state_;
}

IndexFile::State IndexFile::frozen_state() const {
  absl::ReaderMutexLock lock(&mutex_);
  return frozen_state_;
}

bool IndexFile::full() const {
  absl::ReaderMutexLock lock(&mutex_);
  return state_.count >= shape_.entries;
}

int64_t IndexFile::buffered_bytes() const {
  absl::ReaderMutexLock lock(&mutex_);
  return static_cast<int64_t>(buffer_.size() + frozen_.size());
}

// ---- Reading

absl::StatusOr<std::shared_ptr<File>> IndexFile::OpenFile() const { return files_->Open(path_); }

absl::StatusOr<int32_t> IndexFile::SlotValue(int32_t slot) const {
  {
    absl::ReaderMutexLock lock(&mutex_);
    if (!slots_.empty()) return slots_[slot];
    if (state_.count == 1) return kNoEntry;
  }
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, OpenFile());
  char bytes[kSlotSize];
  RAFTMQ_ASSIGN_OR_RETURN(const size_t got, file->PReadInto(SlotOffset(slot), bytes, kSlotSize));
  if (got != kSlotSize) return absl::DataLossError(StrCat(path_, " ends before slot ", slot));
  return LoadBe<int32_t>(bytes);
}

absl::StatusOr<IndexFile::Entry> IndexFile::EntryAt(int32_t number) const {
  {
    absl::ReaderMutexLock lock(&mutex_);
    if (number < 1 || number >= state_.count) {
      return absl::DataLossError(
          StrCat(path_, " has entries 1 to ", state_.count - 1, ", not ", number));
    }
    if (number >= disk_count_) {
      const size_t at = (number - disk_count_) * kEntrySize;
      return LoadEntry(at < frozen_.size() ? &frozen_[at] : &buffer_[at - frozen_.size()]);
    }
  }
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, OpenFile());
  char bytes[kEntrySize];
  RAFTMQ_ASSIGN_OR_RETURN(const size_t got,
                          file->PReadInto(EntryOffset(number), bytes, kEntrySize));
  if (got != kEntrySize) return absl::DataLossError(StrCat(path_, " ends before entry ", number));
  return LoadEntry(bytes);
}

bool IndexFile::MayContain(int64_t begin_ms, int64_t end_ms) const {
  absl::ReaderMutexLock lock(&mutex_);
  return state_.count > 1 && begin_ms <= state_.end_timestamp_ms &&
         end_ms >= state_.begin_timestamp_ms;
}

absl::Status IndexFile::Query(int32_t key_hash, const Range& range, std::vector<Hit>* hits) const {
  RAFTMQ_ASSIGN_OR_RETURN(int32_t number, SlotValue(key_hash % shape_.slots));
  const int64_t begin_ms = state().begin_timestamp_ms;
  while (number != kNoEntry && hits->size() < range.max) {
    RAFTMQ_ASSIGN_OR_RETURN(const Entry entry, EntryAt(number));
    const int64_t stored_ms = StoredAt(entry, begin_ms);
    // Everything before it is older, and lower in the log.
    if (IsBefore(entry, stored_ms, range)) break;
    if (entry.key_hash == key_hash && !IsAfter(entry, stored_ms, range)) {
      AddHit(entry, stored_ms, hits);
    }
    if (entry.previous < kNoEntry || entry.previous >= number) {
      return absl::DataLossError(
          StrCat(path_, " entry ", number, " is linked to ", entry.previous, ", not before it"));
    }
    number = entry.previous;
  }
  return absl::OkStatus();
}

absl::Status IndexFile::QueryByTime(const Range& range, std::vector<Hit>* hits) const {
  const State state = this->state();
  RAFTMQ_ASSIGN_OR_RETURN(int32_t number, LastWanted(range, state.count, state.begin_timestamp_ms));
  for (; number >= 1 && hits->size() < range.max; --number) {
    RAFTMQ_ASSIGN_OR_RETURN(const Entry entry, EntryAt(number));
    const int64_t stored_ms = StoredAt(entry, state.begin_timestamp_ms);
    if (IsBefore(entry, stored_ms, range)) break;
    AddHit(entry, stored_ms, hits);
  }
  return absl::OkStatus();
}

absl::StatusOr<int32_t> IndexFile::LastWanted(const Range& range, int32_t count,
                                              int64_t begin_ms) const {
  int32_t low = 0, high = count - 1;  // the answer is in [low, high]
  while (low < high) {
    const int32_t middle = high - (high - low) / 2;
    RAFTMQ_ASSIGN_OR_RETURN(const Entry entry, EntryAt(middle));
    if (IsAfter(entry, StoredAt(entry, begin_ms), range)) {
      high = middle - 1;
    } else {
      low = middle;
    }
  }
  return low;
}

}  // namespace raftmq::store
