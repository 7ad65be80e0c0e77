#include "broker/broker.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/channel_credentials.h"
#include "base/event_loop.h"
#include "base/random.h"
#include "base/strings.h"
#include "broker/arrival_fork.h"
#include "broker/bootstrap_wait.h"
#include "broker/client_registry.h"
#include "broker/dead_letter_scheduler.h"
#include "broker/forwarding.h"
#include "broker/group_members.h"
#include "broker/group_view.h"
#include "broker/grpc_server.h"
#include "broker/handlers/admin_handlers.h"
#include "broker/handlers/consumers_handlers.h"
#include "broker/handlers/local_leader_handlers.h"
#include "broker/handlers/messaging_handlers.h"
#include "broker/host_names.h"
#include "broker/internal_call.h"
#include "broker/leader_read_index.h"
#include "broker/lite_notices.h"
#include "broker/lite_scheduler.h"
#include "broker/member_addresses.h"
#include "broker/member_directory.h"
#include "broker/metrics.h"
#include "broker/metrics_server.h"
#include "broker/orphan_recovery.h"
#include "broker/peer_client.h"
#include "broker/proto_time.h"
#include "broker/pull_waiters.h"
#include "broker/read_barrier.h"
#include "broker/receive_waiters.h"
#include "broker/registration/namesrv_registration.h"
#include "broker/registration/namesrv_routes.h"
#include "broker/renewals.h"
#include "broker/reply_streams.h"
#include "broker/retention_scheduler.h"
#include "broker/subscription_mismatch_log.h"
#include "broker/telemetry_end.h"
#include "broker/timer_scheduler.h"
#include "broker/transaction_checker.h"
#include "dledger/identity.h"
#include "dledger/open.h"
#include "dledger/replica_host.h"
#include "glog/logging.h"
#include "store/log_message_store.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kWatchMs = 200;  // between looks at the leader and the clients
constexpr int64_t kExpireClientsMs = 30'000;
constexpr int64_t kStopGraceMs = 3'000;
constexpr int64_t kRenewMs = 3'000;  // for one renewal to succeed
constexpr int64_t kReportMs = 600;   // for a report to be answered
constexpr int64_t kAskQuietMs = 5'000;
constexpr size_t kMaxQuiet = 10'000;

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0' ? name : "127.0.0.1";
}

adm::MemberIdentity ToProto(const dledger::Identity& identity, const BrokerConfig& config,
                            const std::string& client_address) {
  adm::MemberIdentity proto;
  proto.set_cluster(identity.cluster);
  proto.set_broker_name(config.brokerName);
  proto.set_group(identity.group);
  proto.set_member_id(identity.member.value());
  proto.set_member_name(config.dLegerSelfId);
  proto.set_incarnation(identity.incarnation.value());
  proto.set_format_version(identity.format_version);
  proto.set_segment_size(identity.segment_size);
  proto.set_peer_address(config.self() != nullptr ? config.self()->address
                                                  : dledger::StandaloneDirectory().peer_address);
  proto.set_client_address(client_address);
  return proto;
}

absl::StatusOr<GrpcServerOptions> ServerOptions(const BrokerConfig& config, FileSystem* fs,
                                                const std::string& advertised_host) {
  GrpcServerOptions options;
  options.listen_host = config.listenAddress;
  options.port = static_cast<int>(config.listenPort);
  options.threads = static_cast<int>(config.grpcThreads);
  options.max_in_flight = static_cast<int>(config.maxCallsInFlight);
  // A batch of messages with their properties, and bodies compressed by the client.
  options.max_message_bytes =
      static_cast<int>(std::max<int64_t>(32 << 20, config.maxMessageSize * 2));
  options.reflection = config.enableReflection;
  options.tls = config.tlsServerMode == "enforcing"  ? TlsMode::kEnforcing
                : config.tlsServerMode == "disabled" ? TlsMode::kDisabled
                                                     : TlsMode::kPermissive;
  if (!config.tlsServerKeyPath.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(options.tls_key_pem, ReadFile(fs, config.tlsServerKeyPath));
    RAFTMQ_ASSIGN_OR_RETURN(options.tls_certificate_pem, ReadFile(fs, config.tlsServerCertPath));
  }
  options.certificate_host = advertised_host;
  options.client_auth = config.tlsServerNeedClientAuth == "require"    ? ClientAuth::kRequire
                        : config.tlsServerNeedClientAuth == "optional" ? ClientAuth::kOptional
                                                                       : ClientAuth::kNone;
  if (!config.tlsServerTrustCertPath.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(options.client_trust_pem, ReadFile(fs, config.tlsServerTrustCertPath));
  }
  return options;
}

