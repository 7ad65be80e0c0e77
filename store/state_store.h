// RocksStateStore: a BrokerState in RocksDB.
//
// The replicated log is the write-ahead log, so RocksDB's is off: Commit survives a crash only
// after a Flush, which makes all columns durable at one applied index (atomic flush). After a
// restart the log is replayed from there. RocksDB does its own file I/O and has two background
// threads of its own.
//
// The usual round, on the apply thread:
//   state.SetChanges(store->changes());            // once
//   state.Apply(…); state.ApplyRecord(…);          // any number, then state.AdvanceTo(index)
//   state.FinishBatch(index); store->Commit(index);  // before a flush, or many rows are waiting
//   store->Flush();                                // now and then
// A row costs about 3 µs to commit; leases that come and go between two commits cost none.
//
// Threads: changes, Commit and Load belong to one thread at a time; Flush may run beside them, on
// one thread; the indexes may be read by any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/broker_state.h"
#include "store/state_changes.h"

namespace raftmq::store {

struct StateStoreOptions {
  int64_t write_buffer_bytes = 16 << 20;  // per column
  // Closing makes what is committed durable. False: it is lost, as in a crash.
  bool flush_at_close = true;
};

class RocksStateStore {
 public:
  // Opens the database in `directory`, or makes it. DataLoss if it is damaged or not ours,
  // Unimplemented if a newer release wrote it.
  static absl::StatusOr<std::unique_ptr<RocksStateStore>> Open(const std::string& directory,
                                                               const StateStoreOptions& options);
  ~RocksStateStore();

  // Reads everything into `state`, which must be fresh.
  absl::Status Load(BrokerState* state) const;

  // Collects rows until the next Commit.
  StateChanges* changes();

  // Writes what was collected, at once or not at all. An error is final: nothing is written after
  // it, since later batches would build on a missing one.
  absl::Status Commit(LogIndex applied);

  // Makes everything committed so far durable. Does nothing if it is. Errors are final as well.
  absl::Status Flush();

  // The bytes of a record that was kept, once they are committed. NotFound: there are none. Any
  // thread.
  absl::StatusOr<std::string> ReadKept(LogPosition position) const;

  // Of the last Commit; what Load gave, before the first one.
  LogIndex applied_index() const;

  // What a crash now would come back to, at least. Any thread.
  LogIndex durable_applied_index() const;

  // DumpText of the state that Load would give.
  absl::StatusOr<std::string> DumpLogical() const;

 private:
  struct Impl;
  explicit RocksStateStore(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::store
