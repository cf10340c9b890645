/*
 * The primary generation: one node, or a primary that another node replaces, with the third node as the other half of the majority.
 *
 * docs/revocation-protocol.md#settings (acknowledgements), #wait, #head-1, #head-3, #settle, #renew, #revoke-2, #revoke-3, #mint.
 * Environment, FAILURES of them in any order: the node restarts on its own data, on older data (entry 1 forgotten) or empty; is
 * emptied under the same run id; node 1 is promoted, with or without entry 1, while node 0 still believes itself to be primary and
 * both replicas may still talk to it. The third node follows either; it moves once, as Sentinel reconfigures it, and node 0 may be
 * demoted. A acts as any replica; R, the replica that was asked, also writes the revocation. Both may go on talking to either primary.
 *
 * R's renewals are one step each. That is sound, as R's lease does not matter here (its local guard rejects): only the moments count at which its waits
 * begin, and a later arrival would only begin them later. A promoted node's data is what node 0 has at that moment, or the same
 * without entry 1; all else that a follower may have missed vanishes with the old epoch.
 *
 * Covered: every sign-in, in any epoch, before the revocation was asked for.
 *
 *   WITHOUT_RUN_ID                  a script checks only whether there is an epoch, not which process wrote it
 *   WITHOUT_GENERATION_FOR_W        receipts prove immediately, also if R has only just come to this generation
 * and with three nodes:
 *   WITHOUT_RENEWAL_ACKNOWLEDGED    a renewal needs no acknowledgement of a follower
 *   WITHOUT_REVOCATION_ACKNOWLEDGED a revocation needs none
 *   WITHOUT_WAIT_FROM_ACKNOWLEDGEMENT  the acknowledgement may come later, and W counts from the reply that came without it
 *   WITHOUT_ACKNOWLEDGED_SIGHT      a replica that saw the epoch in a reply that no follower acknowledged may settle it
 *   WITHOUT_SETTLING                sign-ins start in a new epoch immediately
 *
 *   UNEQUAL         A has a longer lease than R: the setting is being changed. R was there with it in the generation before, or has just started, and then no
 *                   store is emptied: a lease that nothing remembers cannot be waited for
 * and with it:
 *   WITHOUT_LONGEST_LEASE   R waits for W of its own lease, as if no replica had a longer one
 *   WITHOUT_LEASES_KEPT     a new epoch drops what the store knows of leases
 *   WITHOUT_LEASE_TOLD      a replica that comes to a new epoch goes by what the store knows of leases, and registers nothing
 *
 *   REPROMOTION     adds a case that run ids cannot distinguish: node 0, demoted, copies node 1 and is promoted again, the same process
 *   REPLICATION_ID  the head compares the replication id as well, which changes with each promotion
 */
#ifndef NODES
#define NODES 1
#endif
#ifndef FAILURES
#define FAILURES 2
#endif
#define HOLDERS 1 /* A */
#ifdef UNEQUAL
#define LEASE(i) LONG
#endif
#include "time.h"
#define PROOF 1    /* R: since the revocation was acknowledged */
#define GENERATION 2   /* R: since its first acknowledged reply in this epoch */
#define SIGHT 4    /* A: since its first acknowledged reply in this epoch */

#define NO_NODE 2
#define EPOCHS 7   /* ids 1 to 6, one more than may be in use at a time; 0 is no epoch */

/* The nodes, and what stands on each. */
bool primary[2];
byte thirdFollows = NO_NODE;
byte epoch[2];
byte writer[2];    /* the epoch's run id is the one that this node has now; NO_NODE: that of a process which is gone */
bool entry[2];     /* entry 1 is in this epoch's log */
bool listed[2];    /* A is in `live` */
bool receipt[2];   /* ... and shows n = 1 */
bool settled[2];
#ifdef UNEQUAL
bool remembered[2]; /* the store knows how long a lease of A's lasts */
bool known;         /* ... and so does R */
bool newcomer;      /* R has just started */
#define MAY_BE_EMPTIED !newcomer
#else
#define MAY_BE_EMPTIED true
#endif
byte failures;
bool moved;        /* the third node has changed sides */

bool covered[EPOCHS]; /* by epoch: there was a sign-in before the revocation was asked for */

