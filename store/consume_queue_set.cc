#include "store/consume_queue_set.h"

#include <algorithm>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::store {
namespace {

constexpr std::string_view kMarkName = "queues.mark";
constexpr size_t kMaxTopicSize = 255;  // a directory's name
constexpr size_t kMaxSingleSyncs = 16;

// RocketMQ's characters of a topic's name, and what a lite topic's name is put together with; none
// of them means anything in a path.
bool IsTopicCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '%' ||
         c == '|' || c == '-' || c == '_' || c == '$';
}

absl::Status CheckName(std::string_view topic, QueueId queue_id) {
  if (topic.empty() || topic.size() > kMaxTopicSize ||
      !std::all_of(topic.begin(), topic.end(), IsTopicCharacter)) {
    return absl::InvalidArgumentError(StrCat("topic \"", topic, "\" can't have queues: 1 to ",
                                             kMaxTopicSize,
                                             " characters of a-z A-Z 0-9 % | - _ $ are allowed"));
  }
  if (queue_id < QueueId(0)) {
    return absl::InvalidArgumentError(StrCat("topic ", topic, " has no queue ", queue_id));
  }
  return absl::OkStatus();
}

bool ByName(const std::shared_ptr<ConsumeQueue>& a, const std::shared_ptr<ConsumeQueue>& b) {
  return std::forward_as_tuple(a->topic(), a->queue_id()) <
         std::forward_as_tuple(b->topic(), b->queue_id());
}

}  // namespace

ConsumeQueueSet::ConsumeQueueSet(FileSystem* fs, std::string directory, Options options)
    : fs_(fs),
      directory_(std::move(directory)),
      options_(options),
      files_(fs, options.max_open_files) {}

absl::StatusOr<std::unique_ptr<ConsumeQueueSet>> ConsumeQueueSet::Open(FileSystem* fs,
                                                                       std::string directory,
                                                                       Options options) {
  CHECK_GT(options.entries_per_file, 0);
  auto set =
      std::unique_ptr<ConsumeQueueSet>(new ConsumeQueueSet(fs, std::move(directory), options));
  RAFTMQ_RETURN_IF_ERROR(set->Load());
  return set;
}

std::string ConsumeQueueSet::MarkPath() const { return StrCat(directory_, "/", kMarkName); }

std::string ConsumeQueueSet::TopicDirectory(std::string_view topic) const {
  return StrCat(directory_, "/", topic);
}

std::shared_ptr<ConsumeQueue> ConsumeQueueSet::NewQueue(std::string_view topic, QueueId queue_id,
                                                        ConsumeQueue::Durable durable,
                                                        LogPosition min_position) {
  return std::make_shared<ConsumeQueue>(
      ConsumeQueue::Place{std::string(topic), queue_id,
                          StrCat(TopicDirectory(topic), "/", queue_id), options_.entries_per_file},
      &files_, durable, min_position);
}

// ---- Opening

absl::Status ConsumeQueueSet::Load() {
  RAFTMQ_RETURN_IF_ERROR(fs_->CreateDirs(directory_));
  RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(ParentDirectory(directory_)));
  const absl::StatusOr<std::string> data = ReadFile(fs_, MarkPath());
  if (absl::IsNotFound(data.status())) return Clear("it has no mark file");
  RAFTMQ_RETURN_IF_ERROR(data.status());
  absl::StatusOr<Table> table = DecodeTable(*data);
  if (!table.ok()) return Clear(Message(table.status()));
  return Restore(*std::move(table));
}

absl::Status ConsumeQueueSet::Clear(std::string_view why) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(directory_));
  if (names.empty()) return absl::OkStatus();
  LOG(ERROR) << "Consume queues in " << directory_ << ": " << why
             << "; removing them, the log rebuilds them";
  // The mark goes first: half a set without one is still nothing.
  RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(MarkPath()));
  RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(directory_));
  return RemoveUnknownTopics(Table());
}

absl::Status ConsumeQueueSet::RemoveUnknownTopics(const Table& table) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(directory_));
  // Both are sorted.
  auto row = table.rows.begin();
  for (const std::string& name : names) {
    while (row != table.rows.end() && row->topic < name) ++row;
    if (name == kMarkName || (row != table.rows.end() && row->topic == name)) continue;
    RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(TopicDirectory(name)));
  }
  return absl::OkStatus();
}