// How other members of the group, which are configured alike, are reached.
absl::StatusOr<TlsClientOptions> PeerTls(const BrokerConfig& config, FileSystem* fs) {
  if (config.tlsServerMode != "enforcing") return TlsClientOptions();
  const bool own = !config.tlsClientKeyPath.empty();
  return ReadTlsClientOptions(fs, config.tlsClientTrustCertPath,
                              own ? config.tlsClientCertPath : config.tlsServerCertPath,
                              own ? config.tlsClientKeyPath : config.tlsServerKeyPath);
}

MessagingOptions ToMessagingOptions(const BrokerConfig& config) {
  MessagingOptions options;
  options.limits.max_body_bytes = config.maxMessageSize;
  options.limits.max_poll_ms = options.limits.default_poll_ms = config.longPollingTimeoutMillis;
  options.limits.default_invisible_ms = config.invisibleTimeMillisWhenAutoRenew;
  options.settings.max_body_bytes = static_cast<int32_t>(config.maxMessageSize);
  options.settings.long_polling_ms = config.longPollingTimeoutMillis;
  options.delay_levels = *DelayLevels::Parse(config.messageDelayLevel);  // Set checked it
  options.auto_create_topic = config.autoCreateTopicEnable;
  options.default_topic_queues = static_cast<int32_t>(config.defaultTopicQueueNums);
  options.ack_level = config.flushDiskType == "ASYNC_FLUSH" ? dledger::AckLevel::kMajorityMemory
                                                            : dledger::AckLevel::kMajorityDisk;
  options.bytes_behind_to_follower = config.bytes_behind_to_follower();
  return options;
}

}  // namespace

// Declared in the order in which they are made; destroyed the other way round.
struct Broker::Parts {
  BrokerConfig config;
  BrokerDeps deps;
  std::string advertised_host;
  std::string client_address;
  dledger::Identity identity;
  TlsClientOptions peer_tls;
  // Taken before anything in the directory is changed, derived files included; let go after the
  // last of them was.
  std::shared_ptr<DirectoryLock> directory_lock;

  EventLoop accept_loop{"accept"};
  EventLoop timer_loop{"broker-timer"};
  EventLoop resolve_loop{"resolve"};  // blocking look-ups of host names
  EventLoop read_loop{"store-read"};
  EventLoop flush_loop{"store-flush"};
  EventLoop admin_loop{"admin-read"};  // dumps and queries, which take long, away from deliveries

  std::unique_ptr<GrpcServer> server;
  // Outlive the store, which ends what they asked of it when it goes.
  std::unique_ptr<TimerScheduler> timers;
  std::unique_ptr<TransactionChecker> transactions;
  std::unique_ptr<DeadLetterScheduler> dead_letters;
  std::unique_ptr<RetentionScheduler> retention;
  std::unique_ptr<LeaderReadIndex> read_index;
  std::unique_ptr<ReadBarrier> barrier;
  std::unique_ptr<LiteScheduler> lite_topics;
  std::unique_ptr<store::LogMessageStore> store;
  std::unique_ptr<dledger::ReplicaHost> host;
  dledger::Ledger* replica = nullptr;  // the host's
  std::unique_ptr<GrpcPeerClient> peers;
  std::unique_ptr<ClientRegistry> clients;
  std::unique_ptr<GroupView> group;
  std::unique_ptr<GroupMembers> group_members;
  SubscriptionMismatchLog mismatch_log;
  std::unique_ptr<ReceiveWaiters> waiters;
  std::unique_ptr<PullWaiters> pull_waiters;
  std::unique_ptr<HostNames> hosts;
  std::unique_ptr<MemberAddresses> addresses;
  std::unique_ptr<NamesrvRoutes> other_groups;
  std::unique_ptr<Renewals> renewals;
  std::unique_ptr<OrphanRecovery> recovery;
  std::unique_ptr<LiteNotices> lite_notices;
  std::unique_ptr<ArrivalFork> arrivals;
  LocalLeaderHandlers local;
  std::unique_ptr<LeaderRouter> router;
  std::unique_ptr<MessagingHandlers> messaging;
  std::unique_ptr<AdminHandlers> admin;
  std::unique_ptr<ConsumersHandlers> consumers;
  std::unique_ptr<ReplyStreams> replies;
  std::unique_ptr<NamesrvRegistration> registration;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<MetricsServer> metrics_server;  // null: metricsExporterType=DISABLE
  // Main lets go of the registration while the timer loop may be using it.
  absl::Mutex registration_mutex;

