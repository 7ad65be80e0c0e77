#include "broker/client_registry.h"

#include <algorithm>
#include <map>
#include <utility>

#include "broker/proto_time.h"

namespace raftmq::broker {
namespace {

// The order in which a client names its topics is nobody's business.
std::string SubscriptionText(std::vector<ClientRecord::Subscription> subscriptions) {
  std::sort(subscriptions.begin(), subscriptions.end(),
            [](const auto& a, const auto& b) { return a.topic < b.topic; });
  std::string text;
  for (const ClientRecord::Subscription& s : subscriptions) {
    if (!text.empty()) text += "; ";
    text += s.topic + ": " + (s.type == "SQL" ? "SQL " : "") + s.expression;
  }
  return text;
}

bool IsLite(v2::ClientType type) {
  return type == v2::LITE_PUSH_CONSUMER || type == v2::LITE_SIMPLE_CONSUMER;
}

}  // namespace

ClientRecord* ClientRegistry::Entry(const CallContext& context) {
  auto it = clients_.find(context.client_id);
  if (it == clients_.end()) {
    if (clients_.size() >= options_.max_clients) return nullptr;
    it = clients_.emplace(context.client_id, ClientRecord()).first;
    it->second.client_id = context.client_id;
  }
  ClientRecord& client = it->second;
  client.language = context.language;
  client.version = context.client_version;
  client.peer = context.peer;
  client.last_heard_ms = clock_->MonotonicMillis();
  newly_heard_.insert(client.client_id);
  return &client;
}

bool ClientRegistry::PutSettings(const CallContext& context, const v2::Settings& settings,
                                 std::weak_ptr<TelemetryStream> telemetry) {
  absl::MutexLock lock(&mutex_);
  ClientRecord* client = Entry(context);
  if (client == nullptr) return false;
  client->type = settings.client_type();
  client->telemetry = std::move(telemetry);
  client->topics.clear();
  client->subscriptions.clear();
  for (const v2::Resource& topic : settings.publishing().topics()) {
    client->topics.push_back(topic.name());
  }
  for (const v2::SubscriptionEntry& entry : settings.subscription().subscriptions()) {
    client->topics.push_back(entry.topic().name());
    client->subscriptions.push_back({entry.topic().name(), entry.expression().expression(),
                                     v2::FilterType_Name(entry.expression().type())});
  }
  client->group = settings.subscription().group().name();
  client->long_polling_ms = ToMillis(settings.subscription().long_polling_timeout());
  return true;
}

bool ClientRegistry::Heard(const CallContext& context, v2::ClientType type,
                           const std::string& group) {
  absl::MutexLock lock(&mutex_);
  ClientRecord* client = Entry(context);
  if (client == nullptr) return false;
  if (type != v2::CLIENT_TYPE_UNSPECIFIED) client->type = type;
  if (!group.empty()) client->group = group;
  return true;
}

void ClientRegistry::Remove(const std::string& client_id) {
  absl::MutexLock lock(&mutex_);
  clients_.erase(client_id);
  elsewhere_.erase(client_id);
  newly_heard_.erase(client_id);
}

void ClientRegistry::HeardElsewhere(const std::string& client_id, int64_t ago_ms) {
  const int64_t heard_ms = clock_->MonotonicMillis() - ago_ms;
  absl::MutexLock lock(&mutex_);
  auto it = elsewhere_.find(client_id);
  if (it != elsewhere_.end()) {
    it->second = std::max(it->second, heard_ms);
  } else if (elsewhere_.size() < options_.max_clients) {
    elsewhere_.emplace(client_id, heard_ms);
  }
}

std::optional<int64_t> ClientRegistry::AgoMillis(const std::string& client_id) const {
  std::optional<int64_t> heard_ms;
  if (const auto it = clients_.find(client_id); it != clients_.end()) {
    heard_ms = it->second.last_heard_ms;
  }
  if (const auto it = elsewhere_.find(client_id); it != elsewhere_.end()) {
    heard_ms = std::max(heard_ms.value_or(it->second), it->second);
  }
  if (!heard_ms.has_value()) return std::nullopt;
  const int64_t ago_ms = clock_->MonotonicMillis() - *heard_ms;
  return ago_ms > options_.expire_ms ? std::nullopt : std::optional<int64_t>(ago_ms);
}

std::optional<int64_t> ClientRegistry::HeardAgoMillis(const std::string& client_id) const {
  absl::MutexLock lock(&mutex_);
  return AgoMillis(client_id);
}

std::vector<std::string> ClientRegistry::TakeHeard() {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> heard(newly_heard_.begin(), newly_heard_.end());
  newly_heard_.clear();
  return heard;
}

std::vector<std::string> ClientRegistry::Quiet(size_t max) const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> quiet;
  for (const auto& [id, client] : clients_) {
    const std::optional<int64_t> ago_ms = AgoMillis(id);
    if (!ago_ms.has_value() || *ago_ms <= options_.quiet_ms) continue;
    quiet.push_back(id);
    if (quiet.size() >= max) break;
  }
  return quiet;
}

