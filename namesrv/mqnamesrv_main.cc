// mqnamesrv: the NameServer process.

#include <gflags/gflags.h>
#include <glog/logging.h>
#include <signal.h>

#include <iostream>

#include "namesrv/namesrv_service.h"

DEFINE_string(listenAddress, "0.0.0.0", "address to listen on");
DEFINE_int32(listenPort, 9876, "port to listen on");
DEFINE_int32(scanNotActiveBrokerInterval, 5000, "milliseconds between looks for silent brokers");
DEFINE_int32(brokerLease, 120000, "milliseconds after which a silent broker is left out");

namespace {

constexpr char kUsage[] =
    "Keeps routes: which broker group serves which topic, who leads it. In memory only;\n"
    "run two or more, brokers register with all of them.\n\n"
    "example:\n"
    "  mqnamesrv --listenPort 9876\n"
    "  mqbroker -c broker.conf --namesrvAddr host1:9876;host2:9876";

}  // namespace

int main(int argc, char** argv) {
  gflags::SetUsageMessage(kUsage);
  gflags::SetVersionString("raftmq");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  if (argc > 1) {
    std::cerr << "error: unexpected argument '" << argv[1] << "'; see --help\n";
    return 2;
  }

  // Blocked before any thread starts, so that only sigwait below sees them.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  raftmq::namesrv::NameServerOptions options;
  options.listen_address = FLAGS_listenAddress + ":" + std::to_string(FLAGS_listenPort);
  options.scan_interval_ms = FLAGS_scanNotActiveBrokerInterval;
  options.table.lease_ms = FLAGS_brokerLease;
  auto server = raftmq::namesrv::NameServer::Start(options, raftmq::SystemClock());
  if (!server.ok()) {
    std::cerr << "error: " << server.status().message() << "\n";
    return 1;
  }
  LOG(INFO) << "NameServer listens on port " << (*server)->port();
  int signal = 0;
  sigwait(&stop, &signal);
  LOG(INFO) << "stopping on signal " << signal;
  (*server)->Shutdown();
  return 0;
}