/* A. */
byte epochA;
mtype:wait = { not_begun, begun, over };
mtype:wait sight = not_begun;
mtype:script = { travelling, other_epoch, ok };
mtype:script script = travelling;
byte node;         /* where A's script ran */
byte replyEpoch;
bool brought, acknowledged, view;

/* R. */
byte epochR;
mtype:wait generation = not_begun;
mtype:revocation = { idle, asked, written, waiting, complete };
mtype:revocation revocation = idle;
byte at;           /* the node that took the revocation */
mtype:wait proof = not_begun;
bool registry;     /* A was in the registry that came back with n */

byte id;           /* 0 outside new_epoch */

#ifdef WITHOUT_RUN_ID
#define GENERATION_HOLDS(k) (epoch[k] != 0)
#else
#define GENERATION_HOLDS(k) (epoch[k] != 0 && writer[k] == k)
#endif
/* A follower's acknowledgement: the third node's, or the other node's where that follows. */
#if NODES == 1
#define FOLLOWED(k) true
#else
#define FOLLOWED(k) (thirdFollows == (k) || !primary[1 - (k)])
#endif
#ifdef WITHOUT_RENEWAL_ACKNOWLEDGED
#define RENEWAL_COUNTS(k) true
#else
#define RENEWAL_COUNTS(k) FOLLOWED(k)
#endif
#ifdef WITHOUT_REVOCATION_ACKNOWLEDGED
#define REVOCATION_COUNTS(k) true
#else
#define REVOCATION_COUNTS(k) FOLLOWED(k)
#endif
/* The entry still exists in the primary generation in which it was written. */
#define STANDS(k) (primary[k] && GENERATION_HOLDS(k) && entry[k])
#ifdef WITHOUT_SETTLING
#define MAY_SIGN_IN(k) true
#else
#define MAY_SIGN_IN(k) settled[k]
#endif
#ifdef WITHOUT_GENERATION_FOR_W
#define GENERATION_FOR_W true
#else
#define GENERATION_FOR_W (generation == over)
#endif

#ifdef UNEQUAL
#ifdef WITHOUT_LONGEST_LEASE
#define LONGEST_LEASE SHORT
#else
#define LONGEST_LEASE (known -> LONG : SHORT)
#endif
#else
#define LONGEST_LEASE SHORT
#endif

#define IN_USE(id) (epoch[0] == id || epoch[1] == id || epochA == id || epochR == id || replyEpoch == id)

inline drop(k)
{
  d_step { epoch[k] = 0; writer[k] = NO_NODE; entry[k] = 0; listed[k] = 0; receipt[k] = 0; settled[k] = 0 }
}

inline copy(to, from)
{
  d_step {
    epoch[to] = epoch[from]; writer[to] = writer[from];
    entry[to] = entry[from]; listed[to] = listed[from]; receipt[to] = receipt[from]; settled[to] = settled[from];
#ifdef UNEQUAL
    remembered[to] = remembered[from]
#endif
  }
}

/* The leases that a renewal of R's registers and reads. A has registered its own with its first renewal in each generation. */
inline leases(k)
{
#ifdef UNEQUAL
#ifndef WITHOUT_LEASE_TOLD
  remembered[k] = remembered[k] || known;
#endif
  known = remembered[k]
#else
  skip
#endif
}

/* FLUSHALL, or a restart without data. */
inline emptied(k)
{
  drop(k);
#ifdef UNEQUAL
  remembered[k] = 0
#endif
}

/* Head 3: compare-and-set on what was seen; everything is dropped, except the known leases. An id that nothing knows any more stands for a new one. */
inline new_epoch(k)
{
  d_step {
    drop(k);
#ifdef WITHOUT_LEASES_KEPT
    remembered[k] = 0;
#endif
    id = 1;
    do
    :: id < EPOCHS && IN_USE(id) -> id++
    :: id < EPOCHS && !IN_USE(id) -> covered[id] = 0; epoch[k] = (epoch[k] == 0 -> id : epoch[k]); id++
    :: id == EPOCHS -> break
    od;
    writer[k] = k; id = 0
  }
}

