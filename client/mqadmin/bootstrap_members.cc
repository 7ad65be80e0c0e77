#include "client/mqadmin/bootstrap_members.h"

#include <thread>

#include "base/thread.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {

namespace pb = ::raftmq::v1;

std::vector<BootstrapOutcome> BootstrapMembers(const std::vector<std::string>& addresses,
                                               const pb::BootstrapRequest& request,
                                               int64_t timeout_ms, const TlsClientOptions& tls) {
  std::vector<BootstrapOutcome> outcomes(addresses.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < addresses.size(); ++i) {
    threads.push_back(StartThread("bootstrap", [&, i] {
      Session session("", timeout_ms, tls);
      pb::BootstrapResponse response;
      outcomes[i].status =
          session.CallAt(addresses[i], &Session::Admin::Stub::Bootstrap, request, &response);
      outcomes[i].already = response.already_bootstrapped();
    }));
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

}  // namespace raftmq::mqadmin
