#include "client/mqadmin/report.h"

#include <sstream>

#include "gtest/gtest.h"

namespace raftmq::mqadmin {
namespace {

Report Sample() {
  Report report({"Topic", "Max Offset", "Ready"});
  report.AddRow({std::string("orders"), int64_t{12345}, true});
  report.AddRow({std::string("größe"), int64_t{7}, false});
  report.AddRow({std::string(), int64_t{0}, false});
  return report;
}

TEST(Report, TableLinesUpByDisplayWidth) {
  std::ostringstream out;
  Sample().PrintTable(out);
  EXPECT_EQ(out.str(),
            "Topic   Max Offset  Ready\n"
            "orders       12345  yes\n"
            "größe            7  no\n"
            "-                0  no\n");
}

TEST(Report, JsonHasTypedValuesUnderSnakeCaseKeys) {
  Report report({"Topic", "Max Offset"});
  report.AddRow({std::string("a\xff"), int64_t{3}});
  std::ostringstream out;
  report.PrintJson(out);
  EXPECT_EQ(out.str(),
            "[\n  {\n    \"topic\": \"a\xEF\xBF\xBD\",\n    \"max_offset\": 3\n  }\n]\n");
}

TEST(Report, TimesAreUtcWithMilliseconds) {
  EXPECT_EQ(FormatTime(1'609'459'200'007), "2021-01-01 00:00:00.007");
  EXPECT_EQ(FormatTime(0), "-");
}

}  // namespace
}  // namespace raftmq::mqadmin
