// RecentSends: the messages stored lately, by who sent them, so that a send that is repeated (its
// answer was lost, say) is answered as the first one was and stored once. docs/decisions/0007.
//
// A send is known by its client's id, its topic and its message id, and confirmed by body and born
// time. Every member keeps the table while it applies the log; on the leader its end holds what is
// proposed and not applied yet. Nothing of it is on disk but a mark: from which entry on the log
// rebuilds it at the next start. It is an index, not replicated state: the leader decides by its
// own, and what it decides is in the log.
//
// Bounded by count and by log time, whichever is less. Memory: 56 bytes a message and 16 to 32
// bytes of hash slots; a delayed message 32 more. The table is larger than a processor's caches:
// what a message needs of it is fetched ahead.
//
// Thread-safe. Open, Freeze and WriteFrozen as in the other derived parts (Dispatcher).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "store/message_record.h"

namespace raftmq::store {

// What makes two sends one. Valid in this process only.
struct SendIdentity {
  uint64_t key = 0;  // 0: not known by anything, never a repetition
  uint32_t body_crc = 0;
  uint32_t body_size = 0;
  int64_t born_ms = 0;
};

// `client`: ClientHash. A message without an id, or of no known client, has no identity.
SendIdentity IdentityOf(uint64_t client, std::string_view topic, std::string_view message_id,
                        const RecordStamp& stamp);

// Whether `b`, of the same key, is `a` once more.
bool IsRepetition(const SendIdentity& a, const SendIdentity& b, int64_t born_slack_ms);

// What the first send was answered with.
struct StoredSend {
  enum class Waits : uint8_t { kNowhere, kAsTimer, kAsHalf };
  QueueId queue;
  QueueOffset offset;
  LogPosition position;
  int64_t store_ms = 0;
  int64_t due_ms = 0;  // as a timer
  Waits waits = Waits::kNowhere;
};

class RecentSends {
 public:
  struct Options {
    size_t max_messages = 1'000'000;  // 0: nothing is remembered
    int64_t window_ms = 600'000;      // of log time
    // Official clients stamp a message anew at each try: born times that are no further apart than
    // this are taken for one.
    int64_t born_slack_ms = 60'000;
  };

  // `path`: of the mark file. A mark that is missing or damaged: everything is to be replayed.
  static absl::StatusOr<std::unique_ptr<RecentSends>> Open(FileSystem* fs, std::string path,
                                                           Options options);

  const Options& options() const { return options_; }

  // The first send of each that is a repetition at `log_ms`; empty if none is.
  std::vector<std::optional<StoredSend>> Find(std::string_view topic,
                                              std::span<const SendIdentity> sends,
                                              int64_t log_ms) const;

  // ---- The leader's proposals, in log order

  void AddPending(const SendIdentity& send, const StoredSend& stored);
  // From here on sends to the topic are new ones.
  void PendingDeletion(std::string_view topic);
  // Leadership ended: what is not applied may never be.
  void DropPending();

  // ---- What is applied, in log order; anything may come again at the start

  void Apply(std::span<const RecordHeaderView> records, LogIndex entry);
  void ApplyDeletion(std::string_view topic);

  // ---- Where a restart begins

  // Entries up to this one are not needed to rebuild what was there at the last WriteFrozen; the
  // highest index there is if nothing is ever remembered.
  LogIndex mark() const;
  // Everything up to `applied` was applied; the log's time is `log_ms`.
  void Freeze(LogIndex applied, int64_t log_ms);
  absl::Status WriteFrozen();

  // Of the oldest message that is in the window at `log_ms`: retention leaves it and what follows
  // in the log, from which a restart rebuilds the table. The highest position there is if there is
  // none.
  LogPosition OldestAt(int64_t log_ms) const;

  size_t size() const;
  // Repetitions found so far.
  int64_t found() const { return found_.load(std::memory_order_relaxed); }

 private:
  // Numbered from 1, without gaps, in log order.
  using Number = uint64_t;

  struct Entry {
    uint64_t key;
    int64_t born_ms;
    int64_t store_ms;
    int64_t position;
    int64_t offset;
    uint32_t body_crc : 31;
    uint32_t timer : 1;
    uint32_t queue : 31;
    uint32_t half : 1;
    uint32_t body_size;
    uint32_t back;  // the one before with this key is so many numbers back; 0: none
  };
  static_assert(sizeof(Entry) == 56);

  RecentSends(FileSystem* fs, std::string path, Options options, LogIndex mark);

  const Entry& At(Number number) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return entries_[number - first_];
  }
  Number end() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return first_ + entries_.size(); }
  std::optional<StoredSend> FindOne(const SendIdentity& send, Number void_below,
                                    int64_t log_ms) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  Number VoidBelow(std::string_view topic) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void Push(const SendIdentity& send, const StoredSend& stored)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PopOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PopNewest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsOver(const Entry& entry, int64_t log_ms) const {
    return entry.store_ms < log_ms - options_.window_ms;
  }
  // Forgets what is applied and older than the window at `log_ms`.
  void Expire(int64_t log_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The hash slots: open addressing, linear probing. A slot holds the newest number of a key and as
  // much of the key as tells its home, so that a search looks at entries of other keys hardly ever.
  struct Slot {
    uint32_t number = 0;  // SlotNumber; 0: free
    uint32_t tag = 0;
  };
  static uint32_t SlotNumber(Number number);
  static uint32_t TagOf(uint64_t key) { return static_cast<uint32_t>(key >> 32); }

  size_t Home(uint32_t tag) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return tag & (slots_.size() - 1);
  }
  void Prefetch(uint64_t key) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    __builtin_prefetch(&slots_[Home(TagOf(key))]);
  }
  Number NumberIn(size_t slot) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Its slot, or the free one where it belongs.
  size_t SlotOf(uint64_t key) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void FreeSlot(size_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GrowSlots() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FileSystem* const fs_;
  const std::string path_;
  const Options options_;
  mutable std::atomic<int64_t> found_{0};

  mutable absl::Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  Number first_ ABSL_GUARDED_BY(mutex_) = 1;         // of entries_.front()
  Number applied_ ABSL_GUARDED_BY(mutex_) = 1;       // the first that is not applied
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);  // a power of two
  size_t keys_ ABSL_GUARDED_BY(mutex_) = 0;          // slots in use
  absl::flat_hash_map<Number, int64_t> due_ms_ ABSL_GUARDED_BY(mutex_);  // of timers

  // Sends to a deleted topic, before the number, are gone with it.
  absl::flat_hash_map<std::string, Number> deleted_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Number> pending_deleted_ ABSL_GUARDED_BY(mutex_);

  // Which entry of the log a number is in, for some numbers: all from `number` on are in `entry` or
  // later ones.
  struct Milestone {
    Number number;
    LogIndex entry;
  };
  std::deque<Milestone> milestones_ ABSL_GUARDED_BY(mutex_);
  LogIndex frozen_ ABSL_GUARDED_BY(mutex_);
  LogIndex mark_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::store
