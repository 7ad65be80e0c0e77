// Rows of the state database: the first byte names the column, the next two the key's length.
#include <algorithm>

#include "base/bytes.h"
#include "base/endian.h"
#include "glog/logging.h"
#include "store/broker_state.h"
#include "store/commands.h"
#include "store/state_changes.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::store;

namespace {

// Collects the rows that a state writes.
class Rows final : public StateChanges {
 public:
  void Put(StateColumn column, std::string_view key, std::string_view value) override {
    std::string row(1, static_cast<char>(column));
    AppendBe<uint16_t>(&row, static_cast<uint16_t>(key.size()));
    row.append(key).append(value);
    rows_.push_back(std::move(row));
  }
  void Delete(StateColumn, std::string_view) override {}
  const std::vector<std::string>& rows() const { return rows_; }

 private:
  std::vector<std::string> rows_;
};

absl::Status Load(std::string_view row, BrokerState* state) {
  const size_t key = std::min<size_t>(LoadBe<uint16_t>(row.data() + 1), row.size() - 3);
  return state->LoadRow(static_cast<StateColumn>(static_cast<uint8_t>(row[0]) % kStateColumns),
                        row.substr(3, key), row.substr(3 + key));
}

}  // namespace

void FuzzOne(std::string_view bytes) {
  static const std::vector<std::string>* const seeds = new std::vector<std::string>(Seeds());
  if (bytes.size() < 3) return;
  // Alone it belongs to nothing; after the others, to a topic and a group.
  BrokerState empty;
  (void)Load(bytes, &empty);
  BrokerState state;
  for (const std::string& row : *seeds) CHECK_EQ(Load(row, &state), absl::OkStatus());
  if (Load(bytes, &state).ok()) (void)state.DumpText();
}

std::vector<std::string> Seeds() {
  Rows rows;
  BrokerState state;
  state.SetChanges(&rows);
  int64_t index = 0;
  const auto apply = [&](CommandBody body) {
    const Command command{1'700'000'000'000, 5'000, std::move(body)};
    CHECK_EQ(state.Apply(command, LogIndex(++index)), absl::OkStatus());
  };
  PutTopic topic;
  topic.config.name = "T";
  topic.config.read_queues = topic.config.write_queues = 2;
  apply(topic);
  PutGroup group;
  group.config.name = "G";
  apply(group);
  apply(InitPositions{"G", "T", {{QueueId(0), QueueOffset(0)}, {QueueId(1), QueueOffset(0)}}});
  for (int i = 0; i < 3; ++i) {
    CHECK_EQ(
        state.ApplyRecord("T", QueueId(0), QueueOffset(i), 1'700'000'000'000, LogIndex(++index)),
        absl::OkStatus());
  }
  Grant grant;
  grant.group = "G";
  grant.topic = "T";
  grant.lease_until_ms = 60'000;
  grant.client_id = "client";
  grant.items = {{QueueId(0), QueueOffset(0), 1, state.next_lease_id()}};
  apply(grant);
  state.AddTimer({1'700'000'060'000, LogPosition(4'096)}, 300);
  HalfMessage half;
  half.record_size = 400;
  state.PutHalf(LogPosition(8'192), half);
  state.FinishBatch(LogIndex(index));
  std::vector<std::string> seeds = rows.rows();  // columns in the order in which they are loaded
  std::stable_sort(seeds.begin(), seeds.end(),
                   [](const std::string& a, const std::string& b) { return a[0] < b[0]; });
  return seeds;
}

}  // namespace raftmq::fuzz
