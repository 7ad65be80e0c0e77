// StoreContext: the parts of one LogMessageStore, for the classes that it is made of.
#pragma once

#include <atomic>
#include <memory>

#include "base/clock.h"
#include "base/task_runner.h"
#include "dledger/ledger.h"
#include "glog/logging.h"
#include "store/applied_state.h"
#include "store/consume_queue_set.h"
#include "store/leader_view.h"
#include "store/log_message_store_options.h"
#include "store/message_index.h"
#include "store/message_record.h"
#include "store/recent_sends.h"
#include "store/record_reader.h"
#include "store/store_counters.h"

namespace raftmq::store {

struct StoreContext {
  // Fixed after Open and Attach; each part says itself from which threads it may be used.
  LogMessageStoreOptions options;
  HostAddress store_host;
  Clock* clock = nullptr;
  TaskRunner* read = nullptr;
  dledger::Ledger* ledger = nullptr;
  std::unique_ptr<ConsumeQueueSet> queues;
  std::unique_ptr<MessageIndex> index;  // null: messageIndexEnable=false
  std::unique_ptr<RecentSends> sends;
  RecordReader records;
  AppliedState applied;
  StoreCounters counters;

  std::atomic<int32_t> pending_receives{0};
  std::atomic<int32_t> pending_endings{0};
  std::atomic<uint32_t> receive_turn{0};  // each Receive looks at the queues from another one on

  // Replica thread only; null while not leading.
  std::unique_ptr<LeaderView> leading;

  LeaderView& view() {
    CHECK(leading != nullptr) << "decided without leadership";
    return *leading;
  }
};

}  // namespace raftmq::store
