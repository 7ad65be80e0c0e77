#include "store/file_cache.h"

#include "base/strings.h"

namespace raftmq::store {

std::string ParentDirectory(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::StatusOr<std::shared_ptr<File>> FileCache::Open(const std::string& path, bool create) {
  absl::MutexLock lock(&mutex_);
  if (auto found = by_path_.find(path); found != by_path_.end()) {
    used_.splice(used_.begin(), used_, found->second);
    return found->second->second;
  }
  RAFTMQ_ASSIGN_OR_RETURN(std::unique_ptr<File> opened,
                          fs_->Open(path, create ? OpenMode::kCreate : OpenMode::kReadWrite));
  std::shared_ptr<File> file = std::move(opened);
  used_.emplace_front(path, file);
  by_path_[path] = used_.begin();
  while (used_.size() > capacity_) {
    by_path_.erase(used_.back().first);
    used_.pop_back();
  }
  return file;
}

void FileCache::Forget(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  used_.erase(found->second);
  by_path_.erase(found);
}

void FileCache::ForgetBelow(const std::string& directory) {
  const std::string prefix = directory + "/";
  absl::MutexLock lock(&mutex_);
  for (auto it = used_.begin(); it != used_.end();) {
    if (it->first.starts_with(prefix)) {
      by_path_.erase(it->first);
      it = used_.erase(it);
    } else {
      ++it;
    }
  }
}

size_t FileCache::open_files() const {
  absl::MutexLock lock(&mutex_);
  return used_.size();
}

}  // namespace raftmq::store
