#include "base/testing/memory_file_system.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/strings.h"

namespace raftmq {
namespace {

constexpr size_t kSector = 512;

std::vector<std::string> Split(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    size_t end = path.find('/', begin);
    if (end == std::string::npos) end = path.size();
    std::string part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

bool IsMutating(FileOp op) {
  switch (op) {
    case FileOp::kOpen:
    case FileOp::kRead:
    case FileOp::kQuery:
    case FileOp::kLock:
      return false;
    default:
      return true;
  }
}

// A change of a file's content that is not durable yet: bytes written at `offset`, or, if
// `is_truncate`, a cut to `offset`.
struct FileChange {
  int64_t offset = 0;
  std::string bytes;
  bool is_truncate = false;
};

void ApplyWrite(std::string* data, int64_t offset, std::string_view bytes) {
  const size_t end = static_cast<size_t>(offset) + bytes.size();
  if (data->size() < end) data->resize(end, '\0');
  std::memcpy(data->data() + offset, bytes.data(), bytes.size());
}

void Apply(std::string* data, const FileChange& change) {
  if (change.is_truncate) {
    data->resize(static_cast<size_t>(change.offset), '\0');
  } else {
    ApplyWrite(data, change.offset, change.bytes);
  }
}

// Applies those sectors of a write that chance lets reach the disk.
void ApplySomeSectors(std::string* durable, const FileChange& change, double chance,
                      Random* random) {
  size_t done = 0;
  while (done < change.bytes.size()) {
    const size_t at = static_cast<size_t>(change.offset) + done;
    const size_t n = std::min(change.bytes.size() - done, kSector - at % kSector);
    if (random->Chance(chance)) {
      ApplyWrite(durable, static_cast<int64_t>(at), std::string_view(change.bytes).substr(done, n));
    }
    done += n;
  }
}

// 0, 1, or something between: the extremes find other bugs than the middle.
double DrawChance(Random* random) {
  switch (random->Below(4)) {
    case 0:
      return 0;
    case 1:
      return 1;
    default:
      return 0.1 + 0.8 * static_cast<double>(random->Below(1000)) / 1000;
  }
}

}  // namespace

// A file or a directory, as seen and as on the disk.
struct MemoryFileSystem::Node {
  bool is_dir = false;
  // Files.
  std::string data;
  std::string durable;
  std::vector<FileChange> unsynced;
  // Directories.
  std::map<std::string, NodePtr> entries;
  std::map<std::string, NodePtr> durable_entries;
};

// One directory change that is not durable: sets or, with a null node, clears names. A rename
// touches two.
struct MemoryFileSystem::DirChange {
  struct Entry {
    NodePtr dir;
    std::string name;
    NodePtr node;
  };
  std::vector<Entry> entries;

  bool Touches(const std::set<Node*>& dirs) const {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const Entry& e) { return dirs.contains(e.dir.get()); });
  }
};

class MemoryFileSystem::MemoryFile final : public File {
 public:
  MemoryFile(MemoryFileSystem* fs, std::string path, NodePtr node, uint64_t epoch)
      : fs_(fs), path_(std::move(path)), node_(std::move(node)), epoch_(epoch) {}

