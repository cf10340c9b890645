/*
 * Locks across primary generations: "locks stay, and each survivor writes back those it knows before its first lease there; no mint for W".
 *
 * docs/revocation-protocol.md#head-3, #settle, #mint. Modelled as the code does it: not each replica holds mints back, but
 * the epoch itself carries a mark `settled`. NEW-EPOCH leaves it unset; the script `settle` sets it, sent by a replica that has seen this epoch under this run id
 * for W; open and mint are refused until then.
 *
 * An account is locked, and A knows it. B has just started and knows no lock. CHANGES times the primary generation ends (a failover,
 * a restart, an emptied store) and the lock is lost or kept. The promise: the account does not mint while a survivor that can
 * reach the store lives. "Can reach the store" is read as: comes to a lease in the new epoch within any W for which another
 * replica has been watching that epoch (a replica tries every half second, however long its lease is). A survivor that did not is `absent` for
 * this epoch; locks that no replica brings back are outside the promise. And nothing is minted while A still serves in an earlier epoch: its lease
 * may be longer than B's, so B goes by what the store knows of leases. If that was emptied, and no replica has registered again, the second half of the promise
 * is void.
 *
 *   WITHOUT_SETTLING           mints do not ask for the mark
 *   WITHOUT_WRITE_BACK_FIRST   the first lease comes before the locks are written back
 *   WITHOUT_UNSETTLED_EPOCH    NEW-EPOCH leaves the mark as it was
 *   WITHOUT_PERIOD             a replica with a long lease tries seldom: not within W of a short one
 *   WITHOUT_LONGEST_LEASE      B waits for W of its own lease
 *   WITHOUT_HEAD_ON_SETTLE     a delayed `settle` for one epoch settles the next
 */
#define CHANGES 3

/* The store. */
byte epoch = 1;
bool generationOver;          /* the run id is not the epoch's, or the epoch is missing: every script returns GENERATION */
bool settled = 1;
bool lock = 1;
bool remembered = 1;      /* it knows how long a lease of A's lasts */
byte changes;
bool forgotten;           /* seen from outside: it was emptied, and A has not been there since */

/* A, the survivor. */
bool alive = 1;
byte seenA = 1;           /* the epoch that it is about to join */
bool wroteBack = 1;
byte leaseA = 1;          /* the epoch of its last lease */
bool serves = 1;          /* ... which is not over */
bool absent;              /* seen from outside: it cannot reach the store */

/* B. */
byte seenB;
mtype:wait = { begun, over, sent };
mtype:wait wait = begun;

#ifdef WITHOUT_SETTLING
#define SETTLED true
#else
#define SETTLED settled
#endif

/* Head 3: a new id; locks stay. */
inline new_epoch()
{
  epoch++; generationOver = 0; absent = 0;
#ifndef WITHOUT_UNSETTLED_EPOCH
  settled = 0
#endif
}

inline lease_granted()
{
  leaseA = epoch; serves = 1; absent = 0; remembered = 1; forgotten = 0
}

proctype environment()
{
  do
  :: atomic { changes < CHANGES -> changes++; generationOver = 1;
       if
       :: skip
       :: lock = 0
       :: lock = 0; remembered = 0; forgotten = 1
       fi
     }
  od
}

proctype survivor()
{
  do
  :: atomic { alive && generationOver -> new_epoch() }
  :: atomic { alive && !generationOver && seenA != epoch -> seenA = epoch; wroteBack = 0 }
  :: atomic { alive && !generationOver && seenA == epoch && !wroteBack -> lock = 1; wroteBack = 1 }
#ifdef WITHOUT_WRITE_BACK_FIRST
  :: atomic { alive && !generationOver && seenA == epoch && leaseA != epoch -> lease_granted() }
#else
  :: atomic { alive && !generationOver && seenA == epoch && leaseA != epoch && wroteBack -> lease_granted() }
#endif
  :: atomic { serves -> serves = 0 }  /* it lapses */
  :: atomic { alive -> alive = 0; serves = 0 }
  od
}

proctype newcomer()
{
  do
  :: atomic { generationOver -> new_epoch() }
  :: atomic { !generationOver && seenB != epoch -> seenB = epoch; wait = begun }
  /* W has passed on B's clock since it first saw this epoch. */
  :: atomic { seenB != 0 && wait == begun -> wait = over;
#ifndef WITHOUT_PERIOD
       absent = (seenB == epoch && leaseA != epoch -> 1 : absent);
#endif
#ifndef WITHOUT_LONGEST_LEASE
       serves = (seenB == epoch && leaseA != epoch && remembered -> 0 : serves)
#endif
     }
  :: atomic { wait == over -> wait = sent }
  /* `settle` arrives, at some time; or is lost. */
  :: atomic { wait == sent -> wait = over;
       if
#ifdef WITHOUT_HEAD_ON_SETTLE
       :: settled = 1
#else
       :: !generationOver && seenB == epoch -> settled = 1
#endif
       :: skip
       fi
     }
  od
}

proctype mint()
{
  do
  :: atomic { !generationOver && SETTLED && !lock ->
       assert(!alive || absent);
       assert(!serves || leaseA == epoch || forgotten);
       if
       :: !alive -> skip           /* the lock is gone with the replicas that knew it */
       :: alive -> skip            /* ... or that did not come back in time */
       fi
     }
  :: atomic { !generationOver && epoch > 1 && SETTLED && lock && leaseA == epoch -> skip } /* written back in time */
  od
}

init { atomic { run environment(); run survivor(); run newcomer(); run mint() } }
