// Settings of a LogMessageStore.
#pragma once

#include <cstdint>
#include <string>

namespace raftmq::store {

struct LogMessageStoreOptions {
  // The member's generation directory: consumequeue/, index/ and state/ are kept in it.
  std::string dir;
  // RocksDB's directory; empty: `dir`/state. RocksDB does not use our FileSystem.
  std::string state_dir;

  // Whether RocksDB writes what it has in memory when it is closed; false: as in a crash.
  bool flush_state_at_close = true;

  // Written into records as StoreHost: numeric "address:port".
  std::string store_host = "127.0.0.1:8081";

  // Derived files are flushed, and their marks moved, this long after the first unflushed entry or
  // after this many bytes of log, whichever is first. What is not flushed is replayed at start.
  int64_t flush_interval_ms = 5'000;
  int64_t flush_bytes = 256 << 20;

  bool message_index_enable = true;  // messageIndexEnable
  int32_t index_slots = 5'000'000;   // per index file
  int32_t index_entries = 20'000'000;
  int32_t queue_entries_per_file = 300'000;

  // A repeated send is known for so long, and among so many messages; 0 messages: never. About 72
  // bytes each in memory, in each member. Born times that are no further apart than the slack are
  // taken for one (sendDedupeMaxMessages, sendDedupeWindowMs, sendDedupeBornSlackMs).
  int64_t dedupe_messages = 1'000'000;
  int64_t dedupe_window_ms = 600'000;
  int64_t dedupe_born_slack_ms = 60'000;

  int32_t max_queues_per_topic = 1'024;
  int32_t max_messages_per_receive = 1'024;
  int32_t max_handles_per_ack = 1'024;
  // Leased and unacked messages of one group on one queue; above, nothing new is granted there.
  int64_t max_inflight_per_queue = 10'000;
  // The same for an orderly group, the messages that wait behind their message group included.
  int32_t max_in_order_per_queue = 1'024;
  // Consume queue entries that a filter, or the search for message groups that are not blocked,
  // looks at per queue before it asks the leader again, and
  // how often one Receive does so before it answers with what it has.
  int32_t filter_window = 512;
  int32_t filter_rounds = 16;
  // A message may be delayed this long at most: a year.
  int64_t max_delay_ms = int64_t{365} * 24 * 3600 * 1000;
  // A transaction's producers are asked this long after its half message was stored, unless the
  // message says otherwise (transactionTimeOut).
  int64_t transaction_timeout_ms = 6'000;
  // Delayed messages and half messages that wait; above, sends of such are refused as busy.
  int64_t max_pending_timers = 2'000'000;
  int64_t max_pending_transactions = 100'000;
  // Calls that wait until what they name is applied; above, they are refused as busy.
  int32_t max_pending_endings = 10'000;
  // Lite topics of all parents together; what all clients together have subscribed to of them.
  int64_t max_lite_topics = 20'000;
  int64_t max_lite_subscriptions = 100'000;
  // Receives under way; above, they are refused as busy.
  int32_t max_pending_receives = 10'000;
};

}  // namespace raftmq::store
