#include "broker/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <sstream>
#include <utility>
#include <vector>

#include "broker/topic_type_name.h"
#include "store/message_properties.h"
#include "store/message_record.h"

namespace raftmq::broker {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Under which half messages are counted whose topics are not looked up.
constexpr char kOtherTopics[] = "";

class Families {
 public:
  explicit Families(Labels of_all) : of_all_(std::move(of_all)) {}

  // Begins a family; the rows that follow are its.
  void Begin(std::string name, MetricType type, std::string help) {
    families_.push_back({std::move(name), std::move(help), type, {}});
  }
  void Row(double value, Labels labels = {}) {
    MetricFamily& family = families_.back();
    ClientMetric metric;
    metric.label = of_all_;
    metric.label.insert(metric.label.end(), labels.begin(), labels.end());
    metric.counter.value = metric.gauge.value = value;
    family.metric.push_back(std::move(metric));
  }
  void Counter(std::string name, const store::StoreCounters::Counter& value, std::string help) {
    Begin(std::move(name), MetricType::Counter, std::move(help));
    Row(static_cast<double>(value.load(std::memory_order_relaxed)));
  }
  // By topic.
  void Counts(std::string name, const store::NamedCounts& counts, std::string help) {
    Begin(std::move(name), MetricType::Counter, std::move(help));
    for (const auto& [of, count] : counts.Take()) {
      Row(static_cast<double>(count), {{"topic", of.first}});
    }
  }
  void Gauge(std::string name, int64_t value, std::string help) {
    Begin(std::move(name), MetricType::Gauge, std::move(help));
    Row(static_cast<double>(value));
  }
  void Times(std::string name, const store::TimeCounts& times, std::string help) {
    Begin(std::move(name), MetricType::Histogram, std::move(help));
    const store::TimeCounts::Snapshot snapshot = times.Take();
    ClientMetric metric;
    metric.label = of_all_;
    uint64_t cumulative = 0;
    for (size_t i = 0; i < snapshot.counts.size(); ++i) {
      cumulative += static_cast<uint64_t>(snapshot.counts[i]);
      const double bound = i < store::TimeCounts::kBoundsMs.size()
                               ? static_cast<double>(store::TimeCounts::kBoundsMs[i])
                               : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({cumulative, bound});
    }
    metric.histogram.sample_count = cumulative;
    metric.histogram.sample_sum = static_cast<double>(snapshot.sum_ms);
    families_.back().metric.push_back(std::move(metric));
  }

  std::string Text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families_);
    return out.str();
  }

 private:
  const Labels of_all_;
  std::vector<MetricFamily> families_;
};

void AddTopicsAndGroups(const store::StoreGauges& gauges, Families* out) {
  out->Begin("rocketmq_messages_in_total", MetricType::Counter,
             "messages ever stored in the topic; equal on all members");
  for (const store::StoreGauges::Topic& topic : gauges.topics) {
    out->Row(static_cast<double>(topic.messages_in),
             {{"topic", topic.name}, {"message_type", std::string(TopicTypeName(topic.type))}});
  }
  out->Begin("rocketmq_consumer_lag_messages", MetricType::Gauge,
             "messages stored and not consumed; equal on all members");
  for (const store::StoreGauges::Backlog& of : gauges.backlogs) {
    out->Row(static_cast<double>(of.lag), {{"topic", of.topic}, {"consumer_group", of.group}});
  }
  out->Begin("rocketmq_consumer_inflight_messages", MetricType::Gauge,
             "messages leased to consumers and not settled; equal on all members");
  for (const store::StoreGauges::Backlog& of : gauges.backlogs) {
    out->Row(static_cast<double>(of.inflight), {{"topic", of.topic}, {"consumer_group", of.group}});
  }
  out->Gauge("rocketmq_topic_number", gauges.topic_count, "topics, lite topics left out");
  out->Gauge("raftmq_lite_topics", gauges.lite_topic_count, "lite topics");
  out->Gauge("rocketmq_consumer_group_number", gauges.group_count, "consumer groups");
  out->Gauge("raftmq_metrics_rows_left_out", gauges.rows_left_out,
             "topics and pairs of group and topic without rows of their own");
}

