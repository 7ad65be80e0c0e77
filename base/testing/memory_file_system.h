// MemoryFileSystem: a FileSystem in memory that forgets what a disk may forget.
//
// It models a write-back cache over a disk. Reads see everything written. What a crash leaves of
// what was not synced is drawn from a Random: nothing, everything, or a random subset of 512-byte
// sectors, in any order within one sync window, with or without the growth of the file. Creations,
// renames and removals are durable once the directory is synced; a crash keeps a random prefix of
// each directory's changes. A file whose directory entry was never synced is gone even if its data
// was synced. After a failed DataSync the unsynced data stays readable, is lost at a crash, and a
// later DataSync reports success without saving it, as Linux does.
//
// Faults are set on calls by kind, path and number. A crash, or a fault, is replayed by its seed.
//
// Thread-safe. Files and locks outlive neither the file system nor, in use, a Crash or Kill: calls
// on them return Unavailable afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/file_system.h"
#include "base/random.h"

namespace raftmq {

enum class FileOp : int {
  kOpen,    // of a file that exists
  kCreate,  // Open that makes a new file
  kRead,    // PRead, PReadInto
  kWrite,   // PWrite, PWriteV
  kDataSync,
  kTruncate,
  kAllocate,
  kCreateDirs,
  kRename,
  kRemove,  // Remove, RemoveAll
  kSyncDir,
  kQuery,  // List, Exists, Size, FreeBytes
  kLock,
};
inline constexpr int kFileOpCount = 13;

// Makes some calls fail, or lie.
struct FileFault {
  FileOp op = FileOp::kWrite;
  std::string path_contains = {};  // "": any path
  int64_t skip = 0;           // so many matching calls pass first
  int64_t times = 1;          // then so many are hit; -1: all
  absl::Status status = {};   // what they return; OK with `phantom`
  bool phantom = false;       // success is reported, nothing happens
  bool partial = false;       // kWrite: the first half of the bytes is written all the same
};

class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  absl::Status CreateDirs(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override;
  absl::StatusOr<bool> Exists(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveAll(const std::string& path) override;
  absl::Status SyncDir(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override;
  absl::StatusOr<int64_t> FreeBytes(const std::string& path) override;

  // ---- Ends of a process ----

  // Power loss: all files and locks are closed, and what was not synced is lost as described above.
  void Crash(Random* random);
  // kill -9: files and locks are closed, nothing is lost.
  void Kill();
  // From the `n`-th mutating call from now on (0: the next), everything fails with Unavailable and
  // changes nothing, until Crash or Kill: the process died before that call.
  void HaltBefore(int64_t n);
  bool halted() const;

  // ---- Faults ----

  void AddFault(FileFault fault);
  void ClearFaults();
  // Bytes that all files together may take; growth beyond is ResourceExhausted. -1: no limit.
  void SetCapacity(int64_t bytes);
  // False: Allocate is Unimplemented, as on some file systems.
  void SetCanAllocate(bool can);
  // Called before each operation, off the file system's lock: may delay it, or count.
  using Hook = std::function<void(FileOp op, const std::string& path)>;
  void SetHook(Hook hook);

  // Flips one bit, durably. REQUIRES: the file is that long.
  void FlipBit(const std::string& path, int64_t offset, int bit);
  // Overwrites bytes, durably, as a misdirected write or a stale sector would.
  void Overwrite(const std::string& path, int64_t offset, std::string_view bytes);

  // ---- What happened ----

  int64_t Count(FileOp op) const;
  // Calls that change something, HaltBefore's measure: kCreate to kSyncDir without kRead, kQuery.
  int64_t MutatingCalls() const;
  int64_t UsedBytes() const;

 private:
  struct Node;
  struct DirChange;
  class MemoryFile;
  class MemoryLock;
  friend class MemoryFile;
  friend class MemoryLock;
  using NodePtr = std::shared_ptr<Node>;

  // Runs the hook, counts, and finds out whether the call fails. Sets *phantom or *partial if it
  // is to lie.
  absl::Status Enter(FileOp op, const std::string& path, bool* phantom = nullptr,
                     bool* partial = nullptr);
  absl::Status CheckFaults(FileOp op, const std::string& path, bool* phantom, bool* partial)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  NodePtr Find(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The directory that holds `path`, and the last name in it.
  absl::StatusOr<std::pair<NodePtr, std::string>> Parent(const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Link(const NodePtr& dir, const std::string& name, const NodePtr& node)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unlink(const NodePtr& dir, const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SyncDirLocked(const NodePtr& dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void ApplyDurably(const DirChange& change);
  void LoseUnsynced(Random* random) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Grow(int64_t from, int64_t to, const std::string& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  NodePtr root_ ABSL_GUARDED_BY(mutex_);
  std::vector<DirChange> journal_ ABSL_GUARDED_BY(mutex_);  // directory changes not yet durable
  std::map<std::string, uint64_t> locks_ ABSL_GUARDED_BY(mutex_);  // path → epoch of the holder
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;                     // changes when a process ends
  std::vector<FileFault> faults_ ABSL_GUARDED_BY(mutex_);
  Hook hook_ ABSL_GUARDED_BY(mutex_);
  bool can_allocate_ ABSL_GUARDED_BY(mutex_) = true;
  int64_t capacity_ ABSL_GUARDED_BY(mutex_) = -1;
  int64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t halt_in_ ABSL_GUARDED_BY(mutex_) = -1;
  bool halted_ ABSL_GUARDED_BY(mutex_) = false;
  std::array<int64_t, kFileOpCount> counts_ ABSL_GUARDED_BY(mutex_) = {};
};

}  // namespace raftmq