  std::atomic<bool> stopping{false};
  bool led = false;                             // timer loop: what the last status said
  std::string leader_address;                   // timer loop
  int64_t clients_expired_ms = 0;               // timer loop
  int64_t quiet_asked_ms = 0;                   // timer loop
  int64_t hand_over_ms = 0;                     // timer loop: leads since, or tried last
  LogIndex topics_seen_at;                      // timer loop
  std::vector<store::TopicConfig> topics_told;  // timer loop
  std::vector<MemberId> serving_told;           // timer loop

  absl::Status BindServer();
  absl::Status AwaitBootstrap();
  absl::Status OpenStore();
  absl::Status OpenReplica();
  void MakeSchedulers();
  void MakeServices();
  void Serve();
  absl::Status ServeMetrics();
  void Watch();
  void HandOverToPreferred(const dledger::LedgerStatus& status);
  void ScheduleReport();
  void Report();
  void TellNameServersOfChanges(const dledger::LedgerStatus& status);
  void NotifyNameServers();
  void OnStatus();
  void ExtendLease(const Renewals::Lease& lease, int64_t extend_ms, Renewals::Done done);
};

absl::Status Broker::Parts::BindServer() {
  RAFTMQ_ASSIGN_OR_RETURN(GrpcServerOptions options,
                          ServerOptions(config, deps.fs, advertised_host));
  RAFTMQ_ASSIGN_OR_RETURN(server, GrpcServer::Bind(std::move(options), deps.clock));
  config.listenPort = server->port();
  client_address = StrCat(advertised_host, ":", server->port());
  return absl::OkStatus();
}

absl::Status Broker::Parts::AwaitBootstrap() {
  const auto configuration = dledger::ReadBootstrapConfiguration(deps.fs, config.storePathRootDir);
  if (!absl::IsNotFound(configuration.status())) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(WaitForBootstrap(deps.fs, config.storePathRootDir,
                                          ToProto(identity, config, client_address), server.get(),
                                          &accept_loop, deps.stop_requested));
  server.reset();
  return BindServer();
}

absl::Status Broker::Parts::OpenStore() {
  RAFTMQ_ASSIGN_OR_RETURN(const dledger::DirectoryLayout layout,
                          dledger::ReadLayout(deps.fs, config.storePathRootDir));
  store::LogMessageStoreOptions options;
  options.dir = layout.generation;
  // Records hold a numeric store host.
  if (const absl::StatusOr<ResolvedHost> host = ResolveHost(advertised_host); host.ok()) {
    options.store_host = host->scheme == v2::IPv6 ? StrCat("[", host->host, "]:", server->port())
                                                  : StrCat(host->host, ":", server->port());
  } else {
    LOG(WARNING) << Message(host.status()) << "; records will name 127.0.0.1 as their store host";
    options.store_host = StrCat("127.0.0.1:", server->port());
  }
  options.message_index_enable = config.messageIndexEnable;
  options.dedupe_messages = config.sendDedupeMaxMessages;
  options.dedupe_window_ms = config.sendDedupeWindowMs;
  options.dedupe_born_slack_ms = config.sendDedupeBornSlackMs;
  options.max_delay_ms = config.timerMaxDelaySec * 1'000;
  options.max_pending_timers = config.maxPendingTimers;
  options.transaction_timeout_ms = config.transactionTimeOut;
  options.max_pending_transactions = config.maxPendingTransactions;
  options.max_inflight_per_queue = config.max_inflight_per_queue();
  options.max_lite_topics = config.maxLmqConsumeQueueNum;
  options.max_lite_subscriptions = config.maxLiteSubscriptionCount;
  RAFTMQ_ASSIGN_OR_RETURN(store, store::LogMessageStore::Open(std::move(options), deps.fs,
                                                              deps.clock, &read_loop, &flush_loop));
  return absl::OkStatus();
}

