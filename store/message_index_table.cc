// The mark file of a MessageIndex; docs/formats.md has its layout.

#include "base/strings.h"
#include "store/mark_codec.h"
#include "store/message_index.h"

namespace raftmq::store {
namespace {

constexpr std::string_view kMagic = "RMQINDEX";
constexpr uint32_t kVersion = 1;

absl::Status BadTable(std::string_view what) {
  return absl::DataLossError(StrCat("index.mark: ", what));
}

}  // namespace

std::string MessageIndex::EncodeTable(const Table& table) const {
  MarkWriter out(kMagic, kVersion);
  out.Put(shape_.slots);
  out.Put(shape_.entries);
  out.Put(table.mark.index.value());
  out.Put(table.mark.position.value());
  out.Put(table.min_position.value());
  out.Put(static_cast<uint32_t>(table.rows.size()));
  for (const Row& row : table.rows) {
    out.Put(row.name_ms);
    out.Put(row.state.begin_timestamp_ms);
    out.Put(row.state.end_timestamp_ms);
    out.Put(row.state.begin_position.value());
    out.Put(row.state.end_position.value());
    out.Put(row.state.used_slots);
    out.Put(row.state.count);
    out.Put(row.state.entries_crc);
    out.Put(static_cast<uint8_t>(row.state.slots_on_disk ? 1 : 0));
    out.Put(row.state.slots_crc);
  }
  return std::move(out).Finish();
}

absl::StatusOr<MessageIndex::Table> MessageIndex::DecodeTable(std::string_view data) const {
  RAFTMQ_ASSIGN_OR_RETURN(MarkReader in, MarkReader::Open(data, kMagic, kVersion));
  const int32_t slots = in.Get<int32_t>();
  const int32_t entries = in.Get<int32_t>();
  if (slots != shape_.slots || entries != shape_.entries) {
    return BadTable(StrCat("files have ", slots, " slots and ", entries, " entries, ", shape_.slots,
                           " and ", shape_.entries, " are configured"));
  }
  Table table;
  table.mark.index = LogIndex(in.Get<int64_t>());
  table.mark.position = LogPosition(in.Get<int64_t>());
  table.min_position = LogPosition(in.Get<int64_t>());
  for (uint32_t rows = in.Get<uint32_t>(); rows > 0 && in.ok(); --rows) {
    Row row;
    row.name_ms = in.Get<int64_t>();
    row.state.begin_timestamp_ms = in.Get<int64_t>();
    row.state.end_timestamp_ms = in.Get<int64_t>();
    row.state.begin_position = LogPosition(in.Get<int64_t>());
    row.state.end_position = LogPosition(in.Get<int64_t>());
    row.state.used_slots = in.Get<int32_t>();
    row.state.count = in.Get<int32_t>();
    row.state.entries_crc = in.Get<uint32_t>();
    row.state.slots_on_disk = in.Get<uint8_t>() != 0;
    row.state.slots_crc = in.Get<uint32_t>();
    table.rows.push_back(row);
  }
  if (!in.AtEnd()) return BadTable("its length doesn't match its counts");
  return table;
}

}  // namespace raftmq::store
