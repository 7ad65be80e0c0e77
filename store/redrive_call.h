// RedriveCall: one Redrive (redrive.h) on its way: scanned and read on the read runner, then each
// message proposed (SettlingSend), answered when the last of them is committed and applied.
#pragma once

#include "store/redrive.h"
#include "store/store_context.h"

namespace raftmq::store {

// Leader only: Reason::kNotLeader elsewhere.
void StartRedrive(StoreContext* context, RedriveRequest request, RedriveCallback done);

}  // namespace raftmq::store
