/*
 * The lease and the proof: one node of Redis, one primary generation, nothing forgotten.
 *
 * docs/revocation-protocol.md#wait, #incarnation, #renew, #check, #revoke-1, #revoke-2, #revoke-3.
 * Two replicas renew and check; R, the replica that was asked, writes entry number 1 and responds once it is proven. A covered
 * credential (ln = 0) is presented to every replica all the time.
 *
 *   WITHOUT_T0_BEFORE_SENDING    the lease is counted from the arrival of the reply
 *   WITHOUT_ENTRIES_WITH_LEASE   the lease comes alone, and the entries by the tail
 *   WITHOUT_RANDOM_INCARNATION   both replicas sign `live` with one name: a pod that came back, the old process being cut off
 *   WITHOUT_WAIT_FROM_ARRIVAL    R counts W from when it sent the revocation
 *   WITHOUT_SILENCE_FOR_W        a count that has not moved since R last read it counts as fenced, however short ago that was
 *   WITHOUT_LOCAL_GUARD          R does not reject the target itself
 *
 *   UNEQUAL     replica 0 has a longer lease than all others, R included: the setting is being changed. It has registered it; or it is of a
 *               version that does not, and R takes it for as long as there may be one
 *   WITHOUT_LEASE_OF_THE_SILENT        R counts a silent replica as fenced after W of R's own lease
 *   WITHOUT_LONGEST_LEASE              R counts W from the arrival by its own lease, not by the longest of the registry
 *   WITHOUT_LONGEST_FOR_UNREGISTERED   R counts a lease that is not registered as one like its own
 */
#define HOLDERS 2
#ifdef UNEQUAL
#define LEASE(i) (i == 0 -> LONG : SHORT)
#endif
#include "time.h"
#define PROOF 1           /* bits of time.h: R's wait after the reply */
#define SILENCE(i) (2 << (i)) /* R's wait since it first saw this count of replica i */

#ifdef WITHOUT_RANDOM_INCARNATION
#define KEY(i) 0
#else
#define KEY(i) (i)
#endif

/* The length that R assumes for the lease of replica i. */
#ifdef WITHOUT_LONGEST_FOR_UNREGISTERED
#define KNOWN_LEASE(i) SHORT
#else
#define KNOWN_LEASE(i) LEASE(i)
#endif
#ifdef WITHOUT_LEASE_OF_THE_SILENT
#define LEASE_OF_THE_SILENT(i) SHORT
#else
#define LEASE_OF_THE_SILENT(i) KNOWN_LEASE(i)
#endif
#ifdef WITHOUT_LONGEST_LEASE
#define LONGEST_LEASE SHORT
#else
#define LONGEST_LEASE (asked[0] && KNOWN_LEASE(0) == LONG || asked[1] && KNOWN_LEASE(1) == LONG -> LONG : SHORT)
#endif

/* The store. */
bool entry;               /* entry number 1 is in the log */
bool listed[HOLDERS];     /* `live` has this incarnation */
bool receipt[HOLDERS];    /* `live` shows n = 1 */

/* R's knowledge of the others' counts. */
mtype:watch = { unseen, seen, unmoved };
mtype:watch count[HOLDERS];

/* The revocation at R. */
mtype:revocation = { idle, sent, written, waiting, complete };
mtype:revocation revocation = idle;
bool asked[HOLDERS];      /* the registry that came back with n */
bool waited;              /* W has passed */
#define KNOWN_FENCED(i) (count[i] == unmoved)
#define PROVEN(i) (!asked[i] || receipt[i] || KNOWN_FENCED(i))