absl::Status ConsumeQueueSet::Restore(Table table) {
  RAFTMQ_RETURN_IF_ERROR(RemoveUnknownTopics(table));
  absl::MutexLock flush_lock(&flush_mutex_);
  absl::MutexLock lock(&mutex_);
  mark_ = table.mark;
  min_position_ = table.min_position;
  for (const auto& [topic, deleted_at] : table.deleted) topics_[topic].deleted_at = deleted_at;
  for (const Row& row : table.rows) {
    std::shared_ptr<ConsumeQueue> queue =
        NewQueue(row.topic, QueueId(row.queue_id), row.durable, table.min_position);
    RAFTMQ_RETURN_IF_ERROR(queue->Recover());
    if (const absl::Status damage = queue->damage(); !damage.ok()) LOG(ERROR) << damage;
    topics_[row.topic].queues[row.queue_id] = {std::move(queue), false};
  }
  durable_ = std::move(table);
  return absl::OkStatus();
}

// ---- Writing

absl::StatusOr<std::shared_ptr<ConsumeQueue>> ConsumeQueueSet::QueueForAppend(
    std::string_view topic, QueueId queue_id, QueueOffset offset, LogPosition position) {
  {
    absl::ReaderMutexLock lock(&mutex_);
    auto found = topics_.find(topic);
    const Queue* queue = nullptr;
    if (found != topics_.end()) {
      if (position < found->second.deleted_at) return nullptr;
      auto slot = found->second.queues.find(queue_id.value());
      if (slot != found->second.queues.end()) queue = &slot->second;
    }
    if (position < mark_.position && (queue == nullptr || !queue->rebuilding)) return nullptr;
    if (queue != nullptr) return queue->queue;
  }
  RAFTMQ_RETURN_IF_ERROR(CheckName(topic, queue_id));
  absl::MutexLock lock(&mutex_);
  Queue& queue = topics_[std::string(topic)].queues[queue_id.value()];
  queue.queue = NewQueue(topic, queue_id, {offset, offset}, min_position_);
  return queue.queue;
}

absl::Status ConsumeQueueSet::Append(std::string_view topic, QueueId queue_id, QueueOffset offset,
                                     const ConsumeQueueEntry& entry) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<ConsumeQueue> queue,
                          QueueForAppend(topic, queue_id, offset, entry.position));
  if (queue == nullptr) return absl::OkStatus();  // it is in already, or its topic was deleted
  RAFTMQ_RETURN_IF_ERROR(queue->Append(offset, entry));
  buffered_bytes_.fetch_add(kConsumeQueueEntrySize, std::memory_order_relaxed);
  return absl::OkStatus();
}

void ConsumeQueueSet::SetMinPosition(LogPosition position) {
  absl::MutexLock lock(&mutex_);
  if (position <= min_position_) return;
  min_position_ = position;
  for (auto& [name, topic] : topics_) {
    for (auto& [id, queue] : topic.queues) queue.queue->SetMinPosition(position);
  }
}

absl::Status ConsumeQueueSet::DeleteTopic(std::string_view topic, LogPosition deleted_at) {
  absl::MutexLock flush_lock(&flush_mutex_);
  RAFTMQ_RETURN_IF_ERROR(failure_);
  {
    absl::MutexLock lock(&mutex_);
    if (deleted_at < mark_.position) return absl::OkStatus();  // a replay: it is gone already
    auto found = topics_.find(topic);
    if (found == topics_.end() || found->second.deleted_at >= deleted_at) return absl::OkStatus();
    for (auto& [id, queue] : found->second.queues) queue.queue->Retire();
    found->second.queues.clear();
    found->second.deleted_at = deleted_at;
    std::erase_if(frozen_queues_, [topic](const auto& queue) { return queue->topic() == topic; });
  }
  if (std::erase_if(durable_.rows, [topic](const Row& row) { return row.topic == topic; }) > 0) {
    // The table first: what it doesn't list may be missing. The mark stays, so a replay brings the
    // topic's old records again, and must know to ignore them.
    durable_.deleted[std::string(topic)] = deleted_at;
    failure_ = WriteTable(durable_);
    RAFTMQ_RETURN_IF_ERROR(failure_);
  }
  files_.ForgetBelow(TopicDirectory(topic));
  failure_ = fs_->RemoveAll(TopicDirectory(topic));
  if (failure_.ok()) failure_ = fs_->SyncDir(directory_);
  return failure_;
}

