/*
 * The join: how a replica that starts, or starts again, gets its first view.
 *
 * docs/revocation-protocol.md#join (take n first, then read idx, then renew from that n; serve after the first lease; nothing is ever
 * read from a follower). docs/revocation-protocol.md#renew, #revoke-1, #revoke-2, #revoke-3.
 * One replica joins while R revokes. It may die and start again; each start is a new incarnation.
 *
 *   WITHOUT_NUMBER_FIRST     idx is read before n is taken
 *   WITHOUT_PRIMARY_ONLY     idx is read from a follower, which may be behind
 *   WITHOUT_RENEWED_REGISTRY R asks for receipts from those that it knew before, not from the registry that came with n
 */
#define HOLDERS 1
#include "time.h"
#define PROOF 1
#define STARTS 2

/* The store: entry number 1 stands in log and idx, or nothing does. */
bool entry;
bool listed[STARTS];     /* `live`, an incarnation a start */
bool receipt[STARTS];

mtype:revocation = { idle, written, waiting, complete };
mtype:revocation revocation = idle;
bool asked[STARTS];

#define PROVEN(i) (!asked[i] || receipt[i])

mtype:step = { outside, one, joined };

proctype replica_that_joins()
{
  byte incarnation;
  mtype:step step = outside;
  bool number;           /* my n */
  bool view;             /* the view has entry 1 */
  bool executed, brought;

  do
#ifdef WITHOUT_NUMBER_FIRST
  :: atomic { step == outside -> step = one; view = entry }
  :: atomic { step == one -> step = joined; number = entry }
#else
  :: atomic { step == outside -> step = one; number = entry }
  :: atomic { step == one -> step = joined; view = entry }
#endif
#ifdef WITHOUT_PRIMARY_ONLY
  :: atomic { step == one -> step = joined; view = 0 }
#endif

  :: atomic { step == joined && !away[0] -> take_t0(0) }
  :: atomic { away[0] && !executed ->
       executed = 1;
       listed[incarnation] = 1;
       receipt[incarnation] = number;
       brought = entry && !number        /* entries after my n */
     }
  :: atomic { executed ->
       if
       :: late[0] -> skip
       :: else -> number = number || brought; view = view || brought; grant(0)
       fi;
       executed = 0; brought = 0; round_over(0)
     }
  :: atomic { away[0] && !late[0] -> late[0] = 1 }
  :: atomic { away[0] && !executed && late[0] -> round_over(0) }
  :: atomic { lease[0] -> lapse(0) }

  /* It dies, and another process starts in its place. */
  :: atomic { incarnation < STARTS - 1 ->
       incarnation++;
       lapse(0); round_over(0);
       step = outside; number = 0; view = 0; executed = 0; brought = 0
     }

  :: atomic { lease[0] && !view -> assert(revocation != complete) }
  od
}

proctype replica_that_was_asked()
{
#ifdef WITHOUT_RENEWED_REGISTRY
  bool known[STARTS];
#endif
  do
#ifdef WITHOUT_RENEWED_REGISTRY
  :: atomic { revocation == idle -> known[0] = listed[0]; known[1] = listed[1] }
  :: atomic { revocation == idle -> revocation = written; entry = 1; asked[0] = known[0]; asked[1] = known[1] }
#else
  :: atomic { revocation == idle -> revocation = written; entry = 1; asked[0] = listed[0]; asked[1] = listed[1] }
#endif
  :: atomic { revocation == written -> revocation = waiting; begin_wait(PROOF) }
  :: atomic { revocation == waiting -> revocation = complete; end_wait(PROOF) }
  :: atomic { (revocation == waiting && PROVEN(0) && PROVEN(1)) ->
       if
       :: asked[1] -> skip               /* the second incarnation gave its receipt */
       :: !asked[0] && !asked[1] -> skip /* no replica had been there */
       :: else -> skip
       fi;
       revocation = complete
     }
  od
}

init { atomic { run replica_that_joins(); run replica_that_was_asked() } }
