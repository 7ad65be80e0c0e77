// Ports for the servers of tests and benchmarks: each is this process's alone until it ends, so
// that a server may be started on it, stopped and started again.
//
// A port that the kernel picks (port 0) and that is let go of for a moment can be lost to any
// process, or to an outgoing connection. These lie below the range that the kernel picks from;
// among processes that reserve here, the name of an abstract socket is the lock, which ends with
// its holder and belongs to the network namespace that the port belongs to.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace raftmq {

// Free on 127.0.0.1, never returned twice. Ends the process when none is left: there are a
// thousand.
std::vector<uint16_t> ReservePorts(size_t count);
uint16_t ReservePort();

// As 127.0.0.1:PORT.
std::vector<std::string> ReserveAddresses(size_t count);

}  // namespace raftmq
