/*
 * The check and the cut: one replica, A, with one covered request, from its first check to its last byte.
 *
 * REVOCATION.md: Check, Fence, Cut, Renew (the reply, in one tick), Revoke 3 (a receipt is written after the cuts) and 5 (an entry
 * ends when no token that it covers can exist any more; a stream may live longer than its token).
 * A is one thread: a tick is one atomic step, but for the one place where the promise has its exception. Between a check and the
 * write behind it the process may be stopped (`checked`); nothing else happens in A until the write has been made.
 *
 * The promise, twice: after `complete` no byte passes, except one write whose check came before `complete` and only where A had to
 * be waited for as fenced; and where A's receipt was the proof, nothing covered is left that has been let in and not cut.
 *
 *   WITHOUT_CHECK_OF_EVERY_CHUNK  only the start of a stream is checked
 *   WITHOUT_CHECK_AFTER_AWAIT     a request that has waited (session, review, pool) is dispatched on the word of its first check
 *   WITHOUT_REGISTERING_FIRST     a request is registered after its first await, not in the tick of its first check
 *   WITHOUT_FENCE_FIRST           a lapsed lease is granted anew without a fence, be it by the next renewal or, where the log has
 *                                 moved on (GAP), by a join
 *   WITHOUT_CUT_BEFORE_RECEIPT    `live` takes the number that is being sent, not the one that has been applied
 *
 *   WITHOUT_FENCE_ON_RENEWAL      takes only the first half of FENCE_FIRST away. The promise holds all the same: as every entry after
 *                                 A's number comes with the lease, what is covered is cut by its entry. The fence is a second bolt there.
 */
#define HOLDERS 1
#include "time.h"
#define PROOF 1

/* The store. */
bool entry;              /* entry 1 has been written */
bool trimmed;            /* ... and has ended: no longer in log or idx */
bool receipt;            /* `live` shows n = 1 for A */

mtype:revocation = { idle, waiting, complete };
mtype:revocation revocation = idle;
bool byReceipt;

/* A. */
bool number;             /* my n */
bool view;               /* the view has entry 1 */
mtype:request = { none, awaiting, open };
mtype:request request = none;
bool registered;
bool checked;            /* between check and write */
bool interrupted;        /* seen from outside: a write was made after `complete` */
mtype:script = { travelling, entries, gap };
mtype:script script = travelling;
bool brought;

#define GOOD (lease[0] && !view)

inline end_request()
{
  d_step { request = none; registered = 0 }
}

/* Cut everything in flight. */
inline fence()
{
  d_step { request = (registered -> none : request); registered = 0 }
}

inline hand_byte_to_socket()
{
  if
  :: revocation == complete ->
       /* The exception: one write, its check made before, and A one of those that had to be waited for. */
       assert(checked && !interrupted && !byReceipt);
       interrupted = 1
  :: else -> skip
  fi;
  checked = 0
}

proctype replica()
{
  do
  /* First check, and registered in the same tick. Tokens that the entry covered have expired by the time it ends. */
  :: atomic { !checked && request == none && !trimmed && GOOD ->
       assert(revocation != complete);
       request = awaiting;
#ifndef WITHOUT_REGISTERING_FIRST
       registered = 1
#endif
     }

  /* After the await: dispatch. */
#ifdef WITHOUT_CHECK_AFTER_AWAIT
  :: atomic { !checked && request == awaiting -> request = open; hand_byte_to_socket() }
#else
  :: atomic { !checked && request == awaiting ->
#ifdef WITHOUT_REGISTERING_FIRST
       registered = 1;
#endif
       if
       :: GOOD -> assert(revocation != complete); request = open; checked = 1
       :: else -> end_request()
       fi
     }
#endif

  /* A chunk, either way; a retry goes back to waiting for the pool. */
#ifdef WITHOUT_CHECK_OF_EVERY_CHUNK
  :: atomic { !checked && request == open -> hand_byte_to_socket() }
#else
  :: atomic { !checked && request == open ->
       if
       :: GOOD -> assert(revocation != complete); checked = 1
       :: else -> end_request()
       fi
     }
#endif
  :: atomic { !checked && request == open -> request = awaiting }
  :: atomic { !checked && request != none -> end_request() }       /* it ends of itself */
  :: atomic { checked -> hand_byte_to_socket() }

  /* Renewal. */
  :: atomic { !checked && !away[0] -> take_t0(0) }
  :: atomic { away[0] && script == travelling && !late[0] ->         /* the store's step: A may be between check and write */
       if
       :: trimmed && !number -> script = gap
       :: else -> script = entries; brought = entry && !number;
#ifdef WITHOUT_CUT_BEFORE_RECEIPT
            receipt = entry
#else
            receipt = number
#endif
       fi
     }
  :: atomic { !checked && script != travelling ->
       if
       :: late[0] -> skip
       :: !late[0] && script == gap ->
#ifndef WITHOUT_FENCE_FIRST
            fence();
#endif
            number = 1; view = entry && !trimmed; lapse(0)  /* join: n, then idx */
       :: !late[0] && script == entries ->
#ifndef WITHOUT_FENCE_FIRST
#ifndef WITHOUT_FENCE_ON_RENEWAL
            if
            :: !lease[0] -> fence()
            :: else -> skip
            fi;
#endif
#endif
            if
            :: brought -> number = 1; view = 1; fence()     /* apply the entry: what it covers is cut */
            :: else -> skip
            fi;
            grant(0)
       fi;
       script = travelling; brought = 0; round_over(0)
     }
  :: atomic { away[0] && !late[0] -> late[0] = 1 }
  :: atomic { !checked && away[0] && script == travelling && late[0] -> round_over(0) }
  :: atomic { lease[0] -> lapse(0) }
  od
}

proctype replica_that_was_asked()
{
  revocation = idle;
  atomic { entry = 1; revocation = waiting; begin_wait(PROOF) }
  if
  :: atomic { receipt -> byReceipt = 1; revocation = complete; assert(request == none && !checked) }
  :: atomic { end_wait(PROOF); revocation = complete }
  fi;
  trimmed = 1
}

/* The exception does come about. */
proctype exception()
{
  atomic { interrupted -> skip }
}

init { atomic { run replica(); run replica_that_was_asked(); run exception() } }
