#include "broker/metrics_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <string>

namespace raftmq::broker {
namespace {

std::unique_ptr<MetricsServer> Start(std::function<std::string()> text) {
  auto server = MetricsServer::Start("127.0.0.1", 0, std::move(text));
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

TEST(MetricsServer, EachScrapeGetsTheTextAsItIsThen) {
  int scrapes = 0;
  auto server = Start([&] { return "scrapes " + std::to_string(++scrapes) + "\n"; });
  for (const char* expected : {"scrapes 1\n", "scrapes 2\n"}) {
    auto answer = httplib::Client("127.0.0.1", server->port()).Get("/metrics");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, expected);
    EXPECT_THAT(answer->get_header_value("Content-Type"),
                ::testing::StartsWith("text/plain; version=0.0.4"));
  }
}

TEST(MetricsServer, OtherPathsAreNotFound) {
  auto server = Start([] { return std::string(); });
  auto answer = httplib::Client("127.0.0.1", server->port()).Get("/");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 404);
}

TEST(MetricsServer, APortThatIsTakenIsRefusedWithTheSettingsName) {
  auto server = Start([] { return std::string(); });
  const auto second =
      MetricsServer::Start("127.0.0.1", server->port(), [] { return std::string(); });
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              ::testing::HasSubstr("metricsPromExporterPort"));
}

TEST(MetricsServer, OneThatIsEndedAtOnceEnds) {
  for (int i = 0; i < 20; ++i) Start([] { return std::string(); });
}

}  // namespace
}  // namespace raftmq::broker
