#include "raft/testing/script.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::raft::testing {

namespace {

std::vector<std::string> Split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, at);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

}  // namespace

int32_t Script::Arguments::Number(size_t at) const {
  CHECK_LT(at, words.size()) << command << " needs more arguments";
  return std::atoi(words[at].c_str());
}

int32_t Script::Arguments::Number(const std::string& name, int32_t otherwise) const {
  auto found = named.find(name);
  return found == named.end() ? otherwise : std::atoi(found->second.c_str());
}

std::string Script::Arguments::Text(const std::string& name, const std::string& otherwise) const {
  auto found = named.find(name);
  return found == named.end() ? otherwise : found->second;
}

// A file is comments ("# ..."), blank lines, and commands ("> ...") followed by their output, which
// ends at the next blank line, comment or command.
std::string Script::Run(std::string_view file) {
  std::string result;
  bool in_output = false;
  std::stringstream in{std::string(file)};
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("> ", 0) == 0) {
      result += line + "\n" + Execute(line.substr(2));
      in_output = true;
    } else if (line.empty() || line[0] == '#') {
      result += line + "\n";
      in_output = false;
    } else if (!in_output) {
      result += "? output without a command: " + line + "\n";
    }
  }
  return result;
}

std::string Script::Execute(std::string_view line) {
  Arguments a;
  for (const std::string& word : Split(std::string(line), ' ')) {
    const size_t equals = word.find('=');
    if (a.command.empty()) {
      a.command = word;
    } else if (equals != std::string::npos) {
      a.named[word.substr(0, equals)] = word.substr(equals + 1);
    } else {
      a.words.push_back(word);
    }
  }
  output_.clear();
  Dispatch(a);
  if (cluster_ != nullptr) {
    SaySent();
    SayChanges();
    if (const absl::Status safe = cluster_->Check(); !safe.ok()) SayStatus(safe);
  }
  return output_.empty() ? "ok\n" : output_;
}

void Script::Dispatch(const Arguments& a) {
  if (a.command == "cluster") {
    MakeCluster(a);
    return;
  }
  if (cluster_ == nullptr) {
    Say("? the first command must be: cluster");
    return;
  }
  if (!DispatchInput(a) && !DispatchFault(a) && !DispatchShow(a)) Say("? unknown command");
}

bool Script::DispatchInput(const Arguments& a) {
  if (a.command == "log") {
    Load(a);
  } else if (a.command == "tick") {
    cluster_->Tick(a.Number(0), a.words.size() > 1 ? a.Number(1) : 1);
  } else if (a.command == "campaign") {
    Elect(a.Number(0), /*quiet=*/false);
  } else if (a.command == "elect") {
    Elect(a.Number(0), /*quiet=*/true);
  } else if (a.command == "propose") {
    Propose(a);
  } else if (a.command == "sync") {
    for (const std::string& id : a.words) cluster_->Sync(std::atoi(id.c_str()));
  } else if (a.command == "deliver") {
    if (Deliver(FilterOf(a)) == 0) Say("nothing to deliver");
  } else if (a.command == "settle") {
    for (int32_t round = 0; Deliver(nullptr) > 0; ++round) CHECK_LT(round, 1000);
  } else if (a.command == "transfer") {
    SayStatus(cluster_->node(a.Number(0)).TransferLeadership(MemberId(a.Number(1))));
    cluster_->member(a.Number(0)).Drain();
    cluster_->Collect();
  } else if (a.command == "step-down") {
    cluster_->node(a.Number(0)).StepDown();
    cluster_->member(a.Number(0)).Drain();
  } else {
    return false;
  }
  return true;
}

bool Script::DispatchFault(const Arguments& a) {
  if (a.command == "drop") {
    Say(StrCat("dropped ", cluster_->Drop(FilterOf(a))));
    sent_told_ = cluster_->network().size();
  } else if (a.command == "crash") {
    cluster_->Crash(a.Number(0), /*lose_all=*/true);
  } else if (a.command == "damage") {
    cluster_->member(a.Number(0)).Damage(LogIndex(a.Number("from", 1)));
    cluster_->CountDamage(a.Number(0));
  } else if (a.command == "restart") {
    cluster_->Drop([&a](const Message& m) { return m.from == MemberId(a.Number(0)); });
    sent_told_ = std::min(sent_told_, cluster_->network().size());
    cluster_->Restart(a.Number(0));
  } else if (a.command == "cut") {
    cluster_->Cut(a.Number(0), a.Number(1));
  } else if (a.command == "isolate") {
    cluster_->Isolate(a.Number(0));
  } else if (a.command == "heal") {
    cluster_->Heal();
  } else if (a.command == "connection-closed") {
    cluster_->node(a.Number(0)).LeaderConnectionClosed(MemberId(a.Number(1)));
  } else if (a.command == "unreachable") {
    cluster_->node(a.Number(0)).ReportUnreachable(MemberId(a.Number(1)));
    cluster_->member(a.Number(0)).Drain();
    cluster_->Collect();
  } else {
    return false;
  }
  return true;
}

bool Script::DispatchShow(const Arguments& a) {
  if (a.command == "state") {
    for (int32_t id = 1; id <= cluster_->size(); ++id) Say(StateOf(id));
  } else if (a.command == "entries") {
    for (const EntryMeta& entry : cluster_->member(a.Number(0)).log().entries()) {
      Say(ToString(entry));
    }
  } else if (a.command == "network") {
    for (const Message& m : cluster_->network()) Say(ToString(m));
  } else if (a.command == "peers") {
    ShowPeers(a.Number(0));
  } else {
    return false;
  }
  return true;
}

