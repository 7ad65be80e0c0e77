// What recovery found in a log, and what it shall do about damage.
//
// Plain values.
#pragma once

#include <cstdint>
#include <string>

namespace raftmq::dledger {

// What to do with a log that is damaged below what was known durable.
enum class DamageAction {
  kStop,        // Open fails with DataLoss and leaves the segments alone
  kQuarantine,  // what follows the last good frame is moved or copied to <generation>/quarantine/
};

struct RecoveryReport {
  bool damaged = false;  // found now; the DamagedFlag tells of earlier starts too
  std::string damage;    // which file, what was expected, what was found
  // Overwritten with zeros, in steps: a torn tail, or an unfinished truncation.
  int64_t torn_tail_bytes = 0;
  int64_t scanned_bytes = 0;  // frames read and checked
  int rebuilt_indexes = 0;    // derived index files that were missing or bad
};

}  // namespace raftmq::dledger
