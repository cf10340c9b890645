/*
 * The check and the cut: one replica, A, with one covered request, from its first check to its last byte.
 *
 * docs/revocation-protocol.md#check, #fence, #cut, #renew (the reply, in one tick), and
 * docs/revocation-protocol.md#revoke-3 (a receipt is written after the cuts), #revoke-5 (an entry ends when no token that it covers
 * can exist any more; a stream may live longer than its token).
 * A is one thread: a tick is one atomic step, but for the one place where the promise has its exception. Between a check and the
 * write behind it the process may be stopped (`checked`); nothing else happens in A until the write has been made.
 * A piece of an upload goes from its check to its write through a generator, which takes some steps of the same turn (`pieces`). Between them other
 * steps of that turn may come, such as a response that is read and a cut; but nothing is sent before the turn is over, and the next
 * piece is pulled, and checked, only after the write of the one before. Where a cut came between, the piece may be written or be lost.
 *
 * The promise, twice: after `complete` no byte passes, except one write whose check came before `complete` and only where A had to
 * be waited for as fenced; and where A's receipt was the proof, nothing covered is left that has been let in and not cut.
 *
 *   WITHOUT_CHECK_OF_EVERY_CHUNK  only the start of a stream is checked
 *   WITHOUT_CHECK_AFTER_AWAIT     a request that has waited (session, review, pool) is dispatched because of its first check alone
 *   WITHOUT_REGISTERING_FIRST     a request is registered after its first await, not in the tick of its first check
 *   WITHOUT_FENCE_FIRST           a lapsed lease is granted again without a fence, be it by the next renewal or, where the log has
 *                                 moved on (GAP), by a join
 *   WITHOUT_CUT_BEFORE_RECEIPT    `live` takes the number that is being sent, not the one that has been applied
 *
 *   WITHOUT_WRITE_IN_THE_TURN     a timer or a socket stands between the check of a piece and its write: other turns come between
 *   WITHOUT_PULLING               pieces are pushed into a buffer, checked, and wait there
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
byte pieces;             /* of an upload: checked, and on their way to the socket */
#ifdef WITHOUT_PULLING
#define MOST_PIECES 2
#else
#define MOST_PIECES 1
#endif
#ifdef WITHOUT_WRITE_IN_THE_TURN
#define TURN_IS_OVER !checked
#else
#define TURN_IS_OVER (!checked && pieces == 0)
#endif
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

inline hand_piece_to_socket()
{
  if
  :: revocation == complete ->
       /* The same exception: the turn was interrupted. */
       assert(!interrupted && !byReceipt);
       interrupted = 1
  :: else -> skip
  fi;
  pieces--
}

proctype replica()
{
  do
  /* First check, and registered in the same tick. Tokens that the entry covered have expired by the time it ends. */
  :: atomic { TURN_IS_OVER && request == none && !trimmed && GOOD ->
       assert(revocation != complete);
       request = awaiting;
#ifndef WITHOUT_REGISTERING_FIRST
       registered = 1
#endif
     }

  /* After the await: dispatch. */
#ifdef WITHOUT_CHECK_AFTER_AWAIT
  :: atomic { TURN_IS_OVER && request == awaiting -> request = open; hand_byte_to_socket() }
#else
  :: atomic { TURN_IS_OVER && request == awaiting ->
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
  :: atomic { TURN_IS_OVER && request == open -> hand_byte_to_socket() }
#else
  :: atomic { TURN_IS_OVER && request == open ->
       if
       :: GOOD -> assert(revocation != complete); checked = 1
       :: else -> end_request()
       fi
     }
#endif
  /* A piece of an upload. */
  :: atomic { !checked && pieces < MOST_PIECES && request == open ->
       if
       :: GOOD -> assert(revocation != complete); pieces++
       :: else -> end_request()
       fi
     }
  :: atomic { !checked && pieces > 0 -> hand_piece_to_socket() }
  :: atomic { !checked && pieces > 0 && request == none -> pieces-- }

  :: atomic { TURN_IS_OVER && request == open -> request = awaiting }
  :: atomic { TURN_IS_OVER && request != none -> end_request() }   /* it ends of itself */
  :: atomic { checked -> hand_byte_to_socket() }

  /* Renewal. */
  :: atomic { TURN_IS_OVER && !away[0] -> take_t0(0) }
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
  :: atomic { receipt -> byReceipt = 1; revocation = complete; assert(request == none && !checked && pieces == 0) }
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
