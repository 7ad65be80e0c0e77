// EntryRepair: finds the record that a consume queue entry should lead to, when the entry does not,
// and writes the entry anew. Nothing guards an entry but the record it names: this is what heals a
// bit that flipped in a queue's file.
//
// The record is between those of the queue's nearest good entries; what is there is searched for a
// record that says it is the one, at its own place, with its CRCs right. Reads the disk; rare.
// Thread-safe.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/consume_queue_set.h"

namespace raftmq::store {

// The record that `entry` leads to. An error, DataLoss mostly, unless it is all that the entry
// says: that message, its size, its tag's hash.
absl::StatusOr<std::string> ReadEntryRecord(const dledger::Ledger& ledger,
                                            const ConsumeQueueEntry& entry, std::string_view topic,
                                            QueueId queue, QueueOffset offset);

class EntryRepair {
 public:
  // Both outlive it.
  EntryRepair(const dledger::Ledger* ledger, ConsumeQueueSet* queues)
      : ledger_(ledger), queues_(queues) {}

  // The record of message `offset`, whose entry led to the error `why`: that is the answer, too, if
  // no such record is found, which is not tried again then.
  absl::StatusOr<std::string> Heal(std::string_view topic, QueueId queue, QueueOffset offset,
                                   const absl::Status& why);

 private:
  struct Wanted {
    std::string_view topic;
    QueueId queue;
    QueueOffset offset;
  };
  std::optional<ConsumeQueueEntry> NearestGood(ConsumeQueue& queue, QueueOffset from,
                                               int step) const;
  std::optional<std::string> FindRecord(const Wanted& wanted, LogPosition begin,
                                        LogPosition end) const;
  std::optional<std::string> RecordAt(const Wanted& wanted, LogPosition position,
                                      std::string_view head) const;

  const dledger::Ledger* const ledger_;
  ConsumeQueueSet* const queues_;
  absl::Mutex mutex_;
  std::set<std::tuple<std::string, QueueId, QueueOffset>> in_vain_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::store
