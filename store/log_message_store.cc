#include "store/log_message_store.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/ack_proposal.h"
#include "store/admin_proposals.h"
#include "store/change_invisible_proposal.h"
#include "store/dispatcher.h"
#include "store/lite_receive.h"
#include "store/lock_proposal.h"
#include "store/log_dead_letter_queues.h"
#include "store/log_lite_topics.h"
#include "store/log_retention.h"
#include "store/log_waiting_messages.h"
#include "store/move_proposal.h"
#include "store/names.h"
#include "store/reason.h"
#include "store/receive_call.h"
#include "store/send_proposal.h"
#include "store/state_store.h"
#include "store/store_context.h"
#include "store/store_gauges.h"
#include "store/store_reader.h"

namespace raftmq::store {

// In the order in which they depend on each other.
struct LogMessageStore::Parts {
  StoreContext context;
  FileSystem* fs = nullptr;
  TaskRunner* flush = nullptr;
  std::unique_ptr<RocksStateStore> state_store;
  std::unique_ptr<Dispatcher> dispatcher;
  std::unique_ptr<StoreReader> reader;
  std::unique_ptr<LogWaitingMessages> waiting;
  std::unique_ptr<LogDeadLetterQueues> dead_letters;
  std::unique_ptr<LogRetention> retention;
  std::unique_ptr<LogLiteTopics> lite_topics;
  std::atomic<bool> flush_scheduled{false};  // by time
  std::atomic<bool> flush_posted{false};     // by size
};

namespace {

absl::StatusOr<std::unique_ptr<ConsumeQueueSet>> OpenQueues(FileSystem* fs,
                                                            const LogMessageStoreOptions& options) {
  const std::string directory = StrCat(options.dir, "/consumequeue");
  ConsumeQueueSet::Options queue_options;
  queue_options.entries_per_file = options.queue_entries_per_file;
  RAFTMQ_ASSIGN_OR_RETURN(auto queues, ConsumeQueueSet::Open(fs, directory, queue_options));
  const auto damaged = queues->damaged();
  if (damaged.empty()) return queues;
  for (const auto& queue : damaged) {
    LOG(ERROR) << "consume queue of topic " << queue.topic << " queue " << queue.queue_id
               << " is damaged: " << queue.status;
  }
  LOG(ERROR) << damaged.size() << " consume queues in " << directory
             << " are damaged; all are made anew from the log";
  queues.reset();
  RAFTMQ_RETURN_IF_ERROR(fs->RemoveAll(directory));
  return ConsumeQueueSet::Open(fs, directory, queue_options);
}

absl::StatusOr<std::unique_ptr<RocksStateStore>> OpenAndLoad(const std::string& directory,
                                                             const StateStoreOptions& options,
                                                             BrokerState* state) {
  RAFTMQ_ASSIGN_OR_RETURN(auto database, RocksStateStore::Open(directory, options));
  RAFTMQ_RETURN_IF_ERROR(database->Load(state));
  return database;
}

// The log is the truth: a database that can't be read is put where somebody may look at it, and
// begun anew. RocksDB is on the machine's disk, so that is where it is moved.
absl::StatusOr<std::unique_ptr<RocksStateStore>> OpenState(const std::string& directory,
                                                           const StateStoreOptions& options,
                                                           BrokerState* state) {
  auto database = OpenAndLoad(directory, options, state);
  if (!absl::IsDataLoss(database.status())) return database;
  const std::string aside = StrCat(directory, ".damaged");
  FileSystem* const disk = PosixFileSystem();
  RAFTMQ_RETURN_IF_ERROR(disk->RemoveAll(aside));
  RAFTMQ_RETURN_IF_ERROR(disk->Rename(directory, aside));
  RAFTMQ_RETURN_IF_ERROR(disk->SyncDir(ParentDirectory(directory)));
  LOG(ERROR) << Message(database.status()) << "; it is set aside as " << aside
             << " and made anew from the log";
  *state = BrokerState();
  return OpenAndLoad(directory, options, state);
}

// The record at `position` if it was kept; NotFound if it was not, or is no more.
absl::StatusOr<std::string> ReadKept(const AppliedState& applied, const RocksStateStore& store,
                                     LogPosition position) {
  bool kept = false;
  const KeptRecords::Bytes bytes = applied.Read([&](const BrokerState& state) {
    kept = state.kept().Contains(position);
    return state.kept().UncommittedBytes(position);
  });
  if (!kept) return absl::NotFoundError("not kept");
  if (bytes != nullptr) return *bytes;
  return store.ReadKept(position);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LogMessageStore>> LogMessageStore::Open(
    LogMessageStoreOptions options, FileSystem* fs, Clock* clock, TaskRunner* read,
    TaskRunner* flush) {
  auto parts = std::make_unique<Parts>();
  StoreContext& context = parts->context;
  if (options.state_dir.empty()) options.state_dir = StrCat(options.dir, "/state");
  RAFTMQ_ASSIGN_OR_RETURN(context.store_host, HostAddress::Parse(options.store_host));
  context.clock = clock;
  context.read = read;
  parts->fs = fs;
  parts->flush = flush;
  RAFTMQ_RETURN_IF_ERROR(fs->CreateDirs(options.dir));
  RAFTMQ_ASSIGN_OR_RETURN(context.queues, OpenQueues(fs, options));
  if (options.message_index_enable) {
    MessageIndex::Options index_options;
    index_options.slots = options.index_slots;
    index_options.entries = options.index_entries;
    RAFTMQ_ASSIGN_OR_RETURN(context.index,
                            MessageIndex::Open(fs, StrCat(options.dir, "/index"), index_options));
  }
  RecentSends::Options dedupe;
  dedupe.max_messages = static_cast<size_t>(options.dedupe_messages);
  dedupe.window_ms = options.dedupe_window_ms;
  dedupe.born_slack_ms = options.dedupe_born_slack_ms;
  RAFTMQ_ASSIGN_OR_RETURN(context.sends,
                          RecentSends::Open(fs, StrCat(options.dir, "/sends.mark"), dedupe));
  StateStoreOptions state_options;
  state_options.flush_at_close = options.flush_state_at_close;
  RAFTMQ_RETURN_IF_ERROR(context.applied.Write([&](BrokerState& state) {
    RAFTMQ_ASSIGN_OR_RETURN(parts->state_store,
                            OpenState(options.state_dir, state_options, &state));
    state.SetChanges(parts->state_store->changes());
    return absl::OkStatus();
  }));
  const LogPosition min_position =
      context.applied.Read([](const BrokerState& state) { return state.min_position(); });
  context.queues->SetMinPosition(min_position);
  if (context.index != nullptr) context.index->SetMinPosition(min_position);
  context.records.SetKept([&context, state_store = parts->state_store.get()](LogPosition position) {
    return ReadKept(context.applied, *state_store, position);
  });
  LogPosition known_end = context.queues->mark().position;
  if (context.index != nullptr) known_end = std::max(known_end, context.index->mark().position);
  context.applied.Publish(parts->state_store->applied_index(), known_end);
  parts->dispatcher = std::make_unique<Dispatcher>(
      &context.applied, parts->state_store.get(), context.queues.get(), context.index.get(),
      context.sends.get(), &context.records, &context.counters);
  parts->reader = std::make_unique<StoreReader>(&context);
  parts->waiting = std::make_unique<LogWaitingMessages>(&context);
  parts->dead_letters = std::make_unique<LogDeadLetterQueues>(&context);
  parts->retention = std::make_unique<LogRetention>(
      &context, [dispatcher = parts->dispatcher.get()] { return dispatcher->missed_messages(); });
  parts->lite_topics = std::make_unique<LogLiteTopics>(&context);
  context.options = std::move(options);
  LOG(INFO) << "store " << context.options.dir << ": state at entry "
            << parts->state_store->applied_index() << ", consume queues at "
            << context.queues->mark().index << ", index at "
            << (context.index == nullptr ? LogIndex(0) : context.index->mark().index)
            << "; replay begins after " << parts->dispatcher->ReplayAfter();
  return std::unique_ptr<LogMessageStore>(new LogMessageStore(std::move(parts)));
}

absl::Status LogMessageStore::RemoveDerived(const std::string& dir, FileSystem* fs) {
  for (const char* part : {"/state", "/state.damaged", "/consumequeue", "/index", "/sends.mark"}) {
    RAFTMQ_RETURN_IF_ERROR(fs->RemoveAll(StrCat(dir, part)));
  }
  return fs->SyncDir(dir);
}

LogMessageStore::LogMessageStore(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

LogMessageStore::~LogMessageStore() {
  parts_->context.applied.Stop(absl::UnavailableError("the store is closed"));
}

void LogMessageStore::Attach(dledger::Ledger* ledger) {
  CHECK(parts_->context.ledger == nullptr) << "Attach is called once";
  parts_->context.ledger = ledger;
  parts_->context.records.Attach(ledger, parts_->context.queues.get());
  parts_->dispatcher->SetRelease(
      [ledger](LogPosition position) { ledger->ReleaseBefore(position); });
}

// ---- Changes: proposals

void LogMessageStore::Send(std::vector<NewMessage> messages, dledger::AckLevel ack,
                           SendCallback done) {
  SendProposal::Start(&parts_->context, std::move(messages), ack, std::move(done));
}

void LogMessageStore::Receive(ReceiveRequest request, ReceiveCallback done) {
  if (request.lite) {
    LiteReceive::Start(&parts_->context, std::move(request), std::move(done));
  } else {
    ReceiveCall::Start(&parts_->context, std::move(request), std::move(done));
  }
}

void LogMessageStore::Ack(std::string group, std::string topic, std::vector<std::string> handles,
                          AckCallback done) {
  AckProposal::Start(&parts_->context, std::move(group), std::move(topic), std::move(handles),
                     std::move(done));
}

void LogMessageStore::ChangeInvisible(std::string group, std::string topic, std::string handle,
                                      int64_t invisible_ms, ChangeCallback done) {
  ChangeInvisibleProposal::Start(&parts_->context, LeaseChange::kByHolder, std::move(group),
                                 std::move(topic), std::move(handle), invisible_ms,
                                 std::move(done));
}

void LogMessageStore::Renew(std::string group, std::string topic, std::string handle,
                            int64_t invisible_ms, ChangeCallback done) {
  ChangeInvisibleProposal::Start(&parts_->context, LeaseChange::kRenewal, std::move(group),
                                 std::move(topic), std::move(handle), invisible_ms,
                                 std::move(done));
}

void LogMessageStore::Nack(std::string group, std::string topic, std::string handle,
                           std::optional<int64_t> invisible_ms, ChangeCallback done) {
  ChangeInvisibleProposal::Start(&parts_->context, LeaseChange::kNack, std::move(group),
                                 std::move(topic), std::move(handle), invisible_ms,
                                 std::move(done));
}

void LogMessageStore::EditTopic(std::string name, TopicEdit edit, DoneCallback done) {
  StartEditTopic(&parts_->context, std::move(name), std::move(edit), std::move(done));
}

void LogMessageStore::DeleteTopic(std::string name, DoneCallback done) {
  StartDeleteTopic(&parts_->context, std::move(name), std::move(done));
}

void LogMessageStore::EditGroup(std::string name, GroupEdit edit, DoneCallback done) {
  StartEditGroup(&parts_->context, std::move(name), std::move(edit), std::move(done));
}

void LogMessageStore::DeleteGroup(std::string name, DoneCallback done) {
  StartDeleteGroup(&parts_->context, std::move(name), std::move(done));
}

void LogMessageStore::UpdateOffset(std::string group, std::string topic, QueueId queue,
                                   QueueOffset offset, std::string client_id, DoneCallback done) {
  StartUpdateOffset(&parts_->context, std::move(group), std::move(topic), queue, offset,
                    std::move(client_id), std::move(done));
}

void LogMessageStore::MoveOffsets(OffsetMoveRequest request, MoveCallback done) {
  MoveOffsetsProposal::Start(&parts_->context, std::move(request), std::move(done));
}

void LogMessageStore::WhenApplied(LogIndex index,
                                  absl::AnyInvocable<void(const absl::Status&)> then) {
  parts_->context.applied.WhenApplied(
      index, [then = std::move(then)](const absl::Status& status) mutable { then(status); });
}

void LogMessageStore::LockQueues(QueueLockRequest request, LockCallback done) {
  LockQueuesProposal::Start(&parts_->context, std::move(request), std::move(done));
}

// ---- Reads: the applied state

absl::StatusOr<TopicConfig> LogMessageStore::FindTopic(const std::string& name) const {
  std::optional<TopicConfig> topic;
  parts_->context.applied.Read([&](const BrokerState& state) {
    if (const TopicConfig* found = state.FindTopic(name); found != nullptr) topic = *found;
  });
  if (topic.has_value()) return *std::move(topic);
  return Refuse(Reason::kTopicNotFound, StrCat("topic ", name, " does not exist"));
}

std::vector<TopicConfig> LogMessageStore::ListTopics() const {
  auto topics =
      parts_->context.applied.Read([](const BrokerState& state) { return state.Topics(); });
  std::erase_if(topics, [](const TopicConfig& topic) { return IsLiteTopic(topic.name); });
  return topics;
}

absl::StatusOr<GroupConfig> LogMessageStore::FindGroup(const std::string& name) const {
  std::optional<GroupConfig> group;
  parts_->context.applied.Read([&](const BrokerState& state) {
    if (const GroupConfig* found = state.FindGroup(name); found != nullptr) group = *found;
  });
  if (group.has_value()) return *std::move(group);
  return Refuse(Reason::kGroupNotFound, StrCat("group ", name, " does not exist"));
}

std::vector<GroupConfig> LogMessageStore::ListGroups() const {
  return parts_->context.applied.Read([](const BrokerState& state) { return state.Groups(); });
}

absl::StatusOr<std::vector<OffsetMove>> LogMessageStore::ListOffsetMoves(
    const std::string& group) const {
  return parts_->reader->ListOffsetMoves(group);
}

absl::StatusOr<std::vector<QueueHold>> LogMessageStore::ListHolds(const std::string& group) const {
  return parts_->reader->ListHolds(group);
}

absl::StatusOr<QueueOffset> LogMessageStore::CommitOffset(const std::string& group,
                                                          const std::string& topic,
                                                          QueueId queue) const {
  return parts_->reader->CommitOffset(group, topic, queue);
}

absl::StatusOr<std::vector<QueueProgress>> LogMessageStore::GroupProgress(
    const std::string& group) const {
  return parts_->reader->GroupProgress(group);
}

absl::StatusOr<MessageStore::QueueRange> LogMessageStore::Range(const std::string& topic,
                                                                QueueId queue) const {
  return parts_->reader->Range(topic, queue);
}

absl::StatusOr<QueueOffset> LogMessageStore::OffsetByTime(const std::string& topic, QueueId queue,
                                                          int64_t timestamp_ms) const {
  return parts_->reader->OffsetByTime(topic, queue, timestamp_ms);
}

absl::StatusOr<std::vector<std::string>> LogMessageStore::Pull(const std::string& topic,
                                                               QueueId queue, QueueOffset offset,
                                                               int32_t max_messages,
                                                               int64_t max_bytes) const {
  return parts_->reader->Pull(topic, queue, offset, max_messages, max_bytes);
}

absl::StatusOr<std::string> LogMessageStore::RecordAt(LogPosition position) const {
  return parts_->reader->RecordAt(position);
}

absl::StatusOr<std::vector<std::string>> LogMessageStore::QueryByKey(const std::string& topic,
                                                                     const std::string& key,
                                                                     int64_t begin_ms,
                                                                     int64_t end_ms,
                                                                     int32_t max_messages) const {
  return parts_->reader->QueryByKey(topic, key, begin_ms, end_ms, max_messages);
}

void LogMessageStore::SetArrivalListener(ArrivalListener* listener) {
  parts_->dispatcher->SetListener(listener);
}

LogIndex LogMessageStore::AppliedIndex() const { return parts_->context.applied.index(); }

absl::StatusOr<std::string> LogMessageStore::DumpState() const {
  // Not of a copy, which has no timers and no transactions: two members that differ in those must
  // not look equal.
  return parts_->context.applied.Read([](const BrokerState& state) { return state.DumpText(); });
}

WaitingMessages& LogMessageStore::waiting() { return *parts_->waiting; }

DeadLetterQueues& LogMessageStore::dead_letters() { return *parts_->dead_letters; }

LiteTopics& LogMessageStore::lite_topics() { return *parts_->lite_topics; }

Retention& LogMessageStore::retention() { return *parts_->retention; }
const StoreCounters& LogMessageStore::counters() const { return parts_->context.counters; }
StoreGauges LogMessageStore::ReadGauges(size_t max_rows) const {
  return ReadStoreGauges(parts_->context.applied, max_rows);
}

// ---- The state machine

LogIndex LogMessageStore::DurableAppliedIndex() const { return parts_->dispatcher->DurableIndex(); }

LogIndex LogMessageStore::ReplayAfter() const { return parts_->dispatcher->ReplayAfter(); }

LogIndex LogMessageStore::NeedsEntriesAfter() const {
  return parts_->state_store->durable_applied_index();
}

absl::Status LogMessageStore::Apply(std::span<const dledger::CommittedEntry> entries) {
  absl::Status status = parts_->dispatcher->Apply(entries);
  if (!status.ok()) {
    parts_->context.applied.Stop(status);
    return status;
  }
  ScheduleFlush();
  return absl::OkStatus();
}

void LogMessageStore::BeginLeadership(Term term) {
  StoreContext& context = parts_->context;
  CHECK(context.leading == nullptr) << "leadership began twice";
  context.leading =
      std::make_unique<LeaderView>(term, parts_->dispatcher->CopyState(), context.clock);
  context.counters.SetLeading(true);
}

void LogMessageStore::EndLeadership() {
  CHECK(parts_->context.leading != nullptr) << "leadership ended without having begun";
  parts_->context.counters.SetLeading(false);
  parts_->context.leading.reset();
  parts_->context.sends->DropPending();
}

// ---- Flushing

// At most one flush is due by time and one by size, however much is applied.
void LogMessageStore::ScheduleFlush() {
  Parts* const parts = parts_.get();
  const auto flush = [this](std::atomic<bool>* due) {
    due->store(false);
    const absl::Status status = Flush();
    LOG_IF(ERROR, !status.ok()) << "flushing the store failed; the replica will stop: " << status;
  };
  if (parts->dispatcher->unflushed_bytes() >= parts->context.options.flush_bytes &&
      !parts->flush_posted.exchange(true)) {
    parts->flush->Post([flush, parts] { flush(&parts->flush_posted); });
  }
  if (!parts->flush_scheduled.exchange(true)) {
    parts->flush->RunAfter(parts->context.options.flush_interval_ms * 1'000'000,
                           [flush, parts] { flush(&parts->flush_scheduled); });
  }
}

absl::Status LogMessageStore::Flush() { return parts_->dispatcher->Flush(); }

absl::Status LogMessageStore::Close() { return parts_->dispatcher->Close(); }

}  // namespace raftmq::store