bool ClientRegistry::Silent(const ClientRecord& client) const {
  return clock_->MonotonicMillis() - client.last_heard_ms > options_.expire_ms;
}

std::optional<ClientRecord> ClientRegistry::Find(const std::string& client_id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = clients_.find(client_id);
  if (it == clients_.end() || Silent(it->second)) return std::nullopt;
  return it->second;
}

std::vector<ClientRecord> ClientRegistry::List(const std::string& group) const {
  std::vector<ClientRecord> result;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, client] : clients_) {
      if ((group.empty() || client.group == group) && !Silent(client)) result.push_back(client);
    }
  }
  std::sort(result.begin(), result.end(),
            [](const auto& a, const auto& b) { return a.client_id < b.client_id; });
  return result;
}

std::map<ClientRegistry::Kind, int64_t> ClientRegistry::Count() const {
  std::map<Kind, int64_t> count;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, client] : clients_) {
    if (!Silent(client)) ++count[{client.group, client.language}];
  }
  return count;
}

std::vector<SubscriptionMismatch> ClientRegistry::Mismatches() const {
  std::map<std::string, std::map<std::string, std::string>> groups;  // client, subscription
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, client] : clients_) {
      // A client that only sent heartbeats here has not said what it subscribes to.
      if (client.group.empty() || client.subscriptions.empty()) continue;
      if (IsLite(client.type) || Silent(client)) continue;
      groups[client.group][id] = SubscriptionText(client.subscriptions);
    }
  }
  std::vector<SubscriptionMismatch> found;
  for (const auto& [group, clients] : groups) {
    const auto& [first_id, first_text] = *clients.begin();
    for (const auto& [id, text] : clients) {
      if (text == first_text) continue;
      found.push_back({group, {first_id, first_text}, {id, text}});
      break;
    }
  }
  return found;
}

std::vector<std::shared_ptr<TelemetryStream>> ClientRegistry::ProducersOf(
    const std::string& topic) const {
  std::vector<std::pair<std::string, std::shared_ptr<TelemetryStream>>> found;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, client] : clients_) {
      if (client.type != v2::PRODUCER || Silent(client) ||
          std::find(client.topics.begin(), client.topics.end(), topic) == client.topics.end()) {
        continue;
      }
      if (auto stream = client.telemetry.lock()) found.emplace_back(id, std::move(stream));
    }
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::shared_ptr<TelemetryStream>> streams;
  for (auto& [id, stream] : found) streams.push_back(std::move(stream));
  return streams;
}

void ClientRegistry::ExpireSilent() {
  absl::MutexLock lock(&mutex_);
  absl::erase_if(clients_, [this](const auto& client) { return !AgoMillis(client.first); });
  const int64_t oldest_ms = clock_->MonotonicMillis() - options_.expire_ms;
  absl::erase_if(elsewhere_, [&](const auto& client) { return client.second < oldest_ms; });
}

}  // namespace raftmq::broker
