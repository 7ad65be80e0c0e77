#include "store/state_store.h"

#include <array>
#include <atomic>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "rocksdb/db.h"
#include "rocksdb/options.h"
#include "rocksdb/write_batch.h"
#include "store/state_rows.h"

namespace raftmq::store {
namespace {

// By StateColumn.
constexpr std::array<std::string_view, kStateColumns> kColumnNames = {
    "default",       "topics",       "groups",
    "queues",        "positions",    "leases",
    "timers",        "transactions", "ended_transactions",
    "dead_lettered", "redriven",     "kept",
    "kept_bytes",    "queue_locks",  "offset_moves",  "lite_subscriptions"};

// In the meta column, beside the state's own row.
constexpr std::string_view kFormatKey = "format";
constexpr std::string_view kFormatValue = "raftmq-state-1";

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view ToView(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

absl::Status Translate(const rocksdb::Status& status, const std::string& directory,
                       std::string_view doing) {
  if (status.ok()) return absl::OkStatus();
  std::string text =
      StrCat("state database ", directory, ": ", doing, " failed: ", status.ToString());
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  // A file that is missing is damage, too: the machine did not fail.
  if (status.IsCorruption() || status.IsPathNotFound()) {
    return absl::DataLossError(
        StrCat(text, ". With this directory removed, the member rebuilds it from the log"));
  }
  if (status.IsIOError()) return absl::UnavailableError(text);
  return absl::InternalError(text);
}

rocksdb::Options MakeOptions(const StateStoreOptions& options) {
  rocksdb::Options rocks;
  rocks.create_if_missing = true;
  rocks.create_missing_column_families = true;
  rocks.paranoid_checks = true;
  rocks.atomic_flush = true;
  rocks.avoid_flush_during_shutdown = !options.flush_at_close;
  rocks.write_buffer_size = options.write_buffer_bytes;
  rocks.max_background_jobs = 2;
  rocks.max_open_files = 256;
  rocks.compression = rocksdb::kNoCompression;
  // Its own records of every flush and its text log stay small.
  rocks.max_manifest_file_size = 16 << 20;
  rocks.info_log_level = rocksdb::WARN_LEVEL;
  rocks.keep_log_file_num = 2;
  rocks.max_log_file_size = 1 << 20;
  rocks.stats_dump_period_sec = 0;
  rocks.stats_persist_period_sec = 0;
  return rocks;
}

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  return write;
}

}  // namespace

struct RocksStateStore::Impl : public StateChanges {
  explicit Impl(std::string dir) : directory(std::move(dir)) {}

  ~Impl() override {
    for (rocksdb::ColumnFamilyHandle* column : columns) {
      rocksdb::Status status = db->DestroyColumnFamilyHandle(column);
      LOG_IF(ERROR, !status.ok()) << "state database " << directory << ": " << status.ToString();
    }
    if (db == nullptr) return;
    rocksdb::Status status = db->Close();
    LOG_IF(ERROR, !status.ok()) << "closing state database " << directory << ": "
                                << status.ToString();
  }

  rocksdb::ColumnFamilyHandle* Column(StateColumn column) const {
    return columns[static_cast<size_t>(column)];
  }

  void Put(StateColumn column, std::string_view key, std::string_view value) override {
    Collected(batch.Put(Column(column), ToSlice(key), ToSlice(value)));
  }

  void Delete(StateColumn column, std::string_view key) override {
    Collected(batch.Delete(Column(column), ToSlice(key)));
  }

  // A batch that lacks a row must not be written; Commit reports it.
  void Collected(const rocksdb::Status& status) {
    if (collected.ok()) collected = Translate(status, directory, "collecting a row");
  }

  absl::Status Failure() {
    absl::MutexLock lock(&mutex);
    return failure;
  }

  // Keeps the first error; returns `status`.
  absl::Status Remember(absl::Status status) {
    if (status.ok()) return status;
    absl::MutexLock lock(&mutex);
    if (failure.ok()) failure = status;
    return status;
  }

