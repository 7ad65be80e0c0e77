#include "store/settlement.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/strings.h"

namespace raftmq::store {
namespace {

constexpr std::string_view kTimer = "T";
constexpr std::string_view kHalf = "X";
constexpr std::string_view kLease = "L";
constexpr std::string_view kRedrive = "R";

absl::Status Malformed(std::string_view text) {
  return absl::DataLossError(
      StrCat("a settlement is malformed: \"", text.substr(0, 64), "\" of ", text.size(), " bytes"));
}

// Digits as EncodeSettlement writes them: SimpleAtoi takes signs, blanks and leading zeros as well.
template <typename Number>
bool Take(absl::string_view digits, Number* number) {
  if (digits.empty() || digits.find_first_not_of("0123456789") != absl::string_view::npos) {
    return false;
  }
  if (digits.size() > 1 && digits[0] == '0') return false;
  return absl::SimpleAtoi(digits, number);
}

}  // namespace

std::string EncodeSettlement(const Settlement& settlement) {
  if (const auto* timer = std::get_if<TimerRef>(&settlement)) {
    return StrCat(kTimer, ":", timer->due_ms, ":", timer->position);
  }
  if (const auto* half = std::get_if<HalfRef>(&settlement)) {
    return StrCat(kHalf, ":", half->position);
  }
  if (const auto* redrive = std::get_if<RedriveRef>(&settlement)) {
    return StrCat(kRedrive, ":", redrive->queue, ":", redrive->offset, ":", redrive->topic);
  }
  const LeaseRef& lease = std::get<LeaseRef>(settlement);
  return StrCat(kLease, ":", lease.lease_id, ":", lease.queue, ":", lease.offset, ":", lease.group,
                ":", lease.topic);
}

absl::StatusOr<Settlement> ParseSettlement(std::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(ToAbsl(text), ':');
  int64_t position = 0;
  if (parts.size() == 3 && parts[0] == ToAbsl(kTimer)) {
    TimerRef timer;
    if (!Take(parts[1], &timer.due_ms) || !Take(parts[2], &position)) return Malformed(text);
    timer.position = LogPosition(position);
    return timer;
  }
  if (parts.size() == 2 && parts[0] == ToAbsl(kHalf)) {
    if (!Take(parts[1], &position)) return Malformed(text);
    return HalfRef{LogPosition(position)};
  }
  if (parts.size() == 4 && parts[0] == ToAbsl(kRedrive)) {
    int32_t queue = 0;
    int64_t offset = 0;
    if (!Take(parts[1], &queue) || !Take(parts[2], &offset) || parts[3].empty()) {
      return Malformed(text);
    }
    return RedriveRef{std::string(parts[3]), QueueId(queue), QueueOffset(offset)};
  }
  if (parts.size() == 6 && parts[0] == ToAbsl(kLease)) {
    LeaseRef lease;
    int32_t queue = 0;
    int64_t offset = 0;
    if (!Take(parts[1], &lease.lease_id) || !Take(parts[2], &queue) || !Take(parts[3], &offset) ||
        parts[4].empty() || parts[5].empty()) {
      return Malformed(text);
    }
    lease.queue = QueueId(queue);
    lease.offset = QueueOffset(offset);
    lease.group = std::string(parts[4]);
    lease.topic = std::string(parts[5]);
    return lease;
  }
  return Malformed(text);
}

}  // namespace raftmq::store
