// Scripts: a cluster driven by commands in a text file that also holds the expected output.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "raft/testing/cluster.h"

namespace raftmq::raft::testing {

// Runs the commands of one file, in order, on one cluster. README.md of testdata/ lists them. Each
// command answers with what was delivered, what was sent, and how the members' state changed; then
// Cluster::Check runs. Not thread-safe.
class Script {
 public:
  // The text of `file` with each command's expected output replaced by the actual one.
  std::string Run(std::string_view file);

 private:
  struct Arguments {
    std::string command;
    std::vector<std::string> words;            // without '='
    std::map<std::string, std::string> named;  // a=b
    int32_t Number(size_t at) const;
    int32_t Number(const std::string& name, int32_t otherwise) const;
    std::string Text(const std::string& name, const std::string& otherwise) const;
  };
  using Filter = std::function<bool(const Message&)>;

  std::string Execute(std::string_view line);
  void Dispatch(const Arguments& a);
  bool DispatchInput(const Arguments& a);
  bool DispatchFault(const Arguments& a);
  bool DispatchShow(const Arguments& a);
  void MakeCluster(const Arguments& a);
  void Load(const Arguments& a);
  void Elect(int32_t id, bool quiet);
  void Propose(const Arguments& a);
  int32_t Deliver(const Filter& filter);
  void ShowPeers(int32_t id);
  void Say(const std::string& line) { output_ += line + "\n"; }
  void SayStatus(const absl::Status& status);
  void SaySent();
  void SayChanges();
  std::string StateOf(int32_t id);
  static Filter FilterOf(const Arguments& a);

  std::unique_ptr<Cluster> cluster_;
  std::vector<std::string> told_;  // StateOf each member, as last said
  size_t sent_told_ = 0;           // messages of the network that were said
  std::string output_;
};

}  // namespace raftmq::raft::testing
