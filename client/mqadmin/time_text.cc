#include "client/mqadmin/time_text.h"

#include <cstdio>
#include <ctime>

#include "absl/strings/numbers.h"
#include "base/strings.h"

namespace raftmq::mqadmin {

absl::StatusOr<int64_t> ParseTime(std::string_view text, int64_t now_ms) {
  if (text == "now") return now_ms;
  int64_t ms = 0;
  if (absl::SimpleAtoi(ToAbsl(text), &ms) && ms >= 0) return ms;
  std::tm utc{};
  int millis = 0;
  int read = 0;
  const std::string copy(text);
  const int fields =
      std::sscanf(copy.c_str(), "%4d-%2d-%2d#%2d:%2d:%2d:%3d%n", &utc.tm_year, &utc.tm_mon,
                  &utc.tm_mday, &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &millis, &read);
  const std::tm asked = utc;
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  const int64_t seconds = fields == 7 ? ::timegm(&utc) : -1;
  // timegm turns the 31st of June into the 1st of July.
  if (seconds >= 0 && read == static_cast<int>(copy.size()) && millis >= 0 &&
      utc.tm_mday == asked.tm_mday && utc.tm_mon + 1 == asked.tm_mon &&
      utc.tm_hour == asked.tm_hour && utc.tm_min == asked.tm_min) {
    return seconds * 1'000 + millis;
  }
  return absl::InvalidArgumentError(
      StrCat("\"", text,
             "\" is no time: expected now, milliseconds since 1970, or "
             "yyyy-MM-dd#HH:mm:ss:SSS in UTC"));
}

}  // namespace raftmq::mqadmin
