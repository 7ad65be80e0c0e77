#include "glog/logging.h"
#include "store/sql_filter.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::store;

void FuzzOne(std::string_view bytes) {
  // What is behind the last line is the message's properties.
  const size_t line = bytes.rfind('\n');
  const std::string_view expression = bytes.substr(0, line);
  const PropertiesView properties(line == std::string_view::npos ? "" : bytes.substr(line + 1));
  const auto filter = SqlFilter::Parse(expression);
  if (!filter.ok()) return;
  CHECK((*filter)->text() == expression);
  const bool matches = (*filter)->Matches(properties);
  // What is said once more, and of which both sides are asked, has the same answer.
  const std::string twice =
      "(" + std::string(expression) + ") AND (" + std::string(expression) + ")";
  if (const auto both = SqlFilter::Parse(twice); both.ok()) {
    CHECK_EQ((*both)->Matches(properties), matches);
  }
  const std::string negated = "NOT (" + std::string(expression) + ")";
  if (const auto opposite = SqlFilter::Parse(negated); opposite.ok()) {
    CHECK(!(matches && (*opposite)->Matches(properties)));
  }
}

std::vector<std::string> Seeds() {
  const std::string properties =
      "\na\x01"
      "10\x02TAGS\x01"
      "blue\x02s\x01it's\x02";
  return {
      "a > 5 AND TAGS IN ('blue', 'red')" + properties,
      "NOT (a NOT BETWEEN 1 AND 2.5e1) OR none IS NULL" + properties,
      "s = 'it''s' AND s NOT CONTAINS 'x' AND s STARTSWITH 'i' AND s ENDSWITH 's'" + properties,
      "flag = TRUE OR a <> -3 OR b IS NOT NULL" + properties,
      "TRUE",
  };
}

}  // namespace raftmq::fuzz
