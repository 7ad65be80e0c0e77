#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>

#include "base/file_system.h"
#include "base/strings.h"

namespace raftmq {
namespace {

absl::Status ErrnoStatus(std::string_view call, const std::string& path, int error) {
  std::string text = StrCat(call, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    case EIO:
      return absl::UnavailableError(text);
    default:
      return absl::InternalError(text);
  }
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixFile() override {
    ::close(fd_);
    if (direct_fd_ >= 0) ::close(direct_fd_);
  }

  absl::Status PRead(int64_t offset, size_t size, std::string* out) const override {
    out->resize(size);
    absl::StatusOr<size_t> got = PReadInto(offset, out->data(), size);
    if (!got.ok()) return got.status();
    out->resize(*got);
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> PReadInto(int64_t offset, char* data, size_t size) const override {
    size_t done = 0;
    while (done < size) {
      ssize_t n = ::pread(fd_, data + done, size - done, offset + done);
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus("pread", path_, errno);
      }
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  absl::Status PWrite(int64_t offset, std::string_view data) override {
    while (!data.empty()) {
      ssize_t n = ::pwrite(fd_, data.data(), data.size(), offset);
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus("pwrite", path_, errno);
      }
      data.remove_prefix(static_cast<size_t>(n));
      offset += n;
    }
    return absl::OkStatus();
  }

  absl::Status PWriteBlocks(int64_t offset, std::string_view blocks) override {
    if (!direct_tried_) OpenDirect();
    while (direct_fd_ >= 0 && !blocks.empty()) {
      const ssize_t n = ::pwrite(direct_fd_, blocks.data(), blocks.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno != EINVAL) return ErrnoStatus("pwrite (direct)", path_, errno);
      // Not on this file system or disk after all, or only the beginning.
      if (n < static_cast<ssize_t>(kBlockSize)) break;
      const auto whole = static_cast<size_t>(n) - static_cast<size_t>(n) % kBlockSize;
      blocks.remove_prefix(whole);
      offset += static_cast<int64_t>(whole);
    }
    return PWrite(offset, blocks);
  }

  absl::Status PWriteV(int64_t offset, std::span<const std::string_view> pieces) override {
    std::vector<iovec> iov;
    iov.reserve(pieces.size());
    for (std::string_view p : pieces) {
      if (!p.empty()) iov.push_back({const_cast<char*>(p.data()), p.size()});
    }
    size_t first = 0;
    while (first < iov.size()) {
      int count = static_cast<int>(std::min<size_t>(iov.size() - first, IOV_MAX));
      ssize_t n = ::pwritev(fd_, &iov[first], count, offset);
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus("pwritev", path_, errno);
      }
      offset += n;
      size_t left = static_cast<size_t>(n);
      while (first < iov.size() && left >= iov[first].iov_len) left -= iov[first++].iov_len;
      if (left > 0) {
        iov[first].iov_base = static_cast<char*>(iov[first].iov_base) + left;
        iov[first].iov_len -= left;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Allocate(int64_t size) override {
    while (::fallocate(fd_, 0, 0, size) != 0) {
      if (errno == EINTR) continue;
      if (errno == EOPNOTSUPP) return absl::UnimplementedError(StrCat("fallocate ", path_));
      return ErrnoStatus("fallocate", path_, errno);
    }
    return absl::OkStatus();
  }

  void StartWriteback(int64_t offset, size_t size) override {
    ::sync_file_range(fd_, offset, static_cast<off64_t>(size), SYNC_FILE_RANGE_WRITE);
  }

  absl::Status DataSync() override {
    if (::fdatasync(fd_) != 0) return ErrnoStatus("fdatasync", path_, errno);
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Size() const override {
    struct stat st;
    if (::fstat(fd_, &st) != 0) return ErrnoStatus("fstat", path_, errno);
    return static_cast<int64_t>(st.st_size);
  }

  absl::Status Truncate(int64_t size) override {
    if (::ftruncate(fd_, size) != 0) return ErrnoStatus("ftruncate", path_, errno);
    return absl::OkStatus();
  }

 private:
  // By the open file, since its name may have changed.
  void OpenDirect() {
    direct_tried_ = true;
    direct_fd_ = ::open(StrCat("/proc/self/fd/", fd_).c_str(), O_RDWR | O_CLOEXEC | O_DIRECT);
  }

  const std::string path_;
  const int fd_;
  // Of the writer.
  int direct_fd_ = -1;  // -1: none, or there is no way past the cache
  bool direct_tried_ = false;
};

class PosixLock final : public DirectoryLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}
  ~PosixLock() override { ::close(fd_); }

 private:
  const int fd_;
};

class Posix final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY;
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreate:
        flags |= O_RDWR | O_CREAT;
        break;
      case OpenMode::kCreateNew:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    int fd = ::open(path.c_str(), flags, 0644);
    if (fd < 0) return ErrnoStatus("open", path, errno);
    return std::make_unique<PosixFile>(path, fd);
  }

  absl::Status CreateDirs(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return ErrnoStatus("mkdir", path, error.value());
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) return ErrnoStatus("opendir", path, errno);
    std::vector<std::string> names;
    while (dirent* entry = ::readdir(dir)) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<bool> Exists(const std::string& path) override {
    struct stat st;
    if (::stat(path.c_str(), &st) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus("stat", path, errno);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus("rename", from, errno);
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0) return ErrnoStatus("remove", path, errno);
    return absl::OkStatus();
  }

  absl::Status RemoveAll(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return ErrnoStatus("remove", path, error.value());
    return absl::OkStatus();
  }

  absl::Status SyncDir(const std::string& path) override {
    return SyncDirectoryFd("fsync", path, ::fsync);
  }

  absl::Status SyncFileSystem(const std::string& path) override {
    return SyncDirectoryFd("syncfs", path, ::syncfs);
  }

  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override {
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return ErrnoStatus("open", path, errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      int error = errno;
      ::close(fd);
      if (error == EWOULDBLOCK) {
        return absl::FailedPreconditionError(
            StrCat("lock ", path, ": held by another process; stop it first"));
      }
      return ErrnoStatus("flock", path, error);
    }
    return std::make_unique<PosixLock>(fd);
  }

  absl::StatusOr<int64_t> FreeBytes(const std::string& path) override {
    struct statvfs st;
    if (::statvfs(path.c_str(), &st) != 0) return ErrnoStatus("statvfs", path, errno);
    return static_cast<int64_t>(st.f_bavail) * static_cast<int64_t>(st.f_frsize);
  }

 private:
  static absl::Status SyncDirectoryFd(std::string_view call, const std::string& path,
                                      int (*sync)(int)) {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus("open", path, errno);
    int result = sync(fd);
    int error = errno;
    ::close(fd);
    if (result != 0) return ErrnoStatus(call, path, error);
    return absl::OkStatus();
  }
};

}  // namespace

FileSystem* PosixFileSystem() {
  static Posix* const fs = new Posix;
  return fs;
}

}  // namespace raftmq