absl::StatusOr<std::shared_ptr<ConsumeQueue>> ConsumeQueueSet::QueueForRepair(
    std::string_view topic, QueueId queue_id, QueueOffset first) {
  RAFTMQ_RETURN_IF_ERROR(CheckName(topic, queue_id));
  absl::MutexLock lock(&mutex_);
  CHECK(!frozen_) << "repair of " << topic << "/" << queue_id << " while a flush is waiting";
  Queue& queue = topics_[std::string(topic)].queues[queue_id.value()];
  if (queue.queue == nullptr) {
    queue.queue = NewQueue(topic, queue_id, {first, first}, min_position_);
  }
  queue.rebuilding = true;
  return queue.queue;
}

absl::Status ConsumeQueueSet::Reset(std::string_view topic, QueueId queue_id, QueueOffset first) {
  absl::MutexLock flush_lock(&flush_mutex_);
  RAFTMQ_RETURN_IF_ERROR(failure_);
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<ConsumeQueue> queue,
                          QueueForRepair(topic, queue_id, first));
  failure_ = queue->Reset(first);
  return failure_;
}

absl::Status ConsumeQueueSet::TruncateTo(std::string_view topic, QueueId queue_id,
                                         QueueOffset end) {
  absl::MutexLock flush_lock(&flush_mutex_);
  RAFTMQ_RETURN_IF_ERROR(failure_);
  RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<ConsumeQueue> queue,
                          QueueForRepair(topic, queue_id, end));
  failure_ = queue->TruncateTo(end);
  return failure_;
}

absl::Status ConsumeQueueSet::Rewrite(std::string_view topic, QueueId queue_id, QueueOffset offset,
                                      const ConsumeQueueEntry& entry) {
  absl::MutexLock flush_lock(&flush_mutex_);
  RAFTMQ_RETURN_IF_ERROR(failure_);
  const std::shared_ptr<ConsumeQueue> queue = Find(topic, queue_id);
  if (queue == nullptr) {
    return absl::NotFoundError(StrCat("topic ", topic, " has no queue ", queue_id));
  }
  return queue->Rewrite(offset, entry);
}

// ---- Flushing

bool ConsumeQueueSet::Freeze(AppliedMark mark) {
  absl::MutexLock lock(&mutex_);
  if (frozen_) return false;
  CHECK(mark_.index <= mark.index && mark_.position <= mark.position)
      << "consume queues are at index " << mark_.index << ", frozen at " << mark.index;
  frozen_ = true;
  frozen_mark_ = mark;
  frozen_min_position_ = min_position_;
  for (auto& [name, topic] : topics_) {
    for (auto& [id, queue] : topic.queues) {
      queue.queue->Freeze();
      frozen_queues_.push_back(queue.queue);
    }
  }
  frozen_bytes_ = buffered_bytes_.exchange(0);
  return true;
}

absl::Status ConsumeQueueSet::Sync(const ConsumeQueue::Unsynced& unsynced) {
  // One by one while they are few: flushing the file system may have to write what others wrote.
  if (unsynced.files.size() + unsynced.directories.size() > kMaxSingleSyncs) {
    const absl::Status status = fs_->SyncFileSystem(directory_);
    if (!absl::IsUnimplemented(status)) return status;
  }
  for (const std::string& path : unsynced.files) {
    RAFTMQ_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, files_.Open(path));
    RAFTMQ_RETURN_IF_ERROR(file->DataSync());
  }
  for (const std::string& directory : unsynced.directories) {
    RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(directory));
  }
  return absl::OkStatus();
}

absl::Status ConsumeQueueSet::WriteFrozenFiles(
    const std::vector<std::shared_ptr<ConsumeQueue>>& queues) {
  ConsumeQueue::Unsynced unsynced;
  for (const auto& queue : queues) RAFTMQ_RETURN_IF_ERROR(queue->WriteFrozen(&unsynced));
  return Sync(unsynced);
}

