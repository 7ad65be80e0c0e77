// mqskipbench: what a message costs that a consumer's filter leaves out, at a real broker of one
// member, over a real connection: by tag, and by an SQL92 expression over properties.
//
//   bazel run -c opt //tests/bench:mqskipbench -- [messages] [bytes of a body]
//
// One queue is filled with messages that nobody wants, and one at its end that is wanted; a new
// group's receive is over when it gets there.

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"
#include "glog/logging.h"

namespace raftmq::broker {
namespace {

constexpr char kTopic[] = "orders";
constexpr int kBatch = 32;
constexpr int kSenders = 4;
constexpr int64_t kPollMs = 15'000;

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

v2::Message Make(const std::string& body, const std::string& id, bool wanted) {
  v2::Message message = BrokerClient::MakeMessage(kTopic, body, id);
  message.mutable_system_properties()->set_tag(wanted ? "wanted" : "other");
  auto& properties = *message.mutable_user_properties();
  properties["region"] = wanted ? "west" : "east";
  properties["amount"] = wanted ? "250" : "17";
  properties["customer"] = "c-4711";
  return message;
}

void Send(const BrokerClient& client, const std::vector<v2::Message>& messages) {
  grpc::ClientContext context;
  client.Fill(&context, 60'000);
  v2::SendMessageRequest request;
  for (const v2::Message& message : messages) *request.add_messages() = message;
  v2::SendMessageResponse response;
  const grpc::Status status = client.messaging()->SendMessage(&context, request, &response);
  CHECK(status.ok()) << status.error_message();
  CHECK(response.status().code() == v2::OK) << response.status().message();
}

void Fill(int port, int64_t count, const std::string& body) {
  std::vector<std::thread> senders;
  for (int s = 0; s < kSenders; ++s) {
    senders.push_back(StartThread("sender", [=, &body] {
      const BrokerClient client(port, "JAVA");
      for (int64_t i = s; i < count / kBatch; i += kSenders) {
        std::vector<v2::Message> messages;
        for (int j = 0; j < kBatch; ++j) messages.push_back(Make(body, StrCat(i, "-", j), false));
        Send(client, messages);
      }
    }));
  }
  for (std::thread& sender : senders) sender.join();
}

// Until the one that is wanted comes.
void Measure(int port, const std::string& what, const std::string& group, v2::FilterType type,
             const std::string& expression, int64_t skipped) {
  const BrokerClient client(port, "JAVA");
  v2::ReceiveMessageRequest request =
      BrokerClient::MakeReceive(kTopic, group, /*poll_seconds=*/kPollMs / 1'000);
  request.mutable_filter_expression()->set_type(type);
  request.mutable_filter_expression()->set_expression(expression);
  const int64_t began_ns = SystemClock()->MonotonicNanos();
  const double cpu_before = CpuSeconds();
  Received received;
  do {
    received = client.Receive(request, 2 * kPollMs);
    CHECK(received.grpc.ok()) << received.grpc.error_message();
  } while (received.messages.empty());
  const double us = static_cast<double>(SystemClock()->MonotonicNanos() - began_ns) / 1e3;
  const double cpu_us = (CpuSeconds() - cpu_before) * 1e6;
  const auto each = [skipped](double sum) { return sum / static_cast<double>(skipped); };
  std::cout << what << ": " << us / 1e6 << " s, " << each(us) << " us and " << each(cpu_us)
            << " us of CPU for each message that was left out\n";
}

void Run(int64_t count, int64_t size) {
  BrokerGroup group({.folder = StrCat("/tmp/mqskipbench-", getpid()),
                     .members = 1,
                     .namesrvAddr = "",
                     .configure = {}});
  group.StartAll();
  const int port = group.port(0);
  const BrokerClient client(port, "JAVA");
  CHECK(client.UpdateTopic(kTopic, 1).ok());
  const int64_t skipped = count / kBatch * kBatch;
  Fill(port, count, std::string(size, 'x'));
  Send(client, {Make("wanted", "last", true)});
  std::cout << skipped << " messages of " << size << " bytes\n";
  const std::string sql = "region = 'west' AND amount > 100";
  for (int turn = 0; turn < 3; ++turn) {
    Measure(port, "by tag       ", StrCat("tag", turn), v2::TAG, "wanted", skipped);
    Measure(port, "by expression", StrCat("sql", turn), v2::SQL, sql, skipped);
  }
}

}  // namespace
}  // namespace raftmq::broker

int main(int argc, char** argv) {
  FLAGS_minloglevel = google::GLOG_WARNING;
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  raftmq::broker::Run(argc > 1 ? std::atoll(argv[1]) : 200'000,
                      argc > 2 ? std::atoll(argv[2]) : 1'024);
}
