#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "broker/handlers/admin_handlers.h"
#include "store/message_properties.h"
#include "store/message_record.h"

namespace raftmq::broker {
namespace {

constexpr int32_t kMaxMessages = 1'024;
constexpr int64_t kMaxBytes = 16 << 20;

// RocketMQ's offset message id: the store host's address and port, and the position, in upper-case
// hexadecimal.
std::string OffsetMessageId(const store::HostAddress& host, LogPosition position) {
  std::string hex;
  char buffer[20];
  for (size_t i = 0; i < (host.v6 ? 16 : 4); ++i) {
    std::snprintf(buffer, sizeof(buffer), "%02X", host.ip[i]);
    hex += buffer;
  }
  std::snprintf(buffer, sizeof(buffer), "%08X", static_cast<uint32_t>(host.port));
  hex += buffer;
  std::snprintf(buffer, sizeof(buffer), "%016llX",
                static_cast<unsigned long long>(position.value()));
  return hex + buffer;
}

absl::StatusOr<LogPosition> PositionOf(std::string_view offset_message_id) {
  const size_t size = offset_message_id.size();
  const bool hex = std::all_of(offset_message_id.begin(), offset_message_id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
  });
  if ((size != 32 && size != 56) || !hex) {
    return absl::InvalidArgumentError(
        StrCat("message id \"", offset_message_id,
               "\" is not an offset message id: expected 32 or 56 hexadecimal digits"));
  }
  const std::string digits(offset_message_id.substr(size - 16));
  return LogPosition(static_cast<int64_t>(std::stoull(digits, nullptr, 16)));
}

absl::Status FillMessage(std::string_view bytes, adm::StoredMessage* message) {
  RAFTMQ_ASSIGN_OR_RETURN(const store::RecordView record, store::ParseRecord(bytes));
  message->set_topic(std::string(record.topic));
  message->set_queue(record.queue_id.value());
  message->set_offset(record.queue_offset.value());
  message->set_position(record.physical_offset.value());
  message->set_size(static_cast<int32_t>(bytes.size()));
  message->set_message_id(std::string(record.unique_key()));
  message->set_offset_message_id(OffsetMessageId(record.store_host, record.physical_offset));
  message->set_tag(std::string(record.tags()));
  for (std::string_view rest = record.keys(); !rest.empty();) {
    const size_t space = rest.find(store::kKeySeparator);
    if (space != 0) message->add_keys(std::string(rest.substr(0, space)));
    if (space == std::string_view::npos) break;
    rest.remove_prefix(space + 1);
  }
  record.properties.ForEach([&](std::string_view name, std::string_view value) {
    (*message->mutable_properties())[std::string(name)] = std::string(value);
  });
  message->set_body(record.body.data(), record.body.size());
  message->set_body_crc(static_cast<int32_t>(record.body_crc));
  message->set_sys_flag(record.sys_flag);
  message->set_flag(record.flag);
  message->set_born_ms(record.born_timestamp_ms);
  message->set_store_ms(record.store_timestamp_ms);
  message->set_born_host(record.born_host.ToString());
  message->set_store_host(record.store_host.ToString());
  message->set_reconsume_times(record.reconsume_times);
  return absl::OkStatus();
}

template <typename Call>
void FinishWith(Call* call, const absl::StatusOr<std::vector<std::string>>& records) {
  if (!records.ok()) return call->Fail(records.status());
  for (const std::string& record : *records) {
    const absl::Status filled = FillMessage(record, call->response()->add_messages());
    if (!filled.ok()) return call->Fail(filled);
  }
  call->Finish();
}

}  // namespace

void AdminHandlers::QueryMessagesByKey(QueryMessagesByKeyCall* call) {
  Read(call, [this, call] {
    const adm::QueryMessagesByKeyRequest& request = call->request();
    const int64_t end_ms = request.end_ms() == 0 ? deps_.clock->WallMillis() : request.end_ms();
    const int32_t max = request.max_messages() == 0 ? 32 : request.max_messages();
    FinishWith(call, deps_.store->QueryByKey(request.topic(), request.key(), request.begin_ms(),
                                             end_ms, std::clamp(max, 1, kMaxMessages)));
  });
}

void AdminHandlers::MessageByOffset(MessageByOffsetCall* call) {
  Read(call, [this, call] {
    const adm::MessageByOffsetRequest& request = call->request();
    FinishWith(call, deps_.store->Pull(
                         request.topic(), QueueId(request.queue()), QueueOffset(request.offset()),
                         std::clamp(request.max_messages(), 1, kMaxMessages), kMaxBytes));
  });
}

void AdminHandlers::MessageByPosition(MessageByPositionCall* call) {
  Read(call, [this, call] {
    LogPosition position(call->request().position());
    if (!call->request().offset_message_id().empty()) {
      const absl::StatusOr<LogPosition> named = PositionOf(call->request().offset_message_id());
      if (!named.ok()) return call->Fail(named.status());
      position = *named;
    }
    const absl::StatusOr<std::string> record = deps_.store->RecordAt(position);
    if (!record.ok()) return call->Fail(record.status());
    FinishWith(call, absl::StatusOr<std::vector<std::string>>(std::vector<std::string>{*record}));
  });
}

}  // namespace raftmq::broker
