// What a stored message says, for people: its body as its producer gave it to its client.
//
// Pure functions; any thread.
#pragma once

#include <string>

#include "raftmq/v1/admin.pb.h"

namespace raftmq::mqadmin {

// Clients store large bodies compressed: the body without that. As stored if it cannot be read
// (a compression that only its client knows).
std::string BodyOf(const raftmq::v1::StoredMessage& message);

}  // namespace raftmq::mqadmin