absl::Status ConsumeQueueSet::WriteFrozen() {
  absl::MutexLock flush_lock(&flush_mutex_);
  RAFTMQ_RETURN_IF_ERROR(failure_);
  Table next;
  std::vector<std::shared_ptr<ConsumeQueue>> queues;
  {
    absl::MutexLock lock(&mutex_);
    if (!frozen_) return absl::OkStatus();
    queues = frozen_queues_;
    next.mark = frozen_mark_;
    next.min_position = frozen_min_position_;
    for (const auto& [name, topic] : topics_) {
      if (topic.deleted_at >= next.mark.position) next.deleted[name] = topic.deleted_at;
    }
  }
  std::sort(queues.begin(), queues.end(), ByName);
  failure_ = [&]() -> absl::Status {
    RAFTMQ_RETURN_IF_ERROR(WriteFrozenFiles(queues));
    for (const auto& queue : queues) {
      next.rows.push_back({queue->topic(), queue->queue_id().value(), queue->FrozenState()});
    }
    RAFTMQ_RETURN_IF_ERROR(WriteTable(next));
    for (size_t i = 0; i < queues.size(); ++i) {
      RAFTMQ_RETURN_IF_ERROR(queues[i]->RemoveFilesBelow(next.rows[i].durable.min));
    }
    return absl::OkStatus();
  }();
  RAFTMQ_RETURN_IF_ERROR(failure_);
  durable_ = std::move(next);
  absl::MutexLock lock(&mutex_);
  mark_ = durable_.mark;
  // A deletion that no replay can come before again needs no memory.
  std::erase_if(topics_, [this](const auto& topic) {
    return topic.second.queues.empty() && topic.second.deleted_at < mark_.position;
  });
  frozen_ = false;
  frozen_queues_.clear();
  frozen_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status ConsumeQueueSet::Flush(AppliedMark mark) {
  RAFTMQ_RETURN_IF_ERROR(WriteFrozen());  // whatever still waits
  CHECK(Freeze(mark)) << "two threads flush the consume queues";
  return WriteFrozen();
}

AppliedMark ConsumeQueueSet::mark() const {
  absl::ReaderMutexLock lock(&mutex_);
  return mark_;
}

int64_t ConsumeQueueSet::buffered_bytes() const { return buffered_bytes_ + frozen_bytes_; }

// ---- Reading

std::shared_ptr<ConsumeQueue> ConsumeQueueSet::Find(std::string_view topic,
                                                    QueueId queue_id) const {
  absl::ReaderMutexLock lock(&mutex_);
  auto found = topics_.find(topic);
  if (found == topics_.end()) return nullptr;
  auto slot = found->second.queues.find(queue_id.value());
  return slot == found->second.queues.end() ? nullptr : slot->second.queue;
}

std::vector<std::shared_ptr<ConsumeQueue>> ConsumeQueueSet::List() const {
  std::vector<std::shared_ptr<ConsumeQueue>> queues;
  {
    absl::ReaderMutexLock lock(&mutex_);
    for (const auto& [name, topic] : topics_) {
      for (const auto& [id, queue] : topic.queues) queues.push_back(queue.queue);
    }
  }
  std::sort(queues.begin(), queues.end(), ByName);
  return queues;
}

std::vector<ConsumeQueueSet::Damaged> ConsumeQueueSet::damaged() const {
  std::vector<Damaged> damaged;
  for (const auto& queue : List()) {
    if (absl::Status status = queue->damage(); !status.ok()) {
      damaged.push_back({queue->topic(), queue->queue_id(), std::move(status)});
    }
  }
  return damaged;
}

absl::StatusOr<std::string> ConsumeQueueSet::DumpLogical() const {
  std::string dump;
  for (const auto& queue : List()) {
    RAFTMQ_ASSIGN_OR_RETURN(QueueOffset at, queue->MinOffset());
    const QueueOffset end = queue->MaxOffset();
    if (at == end) continue;
    const std::string name = StrCat(queue->topic(), " ", queue->queue_id(), " ");
    dump += StrCat(name, at, " ", end, "\n");
    while (at < end) {
      RAFTMQ_ASSIGN_OR_RETURN(const std::vector<ConsumeQueueEntry> entries,
                              queue->GetRange(at, std::min<int64_t>(end - at, 4096)));
      for (const ConsumeQueueEntry& entry : entries) {
        dump += StrCat(name, at, " ", entry.position, " ", entry.size, " ", entry.tag_hash, "\n");
        ++at;
      }
    }
  }
  return dump;
}

std::vector<ConsumeQueue::FileExtent> ConsumeQueueSet::DurableFiles() const {
  absl::MutexLock flush_lock(&flush_mutex_);
  std::vector<ConsumeQueue::FileExtent> files;
  if (durable_.mark.position == LogPosition(0)) return files;  // nothing was ever flushed
  files.push_back({std::string(kMarkName), static_cast<int64_t>(EncodeTable(durable_).size())});
  for (const Row& row : durable_.rows) {
    const std::shared_ptr<ConsumeQueue> queue = Find(row.topic, QueueId(row.queue_id));
    if (queue == nullptr) continue;
    for (ConsumeQueue::FileExtent& file : queue->DurableFiles()) {
      file.path = file.path.substr(directory_.size() + 1);
      files.push_back(std::move(file));
    }
  }
  return files;
}

}  // namespace raftmq::store
