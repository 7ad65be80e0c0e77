// FileCache: a bounded number of open files, shared by all queues of a store.
//
// Ten thousand queues may not hold ten thousand descriptors. A file stays open while somebody uses
// it or it was used lately; a closed one is opened again on the next use.
//
// Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/file_system.h"

namespace raftmq::store {

// What is before the last '/'; "." if there is none.
std::string ParentDirectory(const std::string& path);

class FileCache {
 public:
  // Keeps at most `capacity` files that nobody is using open. `fs` outlives the cache.
  FileCache(FileSystem* fs, size_t capacity) : fs_(fs), capacity_(capacity) {}

  // The file, open for reading and writing. NotFound if there is none and `create` is false.
  // Two callers get the same File; FileCache does not order their writes.
  absl::StatusOr<std::shared_ptr<File>> Open(const std::string& path, bool create = false);

  // Forgets a file, or every file below a directory, before it is removed or replaced: a later
  // Open must not return the old one.
  void Forget(const std::string& path);
  void ForgetBelow(const std::string& directory);

  // Files held open now.
  size_t open_files() const;

  FileSystem* file_system() const { return fs_; }

 private:
  using Used = std::list<std::pair<std::string, std::shared_ptr<File>>>;

  FileSystem* const fs_;
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  Used used_ ABSL_GUARDED_BY(mutex_);  // lately used first
  std::unordered_map<std::string, Used::iterator> by_path_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::store
