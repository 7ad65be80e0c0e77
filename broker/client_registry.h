// ClientRegistry: the clients this member has heard of, their last Settings and when they were last
// heard. Soft state. The end of a Telemetry stream is not a client's death: several client
// libraries do not reopen it for minutes; only silence is. Members tell the leader whom they heard
// and ask it about those that fell quiet, so that a client that moved to another member lives.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "broker/call.h"
#include "broker/messaging_service.h"

namespace raftmq::broker {

struct ClientRegistryOptions {
  int64_t expire_ms = 120'000;
  size_t max_clients = 100'000;
  int64_t quiet_ms = 20'000;  // two heartbeats of most libraries
};

struct ClientRecord {
  std::string client_id;
  ClientLanguage language = ClientLanguage::kUnknown;
  std::string version;
  std::string peer;
  v2::ClientType type = v2::CLIENT_TYPE_UNSPECIFIED;
  std::string group;                // consumers
  std::vector<std::string> topics;  // published or subscribed
  struct Subscription {
    std::string topic;
    std::string expression;
    std::string type;  // TAG, SQL
  };
  std::vector<Subscription> subscriptions;  // consumers
  int64_t long_polling_ms = 0;              // what the client's Settings said, 0: nothing
  int64_t last_heard_ms = 0;                // monotonic
  std::weak_ptr<TelemetryStream> telemetry;
};

// Two consumers of a group that subscribe to different things: which of its messages each gets, or
// whether anybody gets them, is by chance (RocketMQ: all of a group must subscribe the same).
struct SubscriptionMismatch {
  struct Side {
    std::string client_id;
    std::string subscription;  // "bills: *; orders: a || b"
    bool operator==(const Side&) const = default;
  };
  std::string group;
  Side one;  // the first by id
  Side other;
};

class ClientRegistry {
 public:
  ClientRegistry(ClientRegistryOptions options, Clock* clock) : options_(options), clock_(clock) {}

  // False: the registry is full and the client is new.
  bool PutSettings(const CallContext& context, const v2::Settings& settings,
                   std::weak_ptr<TelemetryStream> telemetry);
  bool Heard(const CallContext& context, v2::ClientType type, const std::string& group);

  // The client said goodbye.
  void Remove(const std::string& client_id);

  // Another member heard it `ago_ms` ago: it lives, wherever it is connected.
  void HeardElsewhere(const std::string& client_id, int64_t ago_ms);
  // When it was last heard, here or elsewhere; none if not within expire_ms.
  std::optional<int64_t> HeardAgoMillis(const std::string& client_id) const;
  // Those heard here since the last time this was called.
  std::vector<std::string> TakeHeard();
  // Known here and silent for a while: other members may know more. At most `max`.
  std::vector<std::string> Quiet(size_t max) const;

  std::optional<ClientRecord> Find(const std::string& client_id) const;
  // Heard here or elsewhere within expire_ms.
  bool IsAlive(const std::string& client_id) const { return HeardAgoMillis(client_id).has_value(); }
  // By id; all, or those of a consumer group.
  std::vector<ClientRecord> List(const std::string& group) const;

  // How many clients there are of each kind.
  struct Kind {
    std::string group;  // of consumers; "": producers, and who has not said what it is
    ClientLanguage language = ClientLanguage::kUnknown;
    auto operator<=>(const Kind&) const = default;
  };
  std::map<Kind, int64_t> Count() const;

  // Of each group whose consumers, as far as they are known here, subscribe differently, the first
  // two by id; by group. Lite consumers each have their own.
  std::vector<SubscriptionMismatch> Mismatches() const;

  // The open streams of producers whose Settings publish the topic, by client id.
  std::vector<std::shared_ptr<TelemetryStream>> ProducersOf(const std::string& topic) const;

  // Forgets those not heard of for expire_ms. To be called now and then.
  void ExpireSilent();

 private:
  // Null: full.
  ClientRecord* Entry(const CallContext& context) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Silent(const ClientRecord& client) const;
  std::optional<int64_t> AgoMillis(const std::string& client_id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ClientRegistryOptions options_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, ClientRecord> clients_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, int64_t> elsewhere_ ABSL_GUARDED_BY(mutex_);  // heard, monotonic
  absl::flat_hash_set<std::string> newly_heard_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::broker
