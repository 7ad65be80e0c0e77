// RecordReader: message records from the log, every one checked: its CRCs, and that it says it is
// where it was found, and, where a message is asked for, that it is that one. May read the disk.
// Thread-safe once attached.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/consume_queue_set.h"
#include "store/entry_repair.h"

namespace raftmq::store {

class RecordReader {
 public:
  // Finds records that were kept when the log let go of them; NotFound: it is none of those. Once,
  // before any read.
  using KeptSource = std::function<absl::StatusOr<std::string>(LogPosition)>;
  void SetKept(KeptSource kept) { kept_ = std::move(kept); }

  // Once, before any read. Both outlive the reads.
  void Attach(const dledger::Ledger* ledger, ConsumeQueueSet* queues) {
    ledger_ = ledger;
    repair_.emplace(ledger, queues);
  }

  // The record of the consume queue entry of a message. An entry that does not lead to it
  // (position, size, tag hash) is put right from the log: a queue's files carry no CRC. DataLoss:
  // the log does not have the record either, or has it damaged.
  absl::StatusOr<std::string> Read(const ConsumeQueueEntry& entry, std::string_view topic,
                                   QueueId queue, QueueOffset offset) const;

  // The record that begins at `position`, in the log or kept; Reason::kMessageNotFound if none
  // does.
  absl::StatusOr<std::string> ReadAt(LogPosition position) const;

  // Its store time; reads the record's head only.
  absl::StatusOr<int64_t> StoreTime(const ConsumeQueueEntry& entry) const;

 private:
  const dledger::Ledger* ledger_ = nullptr;
  mutable std::optional<EntryRepair> repair_;
  KeptSource kept_;
};

}  // namespace raftmq::store