proctype replica(byte me)
{
  bool view;              /* entry 1 is applied here: view, LRU, cuts */
  bool executed;          /* the script of this round has run */
  bool brought;           /* ... and its reply carries entry 1 */

  do
  :: atomic { !away[me] -> take_t0(me) }

  /* Renew, the script: live[me] = {count + 1, n, ...}; all entries after my n come back. */
  :: atomic { away[me] && !executed ->
       executed = 1;
       listed[KEY(me)] = 1;
       receipt[KEY(me)] = view;
       brought = entry;
       count[KEY(me)] = (entry -> count[KEY(me)] : unseen)  /* R compares with the registry that came with n */
     }

  /* The reply, in one tick: apply the entries, then the deadline. */
  :: atomic { executed ->
       if
#ifdef WITHOUT_T0_BEFORE_SENDING
       :: awayOlder[me] = 0; late[me] = 0; view = view || brought; grant(me)
#else
       :: late[me] -> skip
       :: else ->
#ifndef WITHOUT_ENTRIES_WITH_LEASE
            view = view || brought;
#endif
            grant(me)
#endif
       fi;
       executed = 0; brought = 0; round_over(me)
     }

#ifdef WITHOUT_ENTRIES_WITH_LEASE
  :: atomic { entry && !view -> view = 1 }
#endif

  /* The request or the reply is lost, or the lease lapses: at any moment. */
  :: atomic { away[me] && !late[me] -> late[me] = 1 }
  :: atomic { away[me] && !executed && late[me] -> round_over(me) }
  :: atomic { lease[me] -> lapse(me) }

  /* Check: now < deadline, and no entry covers the credential. */
  :: atomic { lease[me] && !view -> assert(revocation != complete) }
  od
}

proctype replica_that_was_asked()
{
  bool shut;              /* local guard */
  bool view;
  byte i;

  do
  /* R sees the others' counts with each of its own renewals. */
  :: atomic { revocation == idle ->
       select(i : 0 .. HOLDERS - 1);
       if
       :: listed[i] && count[i] == unseen -> count[i] = seen; begin_wait(SILENCE(i))
       :: else -> skip
       fi;
       i = 0
     }
  :: atomic { count[0] == seen -> count[0] = unmoved;
#ifndef WITHOUT_SILENCE_FOR_W
       end_wait_for(SILENCE(0), LEASE_OF_THE_SILENT(0))
#endif
     }
  :: atomic { count[1] == seen -> count[1] = unmoved;
#ifndef WITHOUT_SILENCE_FOR_W
       end_wait_for(SILENCE(1), LEASE_OF_THE_SILENT(1))
#endif
     }

  /* 1. Hold in the local guard and cut, first. 2. The script. */
  :: atomic { revocation == idle -> revocation = sent; shut = 1;
#ifdef WITHOUT_WAIT_FROM_ARRIVAL
       begin_wait(PROOF)
#endif
     }
  :: atomic { revocation == sent -> revocation = written; entry = 1; asked[0] = listed[0]; asked[1] = listed[1] }

  /* 3. From the arrival of the reply. */
  :: atomic { revocation == written -> revocation = waiting;
#ifndef WITHOUT_WAIT_FROM_ARRIVAL
       begin_wait(PROOF)
#endif
     }
#ifdef WITHOUT_WAIT_FROM_ARRIVAL
  :: atomic { revocation != idle && revocation != complete && !waited -> waited = 1; end_wait_for(PROOF, LONGEST_LEASE) }
#else
  :: atomic { revocation == waiting && !waited -> waited = 1; end_wait_for(PROOF, LONGEST_LEASE) }
#endif
  :: atomic { revocation == waiting && waited -> revocation = complete }
  :: atomic { (revocation == waiting && PROVEN(0) && PROVEN(1)) ->
       if
       :: asked[0] && asked[1] && receipt[0] && receipt[1] -> skip    /* two receipts */
       :: asked[0] && receipt[0] && KNOWN_FENCED(1) && !receipt[1] -> skip  /* one receipt, one known to be fenced */
       :: else -> skip
       fi;
       revocation = complete
     }

  /* The entry comes back through the log, and the local guard releases it. */
  :: atomic { entry && !view -> view = 1; shut = 0 }

  /* R's own check; its lease is assumed to be always fresh. */
#ifdef WITHOUT_LOCAL_GUARD
  :: atomic { !view -> assert(revocation != complete) }
#else
  :: atomic { !shut && !view -> assert(revocation != complete) }
#endif
  od
}

init {
  atomic {
    count[0] = unseen; count[1] = unseen;
    run replica(0); run replica(1); run replica_that_was_asked()
  }
}