  absl::Status PRead(int64_t offset, size_t size, std::string* out) const override {
    out->resize(size);
    RAFTMQ_ASSIGN_OR_RETURN(const size_t got, PReadInto(offset, out->data(), size));
    out->resize(got);
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> PReadInto(int64_t offset, char* data, size_t size) const override {
    RAFTMQ_RETURN_IF_ERROR(fs_->Enter(FileOp::kRead, path_));
    absl::MutexLock lock(&fs_->mutex_);
    RAFTMQ_RETURN_IF_ERROR(CheckOpen());
    if (offset >= static_cast<int64_t>(node_->data.size())) return 0;
    const size_t n = std::min(size, node_->data.size() - static_cast<size_t>(offset));
    std::memcpy(data, node_->data.data() + offset, n);
    return n;
  }

  absl::Status PWrite(int64_t offset, std::string_view data) override {
    return PWriteV(offset, std::span(&data, 1));
  }

  absl::Status PWriteV(int64_t offset, std::span<const std::string_view> pieces) override {
    bool phantom = false;
    bool partial = false;
    const absl::Status status = fs_->Enter(FileOp::kWrite, path_, &phantom, &partial);
    if (!status.ok() && !partial) return status;
    if (phantom) return absl::OkStatus();
    std::string bytes;
    for (std::string_view piece : pieces) bytes.append(piece);
    if (partial) bytes.resize(bytes.size() / 2);
    absl::MutexLock lock(&fs_->mutex_);
    RAFTMQ_RETURN_IF_ERROR(CheckOpen());
    RAFTMQ_RETURN_IF_ERROR(fs_->Grow(static_cast<int64_t>(node_->data.size()),
                                     offset + static_cast<int64_t>(bytes.size()), path_));
    ApplyWrite(&node_->data, offset, bytes);
    node_->unsynced.push_back({offset, std::move(bytes), false});
    return status;
  }

  absl::Status DataSync() override {
    bool phantom = false;
    const absl::Status status = fs_->Enter(FileOp::kDataSync, path_, &phantom);
    if (phantom) return absl::OkStatus();
    absl::MutexLock lock(&fs_->mutex_);
    RAFTMQ_RETURN_IF_ERROR(CheckOpen());
    if (fs_->halted_) return status;
    // A failed sync leaves the pages clean: the data is never written any more.
    if (status.ok()) {
      for (const FileChange& change : node_->unsynced) Apply(&node_->durable, change);
    }
    node_->unsynced.clear();
    return status;
  }

  absl::Status Allocate(int64_t size) override {
    RAFTMQ_RETURN_IF_ERROR(fs_->Enter(FileOp::kAllocate, path_));
    {
      absl::MutexLock lock(&fs_->mutex_);
      RAFTMQ_RETURN_IF_ERROR(CheckOpen());
      if (!fs_->can_allocate_) return File::Allocate(size);
      if (static_cast<int64_t>(node_->data.size()) >= size) return absl::OkStatus();
    }
    return Truncate(size);
  }

  absl::StatusOr<int64_t> Size() const override {
    RAFTMQ_RETURN_IF_ERROR(fs_->Enter(FileOp::kQuery, path_));
    absl::MutexLock lock(&fs_->mutex_);
    RAFTMQ_RETURN_IF_ERROR(CheckOpen());
    return static_cast<int64_t>(node_->data.size());
  }

  absl::Status Truncate(int64_t size) override {
    RAFTMQ_RETURN_IF_ERROR(fs_->Enter(FileOp::kTruncate, path_));
    absl::MutexLock lock(&fs_->mutex_);
    RAFTMQ_RETURN_IF_ERROR(CheckOpen());
    const int64_t old_size = static_cast<int64_t>(node_->data.size());
    RAFTMQ_RETURN_IF_ERROR(fs_->Grow(old_size, size, path_));
    if (size < old_size) fs_->used_ -= old_size - size;
    FileChange change{size, "", true};
    Apply(&node_->data, change);
    node_->unsynced.push_back(std::move(change));
    return absl::OkStatus();
  }

 private:
  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(fs_->mutex_) {
    if (epoch_ == fs_->epoch_) return absl::OkStatus();
    return absl::UnavailableError(StrCat(path_, ": opened by a process that has ended"));
  }

  MemoryFileSystem* const fs_;
  const std::string path_;
  const NodePtr node_;
  const uint64_t epoch_;
};

class MemoryFileSystem::MemoryLock final : public DirectoryLock {
 public:
  MemoryLock(MemoryFileSystem* fs, std::string path, uint64_t epoch)
      : fs_(fs), path_(std::move(path)), epoch_(epoch) {}
  ~MemoryLock() override {
    absl::MutexLock lock(&fs_->mutex_);
    auto held = fs_->locks_.find(path_);
    if (held != fs_->locks_.end() && held->second == epoch_) fs_->locks_.erase(held);
  }

 private:
  MemoryFileSystem* const fs_;
  const std::string path_;
  const uint64_t epoch_;
};

MemoryFileSystem::MemoryFileSystem() : root_(std::make_shared<Node>()) { root_->is_dir = true; }
MemoryFileSystem::~MemoryFileSystem() = default;

absl::Status MemoryFileSystem::Enter(FileOp op, const std::string& path, bool* phantom,
                                     bool* partial) {
  Hook hook;
  {
    absl::MutexLock lock(&mutex_);
    hook = hook_;
  }
  if (hook) hook(op, path);
  absl::MutexLock lock(&mutex_);
  if (IsMutating(op) && halt_in_ >= 0 && halt_in_-- == 0) halted_ = true;
  if (halted_) return absl::UnavailableError(StrCat(path, ": halted"));
  ++counts_[static_cast<int>(op)];
  return CheckFaults(op, path, phantom, partial);
}

absl::Status MemoryFileSystem::CheckFaults(FileOp op, const std::string& path, bool* phantom,
                                           bool* partial) {
  for (FileFault& fault : faults_) {
    if (fault.op != op || fault.times == 0) continue;
    if (path.find(fault.path_contains) == std::string::npos) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fault.times > 0) --fault.times;
    if (phantom != nullptr) *phantom = fault.phantom;
    if (partial != nullptr) *partial = fault.partial;
    return Annotate(fault.status, path);
  }
  return absl::OkStatus();
}