void AddTransactions(const store::StoreCounters& counters, Families* out) {
  out->Counts("rocketmq_commit_messages_total", counters.committed_of, "transactions committed");
  out->Counts("rocketmq_rollback_messages_total", counters.rolled_back_of,
              "transactions rolled back; topic \"\": they began before the process did");
  out->Counter("raftmq_transaction_checks_total", counters.checks,
               "times that producers were to be asked about a transaction");
  out->Counter("raftmq_transactions_given_up_total", counters.given_up,
               "transactions that ended in TRANS_CHECK_MAX_TIME_TOPIC");
  out->Times("rocketmq_finish_message_latency", counters.finish_time,
             "ms from a half message to its commit or rollback");
}

void AddDelayed(const store::StoreCounters& counters, const store::StoreGauges& gauges,
                int64_t now_ms, Families* out) {
  out->Gauge("rocketmq_timing_messages", gauges.timers, "delayed messages that wait");
  out->Gauge("rocketmq_timer_dequeue_latency",
             gauges.earliest_timer_ms.has_value()
                 ? std::max<int64_t>(0, now_ms - *gauges.earliest_timer_ms)
                 : 0,
             "ms that the earliest delayed message is overdue");
  out->Counts("rocketmq_timer_enqueue_total", counters.timers_added_of, "delayed messages stored");
  out->Counts("rocketmq_timer_dequeue_total", counters.timers_delivered_of,
              "delayed messages delivered to their topics");
  out->Counter("raftmq_timers_dropped_total", counters.timers_dropped,
               "delayed messages recalled, or whose topic was gone");
  out->Times("raftmq_timer_lateness", counters.timer_lateness,
             "ms from when a delayed message was due to its delivery");
}

void AddConsumption(const store::StoreCounters& counters, Families* out) {
  out->Counter("raftmq_messages_delivered_total", counters.delivered,
               "messages given to consumers under leases; pulls are not counted");
  out->Begin("rocketmq_send_to_dlq_messages_total", MetricType::Counter,
             "messages that went to dead-letter queues");
  for (const auto& [name, count] : counters.dead_letters_of.Take()) {
    out->Row(static_cast<double>(count), {{"topic", name.first}, {"consumer_group", name.second}});
  }
  out->Counter("rocketmq_throughput_in_total", counters.bytes_in, "bytes of messages stored");
  out->Counter("rocketmq_throughput_out_total", counters.bytes_out,
               "bytes of messages given to consumers, by leases and pulls");
  out->Counter("raftmq_dead_letters_redriven_total", counters.redriven,
               "dead letters sent back to their topics");
}

void AddRetention(const store::StoreCounters& counters, const store::Retention::Counters& retention,
                  Families* out) {
  out->Gauge("raftmq_log_min_position", retention.min_position.value(),
             "log position from which on messages are kept");
  out->Counter("raftmq_expired_messages_total", counters.expired,
               "messages that retention took from queues");
  out->Begin("raftmq_missed_messages_total", MetricType::Counter,
             "messages that expired before a group had got them; counted by every member");
  out->Row(static_cast<double>(retention.missed_messages));
  out->Counter("raftmq_offset_moved_total", counters.offset_gone,
               "reads by offset of messages that had expired");
  out->Gauge("raftmq_kept_records", retention.kept_records,
             "expired records that something still waits for");
}

