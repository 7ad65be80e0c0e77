#include "dledger/replica_host.h"

#include <utility>

#include "absl/synchronization/notification.h"
#include "base/strings.h"
#include "dledger/identity.h"

namespace raftmq::dledger {
namespace {

// All interfaces, at the port that the group's configuration names for this member. "" if there is
// nobody to listen to.
absl::StatusOr<std::string> BindAddress(const ReplicaHostOptions& options,
                                        const Identity& identity) {
  if (!options.peer_bind_address.empty()) return options.peer_bind_address;
  const auto configuration = ReadBootstrapConfiguration(PosixFileSystem(), options.dir);
  if (!configuration.ok()) {
    return Annotate(configuration.status(),
                    "no peer_bind_address was given, and none is in the group's configuration");
  }
  if (configuration->members.size() == 1) return std::string();
  const ConfiguredMember* const self = configuration->Find(identity.member);
  if (self == nullptr) {
    return absl::FailedPreconditionError(StrCat(options.dir, ": member ", identity.member,
                                                " is not in its own configuration ",
                                                configuration->ToString()));
  }
  return StrCat("0.0.0.0:", self->peer_address.substr(self->peer_address.rfind(':') + 1));
}

}  // namespace

ReplicaHost::ReplicaHost() = default;

absl::StatusOr<std::unique_ptr<ReplicaHost>> ReplicaHost::Open(
    ReplicaHostOptions options, StateMachine* state_machine,
    absl::AnyInvocable<void(const absl::Status&)> on_fatal, std::shared_ptr<DirectoryLock> lock) {
  RAFTMQ_ASSIGN_OR_RETURN(const Identity identity, ReadIdentity(PosixFileSystem(), options.dir));
  RAFTMQ_ASSIGN_OR_RETURN(const std::string bind, BindAddress(options, identity));
  auto host = std::unique_ptr<ReplicaHost>(new ReplicaHost());
  ReplicaDeps deps;
  deps.fs = PosixFileSystem();
  deps.clock = SystemClock();
  deps.replica = &host->replica_loop_;
  deps.writer = &host->writer_loop_;
  deps.background = &host->background_loop_;
  deps.apply = &host->apply_loop_;
  deps.state_machine = state_machine;
  deps.random = Random::FromEntropy();
  deps.client_address = options.client_address;
  deps.on_fatal = std::move(on_fatal);
  deps.lock = std::move(lock);
  if (!bind.empty()) {
    TcpTransportOptions transport = options.transport;
    transport.cluster = identity.cluster;
    transport.group = identity.group;
    transport.self = identity.member;
    transport.incarnation = identity.incarnation;
    transport.boot_id = deps.random.Next() | 1;
    transport.bind_address = bind;
    transport.client_address = options.client_address;
    RAFTMQ_ASSIGN_OR_RETURN(
        auto tcp, TcpTransport::Create(&host->replica_loop_, deps.clock, deps.random.Fork(),
                                       std::move(transport)));
    host->transport_ = tcp.get();
    deps.transport = std::move(tcp);
  }
  RAFTMQ_ASSIGN_OR_RETURN(host->replica_,
                          OpenReplica(options.dir, options.replica, std::move(deps)));
  return host;
}

ReplicaHost::~ReplicaHost() { JoinThreads(); }

absl::Status ReplicaHost::Stop() {
  absl::Notification stopped;
  absl::Status result;
  replica_->Stop([&](absl::Status status) {
    result = std::move(status);
    stopped.Notify();
  });
  stopped.WaitForNotification();
  JoinThreads();
  return result;
}

// The replica last: whatever the threads still do may use it.
void ReplicaHost::JoinThreads() {
  if (std::exchange(joined_, true)) return;
  replica_loop_.Stop();
  apply_loop_.Stop();
  writer_loop_.Stop();
  background_loop_.Stop();
}

}  // namespace raftmq::dledger
