// ReadChoice: which member of a broker group a read is asked of first. All reads of a queue go to
// one member, whose caches know it then; queues take turns, and clients begin with different ones.
// Pulls of a queue go where the latest answer to one suggested. Members that failed are left out
// for a while.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "client/message.h"
#include "client/read_options.h"

namespace raftmq::client {

class ReadChoice {
 public:
  // How long a member is left out.
  static constexpr int64_t kAvoidMs = 15'000;

  // `first`: where this client begins. `clock` outlives it.
  ReadChoice(uint64_t first, const Clock* clock) : first_(first), clock_(clock) {}

  // `addresses`: the leader's first, one at least.
  std::string First(ReadFrom from, QueueId queue, const std::vector<std::string>& addresses) const;
  // The same of a pull. A suggestion goes before `from`.
  std::string FirstOfPull(ReadFrom from, const MessageQueue& queue,
                          const std::vector<std::string>& addresses) const;
  // By an answer to a pull; "": none.
  void Suggest(const MessageQueue& queue, const std::string& address);

  void Avoid(const std::string& address);

 private:
  // By topic, broker, queue.
  using Key = std::tuple<std::string, std::string, int32_t>;
  static Key KeyOf(const MessageQueue& q) { return {q.topic, q.broker_name, q.queue.value()}; }
  bool Avoided(const std::string& address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint64_t first_;
  const Clock* const clock_;
  mutable absl::Mutex mu_;
  std::map<Key, std::string> suggested_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> avoid_until_ms_ ABSL_GUARDED_BY(mu_);  // monotonic
};

}  // namespace raftmq::client