absl::Status Broker::Parts::OpenReplica() {
  dledger::ReplicaHostOptions options;
  options.dir = config.storePathRootDir;
  options.client_address = client_address;
  options.replica.heartbeat_ms = config.heartBeatTimeIntervalMs;
  options.replica.election_min_ms = config.electionTimeoutMinMs;
  options.replica.election_max_ms = config.electionTimeoutMaxMs;
  if (const ConfiguredPeer* self = config.self(); self != nullptr) {
    options.peer_bind_address =
        StrCat(config.peerListenAddress.empty() ? config.listenAddress : config.peerListenAddress,
               self->address.substr(self->address.rfind(':')));
  }
  RAFTMQ_ASSIGN_OR_RETURN(host, dledger::ReplicaHost::Open(
                                    std::move(options), store.get(),
                                    [on_fatal = deps.on_fatal](const absl::Status& failure) {
                                      LOG(ERROR) << "the replica has stopped: " << failure;
                                      if (on_fatal) on_fatal(failure);
                                    },
                                    directory_lock));
  replica = host->replica();
  store->Attach(replica);
  return absl::OkStatus();
}

void Broker::Parts::MakeSchedulers() {
  recovery = std::make_unique<OrphanRecovery>(clients.get(), replica, peers.get(), deps.clock);
  lite_notices = std::make_unique<LiteNotices>(clients.get(), replica, peers.get(), deps.clock);
  LiteScheduler::Options lite_options;
  lite_options.client_expire_ms = config.clientExpireMillis;
  lite_topics = std::make_unique<LiteScheduler>(
      lite_options, &store->lite_topics(), deps.clock, &timer_loop,
      [this](const std::string& client_id) { return clients->IsAlive(client_id); });
  TimerScheduler::Options timer_options;
  timer_options.max_per_second = config.timerMaxDeliveriesPerSecond;
  timers =
      std::make_unique<TimerScheduler>(timer_options, &store->waiting(), deps.clock, &timer_loop);
  TransactionChecker::Options check_options;
  check_options.check_max = static_cast<int32_t>(config.transactionCheckMax);
  check_options.check_interval_ms = config.transactionCheckInterval;
  transactions = std::make_unique<TransactionChecker>(
      check_options, &store->waiting(), deps.clock, &timer_loop, &read_loop,
      [this](std::string record) { recovery->Ask(std::move(record)); });
  dead_letters = std::make_unique<DeadLetterScheduler>(
      DeadLetterScheduler::Options(), &store->dead_letters(), deps.clock, &timer_loop,
      [this](const std::string& group, const std::string& topic) {
        waiters->OnReleased(group, topic, 0);
      });
  RetentionScheduler::Options retention_options;
  retention_options.limits = {config.fileReservedTime * 3'600'000, config.commitLogMaxBytes};
  retention_options.hours = config.deleteWhen;
  retention = std::make_unique<RetentionScheduler>(std::move(retention_options),
                                                   &store->retention(), deps.clock, &timer_loop);
  arrivals = std::make_unique<ArrivalFork>(waiters.get(), pull_waiters.get(), timers.get(),
                                           transactions.get(), dead_letters.get());
}

