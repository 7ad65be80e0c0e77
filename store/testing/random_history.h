// RandomHistory: entries as a leader could have logged them, drawn from a seed.
//
// Plays the leader: each draw looks at a state that has everything drawn before (as Decide looks at
// the leader's view), and is applied to it at once. Beside it runs a reference of positions, naive
// and written without a look at Position: sets of offsets, searched from the front. A contradiction
// between the two is the test's failure (`faults`).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/ids.h"
#include "base/random.h"
#include "store/broker_state.h"

namespace raftmq::store {

// One entry: commands (encoded), or records.
struct HistoryEntry {
  struct Record {
    std::string topic;
    QueueId queue;
    QueueOffset offset;
    int64_t store_ms = 0;
    Audience audience = Audience::kAllGroups;
  };
  LogIndex index;
  std::vector<std::string> commands;
  std::vector<Record> records;
};

// What every member does with an entry.
absl::Status ApplyEntry(const HistoryEntry& entry, BrokerState* state);

class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed) : random_(seed) {}

  // Draws the next entry. Refused draws (nothing to ack, say) are drawn again.
  const HistoryEntry& Next();

  const std::vector<HistoryEntry>& entries() const { return entries_; }
  BrokerState& leading() { return leading_; }
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  struct ReferencePosition {
    int64_t start = 0;
    std::set<int64_t> acked;            // from `start` on
    std::map<int64_t, int64_t> leased;  // offset -> end
    int64_t next = 0;
  };
  using PositionName = std::tuple<std::string, std::string, int32_t>;

  bool Draw(HistoryEntry* entry);
  bool DrawRecords(HistoryEntry* entry);
  bool DrawTopic(HistoryEntry* entry);
  bool DrawGroup(HistoryEntry* entry);
  bool DrawGrant(HistoryEntry* entry);
  bool DrawAck(HistoryEntry* entry);
  bool DrawChange(HistoryEntry* entry);
  bool DrawUpdate(HistoryEntry* entry);
  bool DrawMove(HistoryEntry* entry);
  bool DrawRedrive(HistoryEntry* entry);
  bool DrawLite(HistoryEntry* entry);

  void Log(HistoryEntry* entry, CommandBody body);
  void CheckGrant(const Grant& grant);
  // The reference and the state agree on this position.
  void CheckPosition(const PositionName& name);
  void Fault(std::string text);

  std::string SomeTopic();
  std::string SomeGroup();
  // A message in flight, of any group; false if there is none.
  bool SomeLeased(PositionName* name, int64_t* offset);

  Random random_;
  BrokerState leading_;
  std::vector<HistoryEntry> entries_;
  std::set<std::tuple<std::string, int32_t, int64_t>> redriven_;  // topic, queue, offset
  std::map<PositionName, ReferencePosition> reference_;
  std::vector<std::string> faults_;
  int64_t index_ = 0;
  int64_t wall_ms_ = 1'700'000'000'000;
  int64_t lease_ms_ = 0;
};

}  // namespace raftmq::store
