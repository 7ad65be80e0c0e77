#include "base/file_system.h"

#include "base/strings.h"

namespace raftmq {

absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path, std::string_view data) {
  const std::string temp = StrCat(path, ".tmp");
  absl::Status status = fs->RemoveAll(temp);
  if (!status.ok()) return status;
  {
    absl::StatusOr<std::unique_ptr<File>> file = fs->Open(temp, OpenMode::kCreateNew);
    if (!file.ok()) return file.status();
    if (status = (*file)->PWrite(0, data); !status.ok()) return status;
    if (status = (*file)->DataSync(); !status.ok()) return status;
  }
  if (status = fs->Rename(temp, path); !status.ok()) return status;
  const size_t slash = path.rfind('/');
  return fs->SyncDir(slash == std::string::npos ? "." : path.substr(0, slash));
}

absl::StatusOr<std::string> ReadFile(FileSystem* fs, const std::string& path) {
  absl::StatusOr<std::unique_ptr<File>> file = fs->Open(path, OpenMode::kRead);
  if (!file.ok()) return file.status();
  absl::StatusOr<int64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  std::string data;
  absl::Status status = (*file)->PRead(0, static_cast<size_t>(*size), &data);
  if (!status.ok()) return status;
  return data;
}

}  // namespace raftmq