void Broker::Parts::MakeServices() {
  peers = std::make_unique<GrpcPeerClient>(server->completion_queue(), deps.clock, peer_tls);
  ClientRegistryOptions registry;
  registry.expire_ms = config.clientExpireMillis;
  clients = std::make_unique<ClientRegistry>(registry, deps.clock);
  group = std::make_unique<GroupView>(GroupView::Options(), deps.clock);
  group_members =
      std::make_unique<GroupMembers>(GroupMembers::Options(), clients.get(), deps.clock);
  const ReceiveWaiters::Options waiting{static_cast<size_t>(config.maxPopPollingSize),
                                        static_cast<size_t>(config.popPollingSize)};
  waiters = std::make_unique<ReceiveWaiters>(waiting, store.get(), deps.clock, &timer_loop,
                                             &store->lite_topics());
  pull_waiters =
      std::make_unique<PullWaiters>(PullWaiters::Options(), store.get(), deps.clock, &timer_loop);
  MemberAddressesOptions where;
  where.broker_name = config.brokerName;
  where.self = identity.member;
  where.own_address = client_address;
  where.preferred = config.preferred_leader();
  where.group_dns_name = config.groupDnsName;
  hosts = std::make_unique<HostNames>(deps.clock, &resolve_loop);
  addresses = std::make_unique<MemberAddresses>(std::move(where), hosts.get());
  if (!config.namesrvAddr.empty()) {
    NamesrvRoutesOptions others;
    others.namesrv_addresses = config.namesrvAddr;
    others.own_broker_name = config.brokerName;
    other_groups = std::make_unique<NamesrvRoutes>(std::move(others), hosts.get(), deps.clock,
                                                   server->completion_queue());
  }
  renewals = std::make_unique<Renewals>(
      Renewals::Options::ForLeasesOf(config.invisibleTimeMillisWhenAutoRenew), deps.clock,
      &timer_loop,
      [this](const Renewals::Lease& lease, int64_t extend_ms, Renewals::Done done) {
        ExtendLease(lease, extend_ms, std::move(done));
      },
      [this](const std::string& client_id) { return clients->IsAlive(client_id); });
  LeaderRouterOptions routing;
  routing.default_stream_timeout_ms = config.longPollingTimeoutMillis + 3'000;
  MakeSchedulers();
  router = std::make_unique<LeaderRouter>(routing, replica, &local, peers.get(), deps.clock,
                                          &timer_loop);

  read_index = std::make_unique<LeaderReadIndex>(router.get(), store.get());
  barrier = std::make_unique<ReadBarrier>(ReadBarrier::Options(), read_index.get(), deps.clock,
                                          &timer_loop);

  MessagingDeps messaging_deps;
  messaging_deps.store = store.get();
  messaging_deps.waiting = &store->waiting();
  messaging_deps.dead_letters = &store->dead_letters();
  messaging_deps.lite_topics = &store->lite_topics();
  messaging_deps.lite_notices = lite_notices.get();
  messaging_deps.ledger = replica;
  messaging_deps.clock = deps.clock;
  messaging_deps.clients = clients.get();
  messaging_deps.group = group.get();
  messaging_deps.waiters = waiters.get();
  messaging_deps.pull_waiters = pull_waiters.get();
  messaging_deps.barrier = barrier.get();
  messaging_deps.addresses = addresses.get();
  messaging_deps.others = other_groups.get();
  messaging_deps.router = router.get();
  messaging_deps.renewals = renewals.get();
  messaging_deps.reads = &read_loop;
  messaging = std::make_unique<MessagingHandlers>(ToMessagingOptions(config), messaging_deps);

  AdminOptions admin_options;
  admin_options.identity = ToProto(identity, config, client_address);
  admin_options.default_topic_queues = static_cast<int32_t>(config.defaultTopicQueueNums);
  admin_options.retention = {config.fileReservedTime * 3'600'000, config.commitLogMaxBytes,
                             /*by_topic=*/true};
  AdminDeps admin_deps;
  admin_deps.store = store.get();
  admin_deps.waiting = &store->waiting();
  admin_deps.dead_letters = &store->dead_letters();
  admin_deps.lite_topics = &store->lite_topics();
  admin_deps.lite_notices = lite_notices.get();
  admin_deps.recovery = recovery.get();
  admin_deps.ledger = replica;
  admin_deps.read_index = host->replica();
  admin_deps.barrier = barrier.get();
  admin_deps.clock = deps.clock;
  admin_deps.retention = &store->retention();
  admin_deps.clients = clients.get();
  admin_deps.members = group_members.get();
  admin_deps.group = group.get();
  admin_deps.waiters = waiters.get();
  admin_deps.router = router.get();
  admin_deps.reads = &admin_loop;
  admin = std::make_unique<AdminHandlers>(std::move(admin_options), admin_deps);
  local.Set(messaging.get(), admin.get());

  ConsumersDeps consumers_deps;
  consumers_deps.store = store.get();
  consumers_deps.ledger = replica;
  consumers_deps.clock = deps.clock;
  consumers_deps.clients = clients.get();
  consumers_deps.members = group_members.get();
  consumers_deps.reads = &read_loop;
  consumers = std::make_unique<ConsumersHandlers>(*DelayLevels::Parse(config.messageDelayLevel),
                                                  consumers_deps);
  ReplyStreams::Options replies_options;
  replies_options.max_body_bytes = config.maxMessageSize;
  replies = std::make_unique<ReplyStreams>(replies_options);
}

void Broker::Parts::ExtendLease(const Renewals::Lease& lease, int64_t extend_ms,
                                Renewals::Done done) {
  v2::ChangeInvisibleDurationRequest request;
  request.mutable_group()->set_name(lease.group);
  request.mutable_topic()->set_name(lease.topic);
  request.set_receipt_handle(lease.handle);
  request.set_message_id(lease.message_id);
  SetDuration(extend_ms, request.mutable_invisible_duration());
  CallContext context;
  context.client_id = lease.client_id;
  context.renewal = true;
  context.deadline_ms = deps.clock->MonotonicMillis() + kRenewMs;
  using Call =
      InternalUnary<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>;
  router->Route(Call::Make(
      std::move(context), std::move(request),
      [done = std::move(done)](const absl::Status& status,
                               const v2::ChangeInvisibleDurationResponse& response) mutable {
        if (!status.ok()) return done(status);
        switch (response.status().code()) {
          case v2::OK:
            return done(response.receipt_handle());
          case v2::INVALID_RECEIPT_HANDLE:
            return done(
                store::Refuse(store::Reason::kInvalidReceiptHandle, response.status().message()));
          default:
            return done(absl::UnavailableError(response.status().message()));
        }
      }));
}

