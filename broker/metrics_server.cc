#include "broker/metrics_server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/strings.h"
#include "base/thread.h"

namespace raftmq::broker {
namespace {

constexpr int kIoSeconds = 5;
constexpr size_t kMaxRequestBytes = 4'096;
constexpr auto kLookAgain = absl::Milliseconds(1);

// Runs what a connection needs where it was accepted: nothing queues up in this process.
class InlineQueue final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> task) override { task(); }
  void shutdown() override {}
};

}  // namespace

struct MetricsServer::Parts {
  httplib::Server http;
  int port = 0;
  absl::Notification ended;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& host, int port, std::function<std::string()> text) {
  auto parts = std::make_unique<Parts>();
  httplib::Server& http = parts->http;
  http.new_task_queue = [] { return new InlineQueue; };
  // Not the library's SO_REUSEPORT, with which another process could take half of the scrapes.
  http.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  http.set_keep_alive_max_count(1);
  http.set_read_timeout(kIoSeconds);
  http.set_write_timeout(kIoSeconds);
  http.set_payload_max_length(kMaxRequestBytes);
  http.Get("/metrics",
           [text = std::move(text)](const httplib::Request&, httplib::Response& answer) {
             answer.set_content(text(), "text/plain; version=0.0.4; charset=utf-8");
           });
  parts->port =
      port == 0 ? http.bind_to_any_port(host) : (http.bind_to_port(host, port) ? port : -1);
  if (parts->port < 0) {
    return absl::UnavailableError(StrCat("cannot listen on ", host, ":", port,
                                         " for scrapes of metrics (metricsPromExporterHost, "
                                         "metricsPromExporterPort): is another process there?"));
  }
  parts->thread = StartThread("metrics", [p = parts.get()] {
    p->http.listen_after_bind();
    p->ended.Notify();
  });
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(parts)));
}

MetricsServer::MetricsServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

MetricsServer::~MetricsServer() {
  // stop() does nothing before the thread listens, and must not come twice.
  while (!parts_->http.is_running() && !parts_->ended.WaitForNotificationWithTimeout(kLookAgain)) {
  }
  if (!parts_->ended.HasBeenNotified()) parts_->http.stop();
  parts_->thread.join();
}

int MetricsServer::port() const { return parts_->port; }

}  // namespace raftmq::broker
