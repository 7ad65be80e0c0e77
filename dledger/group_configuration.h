// GroupConfiguration: who belongs to a group; the body of a configuration entry.
//
// Bytes in docs/formats.md. The frame's CRC protects them. Pure values; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace raftmq::dledger {

// One member as the configuration names it.
struct ConfiguredMember {
  MemberId id;
  std::string name;          // "n0"
  std::string peer_address;  // host:port of its peer transport
  Incarnation incarnation;   // of its data directory; a peer with another one is refused
  bool learner = false;      // receives the log, does not vote

  bool operator==(const ConfiguredMember&) const = default;
};

struct GroupConfiguration {
  std::vector<ConfiguredMember> members;  // new configuration
  // Joint consensus (Raft thesis §4.3): while not empty, both majorities are needed.
  std::vector<ConfiguredMember> old_members;

  bool joint() const { return !old_members.empty(); }
  const ConfiguredMember* Find(MemberId id) const;  // in members, else in old_members
  bool operator==(const GroupConfiguration&) const = default;

  std::string ToString() const;  // for logs and error texts
};

// InvalidArgument: no voter, a member twice, an id below 1, an empty name or address, no
// incarnation, or a text longer than 64 KiB.
absl::Status ValidateConfiguration(const GroupConfiguration& configuration);

std::string EncodeConfiguration(const GroupConfiguration& configuration);

// DataLoss: not such bytes; Unimplemented: a version this binary does not know.
absl::StatusOr<GroupConfiguration> ParseConfiguration(std::string_view bytes);

}  // namespace raftmq::dledger