MemoryFileSystem::NodePtr MemoryFileSystem::Find(const std::string& path) const {
  NodePtr node = root_;
  for (const std::string& part : Split(path)) {
    auto next = node->entries.find(part);
    if (next == node->entries.end()) return nullptr;
    node = next->second;
  }
  return node;
}

absl::StatusOr<std::pair<MemoryFileSystem::NodePtr, std::string>> MemoryFileSystem::Parent(
    const std::string& path) const {
  std::vector<std::string> parts = Split(path);
  if (parts.empty()) return absl::InternalError(StrCat(path, ": is the root"));
  NodePtr dir = root_;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    auto next = dir->entries.find(parts[i]);
    if (next == dir->entries.end()) {
      return absl::NotFoundError(StrCat(path, ": no directory ", parts[i]));
    }
    dir = next->second;
  }
  if (!dir->is_dir) return absl::InternalError(StrCat(path, ": parent is not a directory"));
  return std::pair(dir, parts.back());
}

void MemoryFileSystem::Link(const NodePtr& dir, const std::string& name, const NodePtr& node) {
  dir->entries[name] = node;
  journal_.push_back({{{dir, name, node}}});
}

void MemoryFileSystem::Unlink(const NodePtr& dir, const std::string& name) {
  dir->entries.erase(name);
  journal_.push_back({{{dir, name, nullptr}}});
}

absl::Status MemoryFileSystem::Grow(int64_t from, int64_t to, const std::string& path) {
  if (to <= from) return absl::OkStatus();
  if (capacity_ >= 0 && used_ + (to - from) > capacity_) {
    return absl::ResourceExhaustedError(StrCat(path, ": no space left"));
  }
  used_ += to - from;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<File>> MemoryFileSystem::Open(const std::string& path,
                                                             OpenMode mode) {
  bool exists = false;
  {
    absl::MutexLock lock(&mutex_);
    exists = Find(path) != nullptr;
  }
  const bool may_create = mode == OpenMode::kCreate || mode == OpenMode::kCreateNew;
  RAFTMQ_RETURN_IF_ERROR(Enter(!exists && may_create ? FileOp::kCreate : FileOp::kOpen, path));
  absl::MutexLock lock(&mutex_);
  NodePtr node = Find(path);
  if (node != nullptr) {
    if (node->is_dir) return absl::InternalError(StrCat("open ", path, ": is a directory"));
    if (mode == OpenMode::kCreateNew) {
      return absl::AlreadyExistsError(StrCat("open ", path, ": exists"));
    }
  } else {
    if (!may_create) return absl::NotFoundError(StrCat("open ", path, ": no such file"));
    RAFTMQ_ASSIGN_OR_RETURN(const auto parent, Parent(path));
    node = std::make_shared<Node>();
    Link(parent.first, parent.second, node);
  }
  return std::make_unique<MemoryFile>(this, path, std::move(node), epoch_);
}

absl::Status MemoryFileSystem::CreateDirs(const std::string& path) {
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kCreateDirs, path));
  absl::MutexLock lock(&mutex_);
  NodePtr dir = root_;
  for (const std::string& part : Split(path)) {
    auto next = dir->entries.find(part);
    if (next == dir->entries.end()) {
      NodePtr made = std::make_shared<Node>();
      made->is_dir = true;
      Link(dir, part, made);
      dir = made;
    } else {
      dir = next->second;
      if (!dir->is_dir) return absl::InternalError(StrCat("mkdir ", path, ": is a file"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryFileSystem::List(const std::string& path) {
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kQuery, path));
  absl::MutexLock lock(&mutex_);
  const NodePtr dir = Find(path);
  if (dir == nullptr || !dir->is_dir) {
    return absl::NotFoundError(StrCat("list ", path, ": no such directory"));
  }
  std::vector<std::string> names;
  for (const auto& [name, node] : dir->entries) names.push_back(name);
  return names;
}

absl::StatusOr<bool> MemoryFileSystem::Exists(const std::string& path) {
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kQuery, path));
  absl::MutexLock lock(&mutex_);
  return Find(path) != nullptr;
}