  absl::Status CheckFormat();
  absl::Status FlushAll();
  // Calls `row` for every row of the column.
  template <typename F>
  absl::Status ForEach(StateColumn column, const rocksdb::Snapshot* snapshot, F row) const;
  absl::Status LoadColumns(const rocksdb::Snapshot* snapshot, BrokerState* state) const;

  const std::string directory;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> columns;
  rocksdb::WriteBatch batch;
  absl::Status collected;  // whether the batch has every row
  std::atomic<int64_t> applied{0};
  std::atomic<int64_t> durable_applied{0};
  absl::Mutex mutex;
  // The first error; nothing is written after it.
  absl::Status failure ABSL_GUARDED_BY(mutex);
};

// A fresh database gets our mark; one that holds something else is not touched.
absl::Status RocksStateStore::Impl::CheckFormat() {
  std::string format;
  rocksdb::Status status =
      db->Get(rocksdb::ReadOptions(), Column(StateColumn::kMeta), ToSlice(kFormatKey), &format);
  if (status.ok()) {
    if (format == kFormatValue) return absl::OkStatus();
    return absl::UnimplementedError(StrCat("state database ", directory, " has format \"", format,
                                           "\", this release knows \"", kFormatValue,
                                           "\": upgrade this member"));
  }
  if (!status.IsNotFound()) return Translate(status, directory, "reading the format");
  for (int i = 0; i < kStateColumns; ++i) {
    int rows = 0;
    RAFTMQ_RETURN_IF_ERROR(ForEach(static_cast<StateColumn>(i), nullptr, [&](auto, auto) {
      ++rows;
      return absl::OkStatus();
    }));
    if (rows > 0) {
      return absl::DataLossError(StrCat("state database ", directory, " holds ", rows,
                                        " rows in column ", kColumnNames[i],
                                        " but no format: it is not RaftMQ's, or damaged"));
    }
  }
  status =
      db->Put(WithoutLog(), Column(StateColumn::kMeta), ToSlice(kFormatKey), ToSlice(kFormatValue));
  RAFTMQ_RETURN_IF_ERROR(Translate(status, directory, "writing the format"));
  return FlushAll();
}

absl::Status RocksStateStore::Impl::FlushAll() {
  rocksdb::FlushOptions options;
  options.wait = true;
  return Translate(db->Flush(options, columns), directory, "flushing");
}

template <typename F>
absl::Status RocksStateStore::Impl::ForEach(StateColumn column, const rocksdb::Snapshot* snapshot,
                                            F row) const {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(options, Column(column)));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    RAFTMQ_RETURN_IF_ERROR(row(ToView(it->key()), ToView(it->value())));
  }
  return Translate(it->status(), directory,
                   StrCat("reading column ", kColumnNames[static_cast<size_t>(column)]));
}

absl::Status RocksStateStore::Impl::LoadColumns(const rocksdb::Snapshot* snapshot,
                                                BrokerState* state) const {
  bool has_meta = false;
  for (int i = 0; i < kStateColumns; ++i) {
    auto column = static_cast<StateColumn>(i);
    if (column == StateColumn::kKeptBytes) continue;
    RAFTMQ_RETURN_IF_ERROR(
        ForEach(column, snapshot, [&](std::string_view key, std::string_view value) {
          if (column == StateColumn::kMeta && key == kFormatKey) return absl::OkStatus();
          if (column == StateColumn::kMeta) has_meta = true;
          if (!has_meta) {
            return absl::DataLossError(StrCat("there are rows in column ", kColumnNames[i],
                                              " but no row that says up to which entry"));
          }
          return state->LoadRow(column, key, value);
        }));
  }
  return absl::OkStatus();
}

RocksStateStore::RocksStateStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksStateStore::~RocksStateStore() = default;

