// The mark file of a ConsumeQueueSet; docs/formats.md has its layout.

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "store/consume_queue_set.h"
#include "store/mark_codec.h"

namespace raftmq::store {
namespace {

constexpr std::string_view kMagic = "RMQCQSET";
constexpr uint32_t kVersion = 1;

absl::Status BadTable(std::string_view what) {
  return absl::DataLossError(StrCat("queues.mark: ", what));
}

}  // namespace

std::string ConsumeQueueSet::EncodeTable(const Table& table) const {
  MarkWriter out(kMagic, kVersion);
  out.Put<int32_t>(options_.entries_per_file);
  out.Put(table.mark.index.value());
  out.Put(table.mark.position.value());
  out.Put(table.min_position.value());
  out.Put(static_cast<uint32_t>(table.rows.size()));
  // A topic's name is written once, before its first queue.
  std::string_view topic;
  for (const Row& row : table.rows) {
    out.PutString(row.topic == topic ? std::string_view() : std::string_view(row.topic));
    topic = row.topic;
    out.Put(row.queue_id);
    out.Put(row.durable.min.value());
    out.Put(row.durable.end.value());
    out.Put(row.durable.last_position.value());
  }
  out.Put(static_cast<uint32_t>(table.deleted.size()));
  for (const auto& [name, deleted_at] : table.deleted) {
    out.PutString(name);
    out.Put(deleted_at.value());
  }
  return std::move(out).Finish();
}

absl::StatusOr<ConsumeQueueSet::Table> ConsumeQueueSet::DecodeTable(std::string_view data) const {
  RAFTMQ_ASSIGN_OR_RETURN(MarkReader in, MarkReader::Open(data, kMagic, kVersion));
  Table table;
  const int32_t entries_per_file = in.Get<int32_t>();
  if (entries_per_file != options_.entries_per_file) {
    return BadTable(StrCat("files have ", entries_per_file, " entries, ", options_.entries_per_file,
                           " are configured"));
  }
  table.mark.index = LogIndex(in.Get<int64_t>());
  table.mark.position = LogPosition(in.Get<int64_t>());
  table.min_position = LogPosition(in.Get<int64_t>());
  for (uint32_t rows = in.Get<uint32_t>(); rows > 0 && in.ok(); --rows) {
    Row row;
    row.topic = in.GetString();
    if (row.topic.empty() && !table.rows.empty()) row.topic = table.rows.back().topic;
    row.queue_id = in.Get<int32_t>();
    row.durable.min = QueueOffset(in.Get<int64_t>());
    row.durable.end = QueueOffset(in.Get<int64_t>());
    row.durable.last_position = LogPosition(in.Get<int64_t>());
    if (row.topic.empty() || row.durable.min < QueueOffset(0) ||
        row.durable.min > row.durable.end) {
      return BadTable(StrCat("topic \"", row.topic, "\" queue ", row.queue_id, " has offsets ",
                             row.durable.min, " to ", row.durable.end));
    }
    table.rows.push_back(std::move(row));
  }
  for (uint32_t deleted = in.Get<uint32_t>(); deleted > 0 && in.ok(); --deleted) {
    std::string topic = in.GetString();
    table.deleted[std::move(topic)] = LogPosition(in.Get<int64_t>());
  }
  if (!in.AtEnd()) return BadTable("its length doesn't match its counts");
  return table;
}

absl::Status ConsumeQueueSet::WriteTable(const Table& table) {
  return WriteFileAtomically(fs_, MarkPath(), EncodeTable(table));
}

}  // namespace raftmq::store