/* A node that restarts, or stops being primary, breaks its connections: messages on their way there are lost. */
inline connections_break(k)
{
  d_step {
    late[0] = (away[0] && script != travelling && node == k -> 1 : late[0]);
    proof = (revocation == written && at == k -> not_begun : proof);
    revocation = (revocation == written && at == k -> asked : revocation)
  }
}

/* Another process, or a promotion: everything written under the earlier run id has no writer. */
inline new_run(k)
{
  d_step {
    writer[0] = (writer[0] == k -> NO_NODE : writer[0]);
    writer[1] = (writer[1] == k -> NO_NODE : writer[1]);
#ifndef WITHOUT_RUN_ID
    /* No head lets a script read these again, so they are forgotten here: fewer states to search. */
    if
    :: writer[0] == NO_NODE -> drop(0)
    :: else -> skip
    fi;
    if
    :: writer[1] == NO_NODE -> drop(1)
    :: else -> skip
    fi
#endif
  }
}

proctype environment(byte k)
{
  do
  :: atomic { primary[k] && failures < FAILURES -> failures++; connections_break(k);
       if
       :: skip                                      /* a restart on its own data */
       :: entry[k] -> entry[k] = 0; receipt[k] = 0  /* ... on older data */
       :: MAY_BE_EMPTIED -> emptied(k)              /* ... empty */
       fi;
       new_run(k)
     }
  :: atomic { MAY_BE_EMPTIED && primary[k] && failures < FAILURES -> failures++; emptied(k) } /* FLUSHALL: the run id stays */
  od
}

#if NODES == 3
proctype failover()
{
  /* Node 1 takes over with what it has; node 0 does not know yet. */
  atomic { failures < FAILURES -> failures++;
    primary[1] = 1; copy(1, 0);
    if
    :: skip
    :: entry[1] -> entry[1] = 0; receipt[1] = 0
    fi
  }
  do
  :: atomic { !moved -> moved = 1; thirdFollows = 1 }
  /* Node 0 is demoted. What a follower has is read only if it is promoted. */
  :: atomic { primary[0] && primary[1] -> primary[0] = 0; connections_break(0);
#ifdef REPROMOTION
       copy(0, 1)
#else
       drop(0)
#endif
     }
#ifdef REPROMOTION
  /* A second failover: node 1 is gone, the third node follows node 0 again. */
  :: atomic { !primary[0] -> primary[0] = 1; primary[1] = 0; thirdFollows = 0; connections_break(1);
#ifdef REPLICATION_ID
       new_run(0);
#endif
       break
     }
#endif
  od
}
#endif

proctype replica()
{
  do
  :: atomic { !away[0] -> take_t0(0) }

  /* The script, at whichever node believes itself to be primary. */
  :: atomic { away[0] && script == travelling && !late[0] ->
       if
       :: primary[0] -> node = 0
#if NODES == 3
       :: primary[1] -> node = 1
#endif
       fi;
       if
       :: !GENERATION_HOLDS(node) -> new_epoch(node); round_over(0); node = 0
       :: GENERATION_HOLDS(node) && epoch[node] != epochA -> script = other_epoch; replyEpoch = epoch[node]; brought = entry[node]
       :: GENERATION_HOLDS(node) && epoch[node] == epochA -> script = ok; replyEpoch = epochA; brought = entry[node];
            listed[node] = 1; receipt[node] = view;
#ifdef UNEQUAL
            remembered[node] = 1
#endif
       fi
     }
  /* WAIT. */
  :: atomic { script == ok && !acknowledged && !late[0] && RENEWAL_COUNTS(node) -> acknowledged = 1 }

  /* The reply. */
  :: atomic { script != travelling ->
       if
       :: late[0] -> skip
       :: !late[0] && script == other_epoch ->
            /* Fence and join again; join.pml has the order within a join. It yields no lease, and no sight of the epoch. */
            lapse(0); epochA = replyEpoch; view = brought; sight = not_begun
#ifdef WITHOUT_ACKNOWLEDGED_SIGHT
            ; sight = begun; begin_wait(SIGHT)
#endif
       :: !late[0] && script == ok && !acknowledged -> skip
       :: !late[0] && script == ok && acknowledged ->
            view = view || brought; grant(0);
            if
            :: sight == not_begun -> sight = begun; begin_wait(SIGHT)
            :: else -> skip
            fi
       fi;
       script = travelling; node = 0; replyEpoch = 0; brought = 0; acknowledged = 0; round_over(0)
     }
  :: atomic { away[0] && !late[0] -> late[0] = 1 }
  :: atomic { away[0] && script == travelling && late[0] -> round_over(0) }
  :: atomic { lease[0] -> lapse(0) }

  :: atomic { sight == begun -> sight = over; end_wait(SIGHT) }

  /* Check: lease, the credential's `ep` is mine, no entry covers it. */
  :: atomic { lease[0] && !view && covered[epochA] -> assert(revocation != complete) }
  od
}