absl::Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kRename, from));
  absl::MutexLock lock(&mutex_);
  const NodePtr node = Find(from);
  if (node == nullptr) return absl::NotFoundError(StrCat("rename ", from, ": no such file"));
  RAFTMQ_ASSIGN_OR_RETURN(const auto source, Parent(from));
  RAFTMQ_ASSIGN_OR_RETURN(const auto target, Parent(to));
  if (const NodePtr old = Find(to); old != nullptr) {
    if (old == node) return absl::OkStatus();
    used_ -= static_cast<int64_t>(old->data.size());
  }
  source.first->entries.erase(source.second);
  target.first->entries[target.second] = node;
  journal_.push_back(
      {{{source.first, source.second, nullptr}, {target.first, target.second, node}}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Remove(const std::string& path) {
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kRemove, path));
  absl::MutexLock lock(&mutex_);
  const NodePtr node = Find(path);
  if (node == nullptr) return absl::NotFoundError(StrCat("remove ", path, ": no such file"));
  if (!node->entries.empty()) {
    return absl::InternalError(StrCat("remove ", path, ": directory not empty"));
  }
  RAFTMQ_ASSIGN_OR_RETURN(const auto parent, Parent(path));
  used_ -= static_cast<int64_t>(node->data.size());
  Unlink(parent.first, parent.second);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::RemoveAll(const std::string& path) {
  std::vector<std::string> names;
  {
    absl::MutexLock lock(&mutex_);
    const NodePtr node = Find(path);
    if (node == nullptr) return absl::OkStatus();
    for (const auto& [name, child] : node->entries) names.push_back(name);
  }
  for (const std::string& name : names) {
    RAFTMQ_RETURN_IF_ERROR(RemoveAll(StrCat(path, "/", name)));
  }
  const absl::Status status = Remove(path);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

void MemoryFileSystem::ApplyDurably(const DirChange& change) {
  for (const DirChange::Entry& entry : change.entries) {
    if (entry.node == nullptr) {
      entry.dir->durable_entries.erase(entry.name);
    } else {
      entry.dir->durable_entries[entry.name] = entry.node;
    }
  }
}

void MemoryFileSystem::SyncDirLocked(const NodePtr& dir) {
  // A rename into another directory cannot be durable without what led to it there.
  std::set<Node*> dirs = {dir.get()};
  std::vector<bool> durable(journal_.size(), false);
  for (size_t i = journal_.size(); i-- > 0;) {
    if (!journal_[i].Touches(dirs)) continue;
    durable[i] = true;
    for (const DirChange::Entry& entry : journal_[i].entries) dirs.insert(entry.dir.get());
  }
  std::vector<DirChange> left;
  for (size_t i = 0; i < journal_.size(); ++i) {
    if (durable[i]) {
      ApplyDurably(journal_[i]);
    } else {
      left.push_back(std::move(journal_[i]));
    }
  }
  journal_ = std::move(left);
}

absl::Status MemoryFileSystem::SyncDir(const std::string& path) {
  bool phantom = false;
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kSyncDir, path, &phantom));
  absl::MutexLock lock(&mutex_);
  const NodePtr dir = Find(path);
  if (dir == nullptr || !dir->is_dir) {
    return absl::NotFoundError(StrCat("fsync ", path, ": no such directory"));
  }
  if (!phantom) SyncDirLocked(dir);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<DirectoryLock>> MemoryFileSystem::Lock(const std::string& path) {
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kLock, path));
  absl::MutexLock lock(&mutex_);
  if (Find(path) == nullptr) {
    RAFTMQ_ASSIGN_OR_RETURN(const auto parent, Parent(path));
    Link(parent.first, parent.second, std::make_shared<Node>());
  }
  if (!locks_.emplace(path, epoch_).second) {
    return absl::FailedPreconditionError(
        StrCat("lock ", path, ": held by another process; stop it first"));
  }
  return std::make_unique<MemoryLock>(this, path, epoch_);
}

