#include "broker/delay_levels.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/strings.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kMaxDelayMs = int64_t{100} * 365 * 86'400'000;

int64_t UnitMillis(char unit) {
  switch (unit) {
    case 's':
      return 1'000;
    case 'm':
      return 60'000;
    case 'h':
      return 3'600'000;
    case 'd':
      return 86'400'000;
    default:
      return 0;
  }
}

}  // namespace

absl::StatusOr<DelayLevels> DelayLevels::Parse(std::string_view text) {
  DelayLevels levels;
  for (const absl::string_view part : absl::StrSplit(ToAbsl(text), ' ', absl::SkipEmpty())) {
    const int64_t unit = UnitMillis(part.back());
    int64_t number = 0;
    if (unit == 0 || !absl::SimpleAtoi(part.substr(0, part.size() - 1), &number) || number < 1 ||
        number > kMaxDelayMs / unit) {
      return absl::InvalidArgumentError(
          StrCat("delay \"", std::string_view(part.data(), part.size()),
                 "\": expected a number and s, m, h or d, as in 30s"));
    }
    levels.delays_ms_.push_back(number * unit);
  }
  if (levels.delays_ms_.empty()) {
    return absl::InvalidArgumentError("expected delays separated by spaces, as in \"1s 5s 10s\"");
  }
  return levels;
}

int32_t DelayLevels::Clamp(int32_t level) const { return std::min(level, count()); }

}  // namespace raftmq::broker