void Broker::Parts::Serve() {
  store->SetArrivalListener(arrivals.get());
  replica->SetStatusListener([this](const dledger::LedgerStatus&) {
    if (!stopping.load()) timer_loop.Post([this] { OnStatus(); });
  });
  server->Add(messaging.get());
  server->Add(admin.get());
  server->Add(consumers.get());
  server->Add(replies.get());
}

absl::Status Broker::Parts::ServeMetrics() {
  if (config.metricsExporterType == "DISABLE") return absl::OkStatus();
  Metrics::Options options;
  options.cluster = config.brokerClusterName;
  options.node_id = StrCat(config.brokerName, "-", config.dLegerSelfId);
  MetricsDeps metrics_deps;
  metrics_deps.counters = &store->counters();
  metrics_deps.read_gauges = [this](size_t max_rows) { return store->ReadGauges(max_rows); };
  metrics_deps.waiting = &store->waiting();
  metrics_deps.retention = &store->retention();
  metrics_deps.ledger = replica;
  metrics_deps.clock = deps.clock;
  metrics_deps.count_clients = [this] { return clients->Count(); };
  metrics_deps.connections = [this] { return server->connections(); };
  metrics = std::make_unique<Metrics>(std::move(options), std::move(metrics_deps));
  RAFTMQ_ASSIGN_OR_RETURN(
      metrics_server,
      MetricsServer::Start(config.metricsPromExporterHost.empty() ? config.listenAddress
                                                                  : config.metricsPromExporterHost,
                           static_cast<int>(config.metricsPromExporterPort),
                           [this] { return metrics->Text(); }));
  LOG(INFO) << "metrics are at port " << metrics_server->port() << ", /metrics";
  return absl::OkStatus();
}

// On the timer loop.
void Broker::Parts::OnStatus() {
  if (stopping.load()) return;
  const std::shared_ptr<const dledger::LedgerStatus> status = replica->Status();
  const bool leads = LeaderRouter::Leads(*status);
  if (led && !leads) {
    // They wait where the leader is.
    waiters->Abandon(store::Refuse(store::Reason::kNotLeader, "this member no longer leads"));
  }
  const std::string address = LeaderRouter::LeaderAddress(*status);
  if (address != leader_address && (!address.empty() || leads)) {
    const int64_t delay_ms = LeaderRouter::BreakOffDelayMs(*status, leader_address);
    leader_address = address;
    timer_loop.RunAfter(delay_ms * 1'000'000, [this, address] {
      if (!stopping.load() && leader_address == address) peers->BreakOffExcept(address);
    });
  }
  const bool leads_changed = led != leads;
  led = leads;
  timers->SetLeading(leads);
  transactions->SetLeading(leads);
  dead_letters->SetLeading(leads);
  retention->SetLeading(leads);
  lite_topics->SetLeading(leads);
  group_members->SetLeading(leads);
  if (leads_changed) hand_over_ms = deps.clock->MonotonicMillis();
  addresses->View(*status, group->Serving(*status));  // begins to resolve new members' host names
  router->OnStatusChange();
  if (leads_changed) NotifyNameServers();
}

// On the timer loop, again and again.
void Broker::Parts::Watch() {
  if (stopping.load()) return;
  const int64_t now_ms = deps.clock->MonotonicMillis();
  const std::shared_ptr<const dledger::LedgerStatus> status = replica->Status();
  // Clients do not move on while they are connected.
  server->SetRefusing(status->leaderless_since_ms != 0 &&
                      now_ms - status->leaderless_since_ms > config.leaderlessCloseMs);
  server->SetHealthy(group->CaughtUp(*status) && (LeaderRouter::Leads(*status) ||
                                                  !LeaderRouter::LeaderAddress(*status).empty()));
  if (now_ms - clients_expired_ms > kExpireClientsMs) {
    clients_expired_ms = now_ms;
    clients->ExpireSilent();
    mismatch_log.Tell(clients->Mismatches(), now_ms);
  }
  group_members->Tick();
  HandOverToPreferred(*status);
  TellNameServersOfChanges(*status);
  timer_loop.RunAfter(kWatchMs * 1'000'000, [this] { Watch(); });
}