absl::StatusOr<int64_t> MemoryFileSystem::FreeBytes(const std::string& path) {
  RAFTMQ_RETURN_IF_ERROR(Enter(FileOp::kQuery, path));
  absl::MutexLock lock(&mutex_);
  return capacity_ < 0 ? int64_t{1} << 60 : std::max<int64_t>(0, capacity_ - used_);
}

void MemoryFileSystem::LoseUnsynced(Random* random) {
  // A random prefix of each directory's changes survives.
  const double chance = DrawChance(random);
  std::set<Node*> cut;
  for (const DirChange& change : journal_) {
    if (!change.Touches(cut) && (chance == 1 || random->Chance(chance))) {
      ApplyDurably(change);
    } else {
      for (const DirChange::Entry& entry : change.entries) cut.insert(entry.dir.get());
    }
  }
  journal_.clear();

  used_ = 0;
  std::set<Node*> seen;
  std::vector<NodePtr> todo = {root_};
  while (!todo.empty()) {
    const NodePtr node = todo.back();
    todo.pop_back();
    if (!seen.insert(node.get()).second) continue;
    if (node->is_dir) {
      node->entries = node->durable_entries;
      for (const auto& [name, child] : node->entries) todo.push_back(child);
      continue;
    }
    const double sector_chance = DrawChance(random);
    for (const FileChange& change : node->unsynced) {
      if (change.is_truncate) {
        if (random->Chance(sector_chance)) Apply(&node->durable, change);
      } else {
        ApplySomeSectors(&node->durable, change, sector_chance, random);
      }
    }
    // Growth alone may have survived: zeros where data should be.
    if (node->data.size() > node->durable.size() && random->Chance(0.3)) {
      node->durable.resize(node->data.size(), '\0');
    }
    node->unsynced.clear();
    node->data = node->durable;
    used_ += static_cast<int64_t>(node->data.size());
  }
}

void MemoryFileSystem::Crash(Random* random) {
  absl::MutexLock lock(&mutex_);
  ++epoch_;
  locks_.clear();
  LoseUnsynced(random);
  halted_ = false;
  halt_in_ = -1;
}

void MemoryFileSystem::Kill() {
  absl::MutexLock lock(&mutex_);
  ++epoch_;
  locks_.clear();
  halted_ = false;
  halt_in_ = -1;
}

void MemoryFileSystem::HaltBefore(int64_t n) {
  absl::MutexLock lock(&mutex_);
  halt_in_ = n;
}

bool MemoryFileSystem::halted() const {
  absl::MutexLock lock(&mutex_);
  return halted_;
}

void MemoryFileSystem::AddFault(FileFault fault) {
  absl::MutexLock lock(&mutex_);
  faults_.push_back(std::move(fault));
}

void MemoryFileSystem::ClearFaults() {
  absl::MutexLock lock(&mutex_);
  faults_.clear();
}

void MemoryFileSystem::SetCanAllocate(bool can) {
  absl::MutexLock lock(&mutex_);
  can_allocate_ = can;
}

void MemoryFileSystem::SetCapacity(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  capacity_ = bytes;
}

void MemoryFileSystem::SetHook(Hook hook) {
  absl::MutexLock lock(&mutex_);
  hook_ = std::move(hook);
}

void MemoryFileSystem::FlipBit(const std::string& path, int64_t offset, int bit) {
  absl::MutexLock lock(&mutex_);
  const NodePtr node = Find(path);
  const auto at = static_cast<size_t>(offset);
  node->data.at(at) ^= static_cast<char>(1 << bit);
  if (at < node->durable.size()) node->durable[at] ^= static_cast<char>(1 << bit);
}

void MemoryFileSystem::Overwrite(const std::string& path, int64_t offset, std::string_view bytes) {
  absl::MutexLock lock(&mutex_);
  const NodePtr node = Find(path);
  ApplyWrite(&node->data, offset, bytes);
  ApplyWrite(&node->durable, offset, bytes);
}

int64_t MemoryFileSystem::Count(FileOp op) const {
  absl::MutexLock lock(&mutex_);
  return counts_[static_cast<int>(op)];
}

int64_t MemoryFileSystem::MutatingCalls() const {
  absl::MutexLock lock(&mutex_);
  int64_t sum = 0;
  for (int op = 0; op < kFileOpCount; ++op) {
    if (IsMutating(static_cast<FileOp>(op))) sum += counts_[op];
  }
  return sum;
}

int64_t MemoryFileSystem::UsedBytes() const {
  absl::MutexLock lock(&mutex_);
  return used_;
}

}  // namespace raftmq
