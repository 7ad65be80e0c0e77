// IndexFile: one file of the message index, in RocketMQ's format: a header, a hash table of slots,
// and a list of entries, each linked to the entry before it in its slot. Query walks back from the
// slot, so the newest comes first.
//
// The file that is being filled keeps its slots in memory; they are written when it is full, or at
// a clean stop. Until then they can be made again from the entries. A file grows as entries come.
//
// Created by MessageIndex, which also keeps what survives a restart (State). Thread-safe for one
// writer (Add, Freeze), one flusher and any number of readers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "store/file_cache.h"

namespace raftmq::store {

// RocketMQ's hash of "topic#key": Java's, without its sign (0 for the one that has no positive).
int32_t IndexKeyHash(std::string_view topic, std::string_view key);

class IndexFile {
 public:
  static constexpr size_t kHeaderSize = 40;
  static constexpr size_t kSlotSize = 4;
  static constexpr size_t kEntrySize = 20;

  struct Shape {
    int32_t slots = 0;
    int32_t entries = 0;  // number 0 is never used: one less fit
  };

  // What must be known of a file to trust it after a crash. The header holds the first six too.
  struct State {
    int64_t begin_timestamp_ms = 0;
    int64_t end_timestamp_ms = 0;
    LogPosition begin_position;
    LogPosition end_position;  // of the last entry's record
    int32_t used_slots = 0;
    int32_t count = 1;         // RocketMQ's indexCount: one more than there are entries
    uint32_t entries_crc = 0;  // CRC-32C of the entries that were frozen
    bool slots_on_disk = false;
    uint32_t slots_crc = 0;  // CRC-32C of the slots, if they are on disk

    bool operator==(const State&) const = default;
  };

  struct Hit {
    LogPosition position;
    // The record was stored in this second: [earliest, earliest + 999].
    int64_t earliest_store_ms = 0;
  };

  // Which entries a query wants. Store times are inclusive; an entry's is known to the second only,
  // so hits may lie up to 999 ms outside.
  struct Range {
    int64_t begin_ms = 0;
    int64_t end_ms = 0;
    LogPosition from;  // positions in [from, before) only
    LogPosition before;
    size_t max = 0;
  };

  // A file that begins with the entry given to Add first. `files` outlives it.
  IndexFile(std::string path, Shape shape, FileCache* files);

  // A file on disk, as `state` says it was; DataLoss if it isn't so. Reads the slots or makes them
  // from the entries, if more can be added.
  static absl::StatusOr<std::unique_ptr<IndexFile>> Open(std::string path, Shape shape,
                                                         const State& state, FileCache* files);

  const std::string& path() const { return path_; }
  State state() const;
  bool full() const;
  int64_t buffered_bytes() const;

  // ---- Writing

  // REQUIRES: not full; times and positions never decrease.
  void Add(int32_t key_hash, LogPosition position, int64_t store_timestamp_ms);
  // Marks what is in memory now as the next thing to write.
  void Freeze();
  // Writes and syncs what was frozen, and the slots too if the file is full or `with_slots`, which
  // REQUIRES that nothing is added meanwhile. NotFound: somebody removed the file.
  absl::Status WriteFrozen(bool with_slots);
  // What is on disk once WriteFrozen returned OK.
  State frozen_state() const;

  // ---- Reading

  // Appends to `hits`, newest first, up to range.max altogether: entries of this hash.
  absl::Status Query(int32_t key_hash, const Range& range, std::vector<Hit>* hits) const;
  // The same for all entries, by time alone; a record with several keys is one hit.
  absl::Status QueryByTime(const Range& range, std::vector<Hit>* hits) const;
  // Whether any entry may be in that time.
  bool MayContain(int64_t begin_ms, int64_t end_ms) const;

  struct Entry {
    int32_t key_hash = 0;
    LogPosition position;
    int32_t seconds = 0;  // since the file's begin_timestamp_ms
    int32_t previous = 0;
  };
  // Entry `number`, 1 ≤ number < count.
  absl::StatusOr<Entry> EntryAt(int32_t number) const;

  // Reads all entries and slots that are on disk and compares their CRCs.
  absl::Status Verify() const;

  // Bytes of the file that count, given its state on disk.
  static int64_t SizeOf(const Shape& shape, const State& state);

 private:
  int64_t SlotOffset(size_t slot) const {
    return static_cast<int64_t>(kHeaderSize + slot * kSlotSize);
  }
  int64_t EntryOffset(int32_t number) const {
    return SlotOffset(shape_.slots) + int64_t{number} * static_cast<int64_t>(kEntrySize);
  }
  static std::string EncodeHeader(const State& state);
  absl::StatusOr<std::shared_ptr<File>> OpenFile() const;

  absl::Status Load();
  absl::StatusOr<std::vector<int32_t>> ReadSlots(const State& state) const;
  absl::StatusOr<std::vector<int32_t>> MakeSlots(const State& state) const;
  absl::Status WriteSlots(File& file, uint32_t* crc) const;
  // Calls visit(number, entry) for entries [1, count) of the file.
  absl::Status ScanFile(int32_t count, uint32_t* crc,
                        const std::function<void(int32_t, const Entry&)>& visit) const;

  absl::StatusOr<int32_t> SlotValue(int32_t slot) const;
  // The highest entry number that `range` may want, by time and position; 0 if there is none.
  absl::StatusOr<int32_t> LastWanted(const Range& range, int32_t count, int64_t begin_ms) const;

  const std::string path_;
  const Shape shape_;
  FileCache* const files_;

  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  State frozen_state_ ABSL_GUARDED_BY(mutex_);
  // Slot values while entries may come; empty once the file's own are used.
  std::vector<int32_t> slots_ ABSL_GUARDED_BY(mutex_);
  // Entries below disk_count_ are in the file, the next ones in frozen_, the rest in buffer_.
  int32_t disk_count_ ABSL_GUARDED_BY(mutex_) = 1;
  uint32_t disk_crc_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string frozen_ ABSL_GUARDED_BY(mutex_);
  std::string buffer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::store