// Clients that try a route's addresses in order stay with the first: after a failover all their
// calls would be forwarded for ever.
void Broker::Parts::HandOverToPreferred(const dledger::LedgerStatus& status) {
  const MemberId preferred = config.preferred_leader();
  const int64_t now_ms = deps.clock->MonotonicMillis();
  if (preferred == kNoMember || preferred == status.self || !LeaderRouter::Leads(status) ||
      now_ms - hand_over_ms < config.preferredLeaderWaitMs) {
    return;
  }
  const std::vector<MemberId> serving = group->Serving(status);
  if (std::find(serving.begin(), serving.end(), preferred) == serving.end()) return;
  hand_over_ms = now_ms;
  LOG(INFO) << "hands leadership to member " << preferred << ", the preferred leader";
  replica->TransferLeadership(preferred, [](const absl::Status& done) {
    LOG_IF(WARNING, !done.ok()) << "the preferred leader did not take over: " << done;
  });
}

void Broker::Parts::ScheduleReport() {
  timer_loop.RunAfter(group->options().report_ms * 1'000'000, [this] { Report(); });
}

// Soft state, shared by way of the leader. One report at a time; on the timer loop.
void Broker::Parts::Report() {
  if (stopping.load()) return;
  const std::shared_ptr<const dledger::LedgerStatus> status = replica->Status();
  const std::string address = LeaderRouter::LeaderAddress(*status);
  if (address.empty()) return ScheduleReport();
  const int64_t now_ms = deps.clock->MonotonicMillis();
  adm::ReportMemberRequest request;
  request.set_member_id(status->self.value());
  request.set_applied_index(status->applied_index.value());
  for (std::string& client : clients->TakeHeard()) request.add_heard_clients(std::move(client));
  if (now_ms - quiet_asked_ms >= kAskQuietMs) {
    quiet_asked_ms = now_ms;
    for (std::string& client : clients->Quiet(kMaxQuiet)) {
      request.add_asked_clients(std::move(client));
    }
  }
  using Call = InternalUnary<adm::ReportMemberRequest, adm::ReportMemberResponse>;
  auto* call =
      Call::Make(CallContext(), std::move(request),
                 [this](const absl::Status& done, const adm::ReportMemberResponse& response) {
                   if (done.ok()) {
                     std::vector<MemberId> serving;
                     for (const int32_t id : response.serving_members())
                       serving.push_back(MemberId(id));
                     group->OnAnswer(Term(response.term()), LogIndex(response.commit_index()),
                                     std::move(serving));
                     for (const adm::LivingClient& client : response.living_clients()) {
                       clients->HeardElsewhere(client.client_id(), client.heard_ms_ago());
                     }
                   }
                   if (!stopping.load()) ScheduleReport();
                 });
  peers->Forward(address, now_ms + kReportMs, call, [call](PeerResult result) {
    if (result.kind == PeerResult::Kind::kAnswered) {
      call->Finish();
    } else {
      call->Fail(result.status);
    }
  });
}

// Clients of a NameServer cannot use a topic before it is told, and go on to try a member that
// serves no more: not at the next refresh, then, but within kWatchMs.
void Broker::Parts::TellNameServersOfChanges(const dledger::LedgerStatus& status) {
  if (config.namesrvAddr.empty() || !led) return;
  std::vector<MemberId> serving = group->Serving(status);
  bool changed = serving != serving_told;
  serving_told = std::move(serving);
  if (const LogIndex applied = store->AppliedIndex(); applied != topics_seen_at) {
    topics_seen_at = applied;
    std::vector<store::TopicConfig> topics = store->ListTopics();
    changed = changed || topics != topics_told;
    topics_told = std::move(topics);
  }
  if (changed) NotifyNameServers();
}

void Broker::Parts::NotifyNameServers() {
  absl::MutexLock lock(&registration_mutex);
  if (registration != nullptr) registration->Notify();
}