absl::StatusOr<std::unique_ptr<RocksStateStore>> RocksStateStore::Open(
    const std::string& directory, const StateStoreOptions& options) {
  rocksdb::Options rocks = MakeOptions(options);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (std::string_view name : kColumnNames) {
    descriptors.emplace_back(std::string(name), rocksdb::ColumnFamilyOptions(rocks));
  }
  auto impl = std::make_unique<Impl>(directory);
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(rocks, directory, descriptors, &impl->columns, &db);
  if (status.IsInvalidArgument()) {
    return absl::UnimplementedError(StrCat("state database ", directory,
                                           " cannot be opened by this release: ", status.ToString(),
                                           ". A newer release wrote it, or it is not RaftMQ's"));
  }
  RAFTMQ_RETURN_IF_ERROR(Translate(status, directory, "opening"));
  impl->db.reset(db);
  RAFTMQ_RETURN_IF_ERROR(impl->CheckFormat());

  BrokerState meta;
  RAFTMQ_RETURN_IF_ERROR(impl->ForEach(StateColumn::kMeta, nullptr, [&](auto key, auto value) {
    return key == kFormatKey ? absl::OkStatus() : meta.LoadRow(StateColumn::kMeta, key, value);
  }));
  impl->applied = meta.applied_index().value();
  impl->durable_applied = meta.applied_index().value();
  return std::unique_ptr<RocksStateStore>(new RocksStateStore(std::move(impl)));
}

absl::Status RocksStateStore::Load(BrokerState* state) const {
  const rocksdb::Snapshot* snapshot = impl_->db->GetSnapshot();
  absl::Status status = impl_->LoadColumns(snapshot, state);
  impl_->db->ReleaseSnapshot(snapshot);
  return Annotate(status, StrCat("state database ", impl_->directory));
}

StateChanges* RocksStateStore::changes() { return impl_.get(); }

absl::Status RocksStateStore::Commit(LogIndex applied) {
  CHECK_GE(applied, applied_index());
  RAFTMQ_RETURN_IF_ERROR(impl_->Failure());
  RAFTMQ_RETURN_IF_ERROR(impl_->Remember(impl_->collected));
  RAFTMQ_RETURN_IF_ERROR(
      impl_->Remember(Translate(impl_->db->Write(WithoutLog(), &impl_->batch), impl_->directory,
                                StrCat("writing up to entry ", applied))));
  impl_->batch.Clear();
  impl_->applied = applied.value();
  return absl::OkStatus();
}

// What is committed while RocksDB flushes may be in it or not; the index of before is what counts.
absl::Status RocksStateStore::Flush() {
  RAFTMQ_RETURN_IF_ERROR(impl_->Failure());
  const int64_t applied = impl_->applied.load();
  if (impl_->durable_applied.load() == applied) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(impl_->Remember(impl_->FlushAll()));
  impl_->durable_applied = applied;
  return absl::OkStatus();
}

absl::StatusOr<std::string> RocksStateStore::ReadKept(LogPosition position) const {
  std::string value;
  const rocksdb::Status status =
      impl_->db->Get(rocksdb::ReadOptions(), impl_->Column(StateColumn::kKeptBytes),
                     ToSlice(KeptKeyOf(position)), &value);
  if (status.IsNotFound()) {
    return absl::NotFoundError(StrCat("no record of log position ", position, " is kept"));
  }
  RAFTMQ_RETURN_IF_ERROR(Translate(status, impl_->directory, "reading a kept record"));
  RAFTMQ_ASSIGN_OR_RETURN(const std::string_view record, ParseKeptBytesValue(value));
  return std::string(record);
}

LogIndex RocksStateStore::applied_index() const { return LogIndex(impl_->applied.load()); }

LogIndex RocksStateStore::durable_applied_index() const {
  return LogIndex(impl_->durable_applied.load());
}

absl::StatusOr<std::string> RocksStateStore::DumpLogical() const {
  BrokerState state;
  RAFTMQ_RETURN_IF_ERROR(Load(&state));
  return state.DumpText();
}

}  // namespace raftmq::store