/* Settling, and signing in. The start of a sign-in counts: from there on the credential is assumed to be issued. */
proctype mint(byte k)
{
  do
  :: atomic { revocation == idle && primary[k] && GENERATION_HOLDS(k) && !settled[k] && sight == over && epochA == epoch[k] -> settled[k] = 1 }
  :: atomic { revocation == idle && primary[k] && GENERATION_HOLDS(k) && !settled[k] && generation == over && epochR == epoch[k] -> settled[k] = 1 }
  :: atomic { primary[k] && GENERATION_HOLDS(k) && MAY_SIGN_IN(k) && revocation == idle && !covered[epoch[k]] -> covered[epoch[k]] = 1 }
  od
}

proctype replica_that_was_asked(byte k)
{
  do
  /* Renewals. */
  :: atomic { primary[k] && !GENERATION_HOLDS(k) -> new_epoch(k) }
  :: atomic { primary[k] && GENERATION_HOLDS(k) && epoch[k] != epochR && RENEWAL_COUNTS(k) ->
       epochR = epoch[k]; leases(k); generation = begun; begin_wait(GENERATION)
     }
  :: atomic { k == 0 && generation == begun -> generation = over; end_wait_for(GENERATION, LONGEST_LEASE) }

  /* Revoke. */
  :: atomic { k == 0 && revocation == idle -> revocation = asked }
  :: atomic { revocation == asked && primary[k] && GENERATION_HOLDS(k) ->
       revocation = written; at = k; entry[k] = 1; registry = listed[k]
     }
  /* A follower's acknowledgement, with the reply or with a later write in the same generation; W is counted from there. */
#ifdef WITHOUT_WAIT_FROM_ACKNOWLEDGEMENT
  :: atomic { revocation == written && at == k && proof == not_begun -> proof = begun; begin_wait(PROOF) }
  :: atomic { revocation == written && at == k && STANDS(k) && REVOCATION_COUNTS(k) && proof != not_begun -> revocation = waiting }
#else
  :: atomic { revocation == written && at == k && STANDS(k) && REVOCATION_COUNTS(k) -> revocation = waiting;
       proof = begun; begin_wait(PROOF)
     }
#endif
  /* Nothing is proven before R has renewed itself: it knows of no replica. */
  :: atomic { k == 0 && proof == begun && epochR != 0 -> proof = over; end_wait_for(PROOF, LONGEST_LEASE) }
  :: atomic { k == 0 && revocation == waiting && proof == over -> revocation = complete }
  :: atomic { (revocation == waiting && at == k && STANDS(k) && epoch[k] == epochR && GENERATION_FOR_W && (!registry || receipt[k])) ->
       if
       :: registry -> skip       /* A's receipt */
       :: else -> skip           /* no other replica had come to this generation yet */
       fi;
       revocation = complete
     }
  od
}

init {
  atomic {
    primary[0] = 1; epoch[0] = 1; settled[0] = 1; covered[1] = 1; writer[1] = NO_NODE;
    epochA = 1; sight = over; epochR = 1; generation = over;
#ifdef UNEQUAL
    remembered[0] = 1;
    if
    :: known = 1
    :: newcomer = 1; epochR = 0; generation = not_begun
    fi;
#endif
#if NODES == 3
    thirdFollows = 0; run failover(); run environment(1); run mint(1); run replica_that_was_asked(1);
#endif
    run environment(0); run replica(); run mint(0); run replica_that_was_asked(0)
  }
}
