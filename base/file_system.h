// FileSystem: the only way to the disk, so that tests and the simulator can lose, tear, delay and
// corrupt what was written.
//
// Paths are absolute or relative to the working directory, '/'-separated. Every failure is an
// absl::Status that names the path, the call and the errno text: NotFound (ENOENT),
// AlreadyExists (EEXIST), ResourceExhausted (ENOSPC, EDQUOT), otherwise Unavailable for EIO and
// Internal for the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace raftmq {

// What disks and page caches transfer as one.
inline constexpr size_t kBlockSize = 4096;

// One open file. Thread-safe for PRead beside one writer; writers are the caller's to order.
// Closing (destruction) does not sync.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `size` bytes at `offset`, appended to nothing: `*out` is replaced. Fewer bytes
  // than asked for means end of file, not an error.
  virtual absl::Status PRead(int64_t offset, size_t size, std::string* out) const = 0;

  // The same into the caller's memory; returns how many bytes there were.
  virtual absl::StatusOr<size_t> PReadInto(int64_t offset, char* data, size_t size) const = 0;

  // Writes all of `data` at `offset`, growing the file if need be. On error nothing can be said
  // of the range.
  virtual absl::Status PWrite(int64_t offset, std::string_view data) = 0;

  // Writes the pieces one after another from `offset` on, in one system call where possible.
  virtual absl::Status PWriteV(int64_t offset, std::span<const std::string_view> pieces) = 0;

  // Writes whole blocks: memory, offset and size are multiples of kBlockSize. Past the operating
  // system's page cache where there is a way (O_DIRECT), so for what is much and will not be read
  // from the file soon; otherwise as PWrite. Durable after DataSync only, like any write.
  virtual absl::Status PWriteBlocks(int64_t offset, std::string_view blocks) {
    return PWrite(offset, blocks);
  }

  // Takes room on the disk for the first `size` bytes and makes the file at least that long, with
  // zeros where nothing was written; durable after DataSync. A write there needs no more room, but
  // is dearer to sync the first time. Unimplemented where the file system has no way.
  virtual absl::Status Allocate(int64_t size) {
    return absl::UnimplementedError("Allocate: this file system has no way");
  }

  // Begins to bring what was written there to the disk, without waiting; a hint, which promises
  // nothing: DataSync does.
  virtual void StartWriteback(int64_t offset, size_t size) {}

  // Makes everything written so far, and the size, durable (fdatasync). After an error the state
  // of the file on disk is unknown and stays so: never call it again and believe it.
  virtual absl::Status DataSync() = 0;

  virtual absl::StatusOr<int64_t> Size() const = 0;

  // Cuts or extends (with zeros) to `size`.
  virtual absl::Status Truncate(int64_t size) = 0;
};

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // read-write, created if missing
  kCreateNew,  // read-write, must not exist
};

// Held while a directory is in use; released by destruction.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;

  // Creates a directory and any missing parents; it is no error if it exists.
  virtual absl::Status CreateDirs(const std::string& path) = 0;

  // Names (not paths) in a directory, sorted, without "." and "..".
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;

  virtual absl::StatusOr<bool> Exists(const std::string& path) = 0;

  // Atomic replacement. Durable only after SyncDir of the folder(s).
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;

  virtual absl::Status Remove(const std::string& path) = 0;

  // Removes a file, or a directory with all in it; nothing there is no error.
  virtual absl::Status RemoveAll(const std::string& path) = 0;

  // Makes creations, renames and removals in this directory durable.
  virtual absl::Status SyncDir(const std::string& path) = 0;

  // Makes everything written so far below `path` durable, as DataSync of each file and SyncDir of
  // each directory would, by flushing the whole file system: for thousands of small files that is
  // some hundred times cheaper. Unimplemented where there is no such call: sync one by one then.
  virtual absl::Status SyncFileSystem(const std::string& path) {
    return absl::UnimplementedError("SyncFileSystem " + path);
  }

  // Takes an exclusive lock on the file `path` (created if missing) for this process;
  // FailedPrecondition if another holder has it.
  virtual absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) = 0;

  // Free bytes for unprivileged writers on the file system that holds `path`.
  virtual absl::StatusOr<int64_t> FreeBytes(const std::string& path) = 0;
};

// The machine's file system. Never destroyed.
FileSystem* PosixFileSystem();

// Writes `data` so that after a crash `path` holds either the old content or all of the new:
// temp file, fsync, rename, fsync of the folder. Any error means the outcome is unknown.
absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path, std::string_view data);

// The whole file.
absl::StatusOr<std::string> ReadFile(FileSystem* fs, const std::string& path);

}  // namespace raftmq