absl::StatusOr<std::unique_ptr<Broker>> Broker::Start(BrokerConfig config, BrokerDeps deps) {
  RAFTMQ_RETURN_IF_ERROR(config.Validate());
  if (!config.groupDnsName.empty()) {
    RAFTMQ_RETURN_IF_ERROR(
        Annotate(ParseHostPort(config.groupDnsName).status(), "setting groupDnsName"));
  }
  auto parts = std::make_unique<Parts>();
  parts->config = std::move(config);
  parts->deps = std::move(deps);
  parts->advertised_host = parts->config.brokerIP1.empty() ? HostName() : parts->config.brokerIP1;
  RAFTMQ_ASSIGN_OR_RETURN(parts->identity, CheckedIdentity(parts->config, parts->deps.fs));
  RAFTMQ_ASSIGN_OR_RETURN(parts->peer_tls, PeerTls(parts->config, parts->deps.fs));
  RAFTMQ_ASSIGN_OR_RETURN(parts->directory_lock,
                          dledger::LockDirectory(parts->deps.fs, parts->config.storePathRootDir));
  RAFTMQ_RETURN_IF_ERROR(parts->BindServer());
  RAFTMQ_RETURN_IF_ERROR(parts->AwaitBootstrap());
  RAFTMQ_RETURN_IF_ERROR(parts->OpenStore());
  RAFTMQ_RETURN_IF_ERROR(parts->OpenReplica());
  parts->MakeServices();
  parts->Serve();
  parts->host->Start();
  RAFTMQ_RETURN_IF_ERROR(parts->ServeMetrics());
  RAFTMQ_RETURN_IF_ERROR(parts->server->Start(&parts->accept_loop));
  if (!parts->config.namesrvAddr.empty()) {
    NamesrvRegistrationOptions options;
    options.namesrv_addresses = parts->config.namesrvAddr;
    options.cluster = parts->config.brokerClusterName;
    options.broker_name = parts->config.brokerName;
    options.member = parts->identity.member;
    options.member_name = parts->config.dLegerSelfId;
    options.client_address = parts->client_address;
    options.preferred_member = parts->config.preferred_leader();
    options.group_dns_name = parts->config.groupDnsName;
    options.register_period_ms = parts->config.registerNameServerPeriod;
    absl::MutexLock lock(&parts->registration_mutex);
    parts->registration = std::make_unique<NamesrvRegistration>(
        std::move(options),
        [p = parts.get()] {
          const auto status = p->replica->Status();
          RegistrationState state;
          state.term = status->term;
          state.leader = LeaderRouter::Leads(*status);
          state.topics = p->store->ListTopics();
          state.serving = p->group->Serving(*status);
          return state;
        },
        &parts->timer_loop, parts->server->completion_queue());
  }
  parts->timer_loop.Post([p = parts.get()] {
    p->OnStatus();
    p->Watch();
    p->Report();
  });
  LOG(INFO) << "member " << parts->config.dLegerSelfId << " of group " << parts->identity.group
            << " serves clients at " << parts->client_address;
  return std::unique_ptr<Broker>(new Broker(std::move(parts)));
}

Broker::Broker(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Broker::~Broker() {
  if (!parts_->stopping.load()) Stop().IgnoreError();
}

int Broker::port() const { return parts_->server->port(); }

std::string Broker::client_address() const { return parts_->client_address; }

bool Broker::has_leader() const {
  const auto status = parts_->replica->Status();
  return LeaderRouter::Leads(*status) || !LeaderRouter::LeaderAddress(*status).empty();
}

absl::Status Broker::Stop() {
  Parts& parts = *parts_;
  LOG(INFO) << "stopping";
  {
    // Evicts this member from the NameServers at once.
    absl::MutexLock lock(&parts.registration_mutex);
    parts.registration.reset();
  }
  parts.metrics_server.reset();
  // Leadership is handed over first; until the replica has stopped, calls follow it to its new
  // place.
  const absl::Status how = parts.host->Stop();
  parts.stopping.store(true);
  parts.router->Close();
  parts.waiters->Abandon(store::Refuse(store::Reason::kStopped, "this member is shutting down"));
  parts.pull_waiters->Close();
  parts.barrier->Close();
  parts.group_members->SetLeading(false);
  parts.replies->Close();
  parts.peers->BreakOffReceives();
  for (const ClientRecord& client : parts.clients->List("")) {
    if (const std::shared_ptr<TelemetryStream> stream = client.telemetry.lock()) {
      EndTelemetry(stream.get(), absl::UnavailableError("this member is shutting down"));
    }
  }
  const bool drained = parts.server->Stop(kStopGraceMs);
  if (!drained) return absl::InternalError("some calls were never ended");
  parts.other_groups.reset();
  parts.timer_loop.Stop();
  parts.read_loop.Stop();
  parts.flush_loop.Stop();
  parts.admin_loop.Stop();
  parts.accept_loop.Stop();
  parts.resolve_loop.Stop();
  // Nothing runs any more that could touch the store.
  const absl::Status closed = parts.store->Close();
  return how.ok() ? closed : how;
}

}  // namespace raftmq::broker