void Script::MakeCluster(const Arguments& a) {
  ClusterOptions options;
  options.members = a.Number("members", 3);
  options.seed = a.Number("seed", 1);
  options.auto_sync = a.Text("sync", "auto") == "auto";
  options.node.pre_vote = a.Text("pre-vote", "on") == "on";
  options.node.check_quorum = a.Text("check-quorum", "on") == "on";
  options.node.segment_size = a.Number("segment", 1 << 20);
  options.node.max_inflight_messages = a.Number("window", options.node.max_inflight_messages);
  options.node.max_entries_per_append = a.Number("per-append", options.node.max_entries_per_append);
  cluster_ = std::make_unique<Cluster>(options);
  told_.assign(options.members, "");
  for (int32_t id = 1; id <= options.members; ++id) told_[id - 1] = StateOf(id);
  sent_told_ = 0;
}

void Script::Load(const Arguments& a) {
  std::vector<Term> terms;
  for (const std::string& term : Split(a.Text("terms", ""), ',')) {
    terms.push_back(Term(std::atoi(term.c_str())));
  }
  const int32_t last = terms.empty() ? 0 : static_cast<int32_t>(terms.back().value());
  cluster_->member(a.Number(0))
      .Preload({Term(a.Number("term", last)), MemberId(a.Number("vote", 0))}, terms,
               LogIndex(a.Number("committed", 0)));
}

void Script::Elect(int32_t id, bool quiet) {
  if (quiet) {
    cluster_->Elect(id);
    sent_told_ = cluster_->network().size();
    return;
  }
  Node& node = cluster_->node(id);
  const Term term = node.term();
  for (int32_t i = 0; i < 1000 && node.role() == Role::kFollower && node.term() == term; ++i) {
    cluster_->Tick(id);
  }
}

void Script::Propose(const Arguments& a) {
  Member& member = cluster_->member(a.Number(0));
  const bool ack_in_memory = a.Text("ack", "disk") == "memory";
  for (size_t i = 1; i < a.words.size(); ++i) {
    const absl::StatusOr<EntryMeta> entry =
        member.node().Propose(EntryType::kNormal, a.Number(i), ack_in_memory);
    if (entry.ok()) {
      Say(StrCat("proposed ", ToString(*entry)));
    } else {
      SayStatus(entry.status());
    }
  }
  member.Drain();
  cluster_->Collect();
}

// One round: what is under way now, not what comes of it.
int32_t Script::Deliver(const Filter& filter) {
  auto& network = cluster_->network();
  std::vector<Message> now;
  std::deque<Message> kept;
  for (const Message& m : network) {
    if (!filter || filter(m)) {
      now.push_back(m);
    } else {
      kept.push_back(m);
    }
  }
  network = kept;
  sent_told_ = network.size();
  for (const Message& m : now) {
    network.push_front(m);
    const bool arrived = cluster_->DeliverAt(0);
    Say(StrCat(arrived ? "got  " : "lost ", ToString(m)));
    SaySent();
    SayChanges();
  }
  return static_cast<int32_t>(now.size());
}

void Script::ShowPeers(int32_t id) {
  for (const PeerStatus& peer : cluster_->node(id).status().peers) {
    Say(StrCat(peer.id, ": ", ToString(peer.state), " match ", peer.match, " durable ",
               peer.durable, " next ", peer.next, " inflight ", peer.inflight_messages, "/",
               peer.inflight_bytes, " bytes", peer.damaged ? " damaged" : ""));
  }
}

void Script::SayStatus(const absl::Status& status) {
  if (!status.ok()) {
    Say(StrCat(FromAbsl(absl::StatusCodeToString(status.code())), ": ", status.message()));
  }
}

void Script::SaySent() {
  const auto& network = cluster_->network();
  for (; sent_told_ < network.size(); ++sent_told_) {
    Say(StrCat("sent ", ToString(network[sent_told_])));
  }
}

void Script::SayChanges() {
  for (int32_t id = 1; id <= cluster_->size(); ++id) {
    const std::string state = StateOf(id);
    if (state != told_[id - 1]) Say(StrCat("now  ", state));
    told_[id - 1] = state;
  }
}

std::string Script::StateOf(int32_t id) {
  Member& member = cluster_->member(id);
  if (!member.up()) return StrCat(id, ": down");
  Node& node = member.node();
  const Status s = node.status();
  std::string text = StrCat(id, ": ", ToString(s.role), " term ", s.term, " vote ", s.vote,
                            " leader ", s.leader, " last ", s.last.index, "/", s.last.term,
                            " durable ", s.durable, " commit ", s.commit, " applied ", s.applied);
  if (node.replicated_index() != s.commit) {
    text += StrCat(" replicated ", node.replicated_index());
  }
  if (s.transfer_target != kNoMember) text += StrCat(" transfer to ", s.transfer_target);
  if (s.damaged) text += " damaged";
  return text;
}

Script::Filter Script::FilterOf(const Arguments& a) {
  const int32_t from = a.Number("from", 0);
  const int32_t to = a.Number("to", 0);
  const std::string type = a.Text("type", "");
  return [from, to, type](const Message& m) {
    return (from == 0 || m.from == MemberId(from)) && (to == 0 || m.to == MemberId(to)) &&
           (type.empty() || ToString(m.type) == type);
  };
}

}  // namespace raftmq::raft::testing