void AddConnections(const std::map<ClientRegistry::Kind, int64_t>& clients, size_t connections,
                    size_t max_rows, Families* out) {
  std::map<ClientRegistry::Kind, int64_t> consumers;
  out->Begin("rocketmq_producer_connections", MetricType::Gauge,
             "clients heard here that are in no consumer group");
  for (const auto& [kind, count] : clients) {
    const std::string language(ClientLanguageName(kind.language));
    if (kind.group.empty()) {
      out->Row(static_cast<double>(count), {{"language", language}});
    } else if (consumers.size() < max_rows) {
      consumers[kind] = count;
    } else {
      consumers[{"", kind.language}] += count;
    }
  }
  out->Begin("rocketmq_consumer_connections", MetricType::Gauge,
             "consumers heard here; consumer_group \"\": of groups without rows of their own");
  for (const auto& [kind, count] : consumers) {
    out->Row(static_cast<double>(count),
             {{"consumer_group", kind.group},
              {"language", std::string(ClientLanguageName(kind.language))}});
  }
  out->Gauge("raftmq_connections", static_cast<int64_t>(connections),
             "connections of the client port that are open");
}

void AddReplica(const dledger::LedgerStatus& status, Families* out) {
  const bool leads = status.role == dledger::Role::kLeader && status.serving;
  out->Gauge("raftmq_leader", leads ? 1 : 0, "whether this member leads");
  out->Gauge("raftmq_term", status.term.value(), "Raft term");
  out->Gauge("raftmq_commit_index", status.commit_index.value(), "last committed entry");
  out->Gauge("raftmq_applied_index", status.applied_index.value(), "last applied entry");
  out->Gauge("rocketmq_storage_size", status.end_position - status.first_position,
             "bytes of log that are kept");
}

}  // namespace

Metrics::Metrics(Options options, MetricsDeps deps)
    : options_(std::move(options)), deps_(std::move(deps)) {}

std::map<std::string, int64_t> Metrics::HalfMessagesByTopic(int64_t open) {
  const auto oldest = deps_.waiting->ListTransactions(LogPosition(0), options_.max_half_messages);
  std::map<LogPosition, std::string> topics;
  std::map<std::string, int64_t> count;
  for (const store::OpenTransaction& transaction : oldest) {
    std::string topic;
    if (const auto known = half_topics_.find(transaction.position); known != half_topics_.end()) {
      topic = known->second;
    } else {
      // It may have ended since it was listed, and its record be gone.
      const auto bytes = deps_.waiting->ReadHalf(transaction.position);
      if (!bytes.ok()) continue;
      const auto record = store::ParseRecord(*bytes);
      if (!record.ok()) continue;
      topic = std::string(record->properties.Get(store::property::kRealTopic));
    }
    ++count[topic];
    topics.emplace(transaction.position, std::move(topic));
  }
  half_topics_ = std::move(topics);
  const int64_t others = open - static_cast<int64_t>(half_topics_.size());
  if (others > 0) count[kOtherTopics] += others;
  return count;
}

std::string Metrics::Text() {
  const store::StoreGauges gauges = deps_.read_gauges(options_.max_rows);
  const store::StoreCounters& counters = *deps_.counters;
  Families out(
      {{"cluster", options_.cluster}, {"node_type", "broker"}, {"node_id", options_.node_id}});
  AddReplica(*deps_.ledger->Status(), &out);
  AddTopicsAndGroups(gauges, &out);
  out.Begin("rocketmq_half_messages", MetricType::Gauge,
            "open transactions; topic \"\": those that are not looked up");
  for (const auto& [topic, open] : HalfMessagesByTopic(gauges.open_transactions)) {
    out.Row(static_cast<double>(open), {{"topic", topic}});
  }
  AddTransactions(counters, &out);
  AddDelayed(counters, gauges, deps_.clock->WallMillis(), &out);
  AddConsumption(counters, &out);
  AddRetention(counters, deps_.retention->counters(), &out);
  AddConnections(deps_.count_clients(), deps_.connections(), options_.max_rows, &out);
  return out.Text();
}

}  // namespace raftmq::broker
