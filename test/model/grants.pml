/*
 * A grant: groups that a session has for a while, from its begin to its end, on a replica with a lease and on R, the one that ends it.
 *
 * docs/revocation-protocol.md#grants. The grant has one end, as it was approved. It is over at that end by the store's clock, or earlier by
 * the entry of the revocation log that ends it or its session. A replica learns how long it has from a read of the session, and counts
 * that down on its own monotonic clock, from before it asked.
 *
 * As in time.h no clock is modelled, only an order. A deadline is one of:
 *   first     what the store had left when it was read, counted from before the read: it has passed when the approved end comes
 *   second    the same, read after the store's clock was set back: it passes when the store's clock comes to that end again
 *   later     no such bound: counted from the reply, or no deadline at all
 *   over      it has passed
 * The drift of a monotonic clock is in the division by 1.001, so each deadline but `later` may pass earlier, and none passes later.
 * The store's clock may be set once, by any amount, either way. An attacker who can write to Redis may put the grant back into the
 * session once it has been ended (but none does so and sets the clock too: an entry that the clock has ended covers nothing).
 *
 * The promises:
 *   1. After the approved end no replica passes a byte with the grant, whether or not a message has come. Where the store's clock was
 *      set back, this holds for each replica that had read the grant before, and for the others at the store's own end.
 *   2. After `complete` of an end by an entry (the grant's or the session's) no replica passes a byte with the grant, whatever clocks do.
 *      Where a receipt was the proof, nothing that was made with it is left.
 *   3. A replica that has seen the notice of the begin makes no request of the session without the groups, until the end.
 *
 *   WITHOUT_END_BY_CLOCK              a grant is over when its entry comes, and not before
 *   WITHOUT_NEVER_EXTENDED            a later read replaces a deadline that is known
 *   WITHOUT_KNOWN_BEYOND_THE_CACHE    a deadline is forgotten with the session in the cache
 *   WITHOUT_T0_BEFORE_THE_READ        what is left counts from the arrival of the reply
 *   WITHOUT_CHECK_IN_THE_TICK         a timer cuts at the deadline, and no check asks for it
 *   WITHOUT_NOTICE                    the begin tells no one, so caches keep what they have
 *   WITHOUT_READ_AGAIN                a read that was under way when the notice came is used all the same
 *   WITHOUT_KEPT_UNTIL_ITS_OWN_END    the entry is forgotten as soon as it is proven
 *   WITHOUT_WHATEVER_NUMBER           the entry covers only what was made with a token from before it
 *   WITHOUT_REGISTERED_UNDER_GRANT    what is made with the grant is known under the keys of its session alone
 *   WITHOUT_SESSION_TOO               ... or under that of the grant alone
 *
 * Check and write are one step here, and there is one session. R has a fresh lease all the time, and applies the entry when it comes back. What
 * these leave out is in cut.pml, lease.pml and join.pml.
 */
#define HOLDERS 1
#include "time.h"
#define PROOF 1
#define A 0
#define R 1
#define REPLICAS 2

mtype:deadline = { unread, without, first, second, later, over };
#define LIVE(d) (d == first || d == second || d == later)

/* The store. */
bool begun;                       /* entry 1, a notice: the session has the grant */
bool stored;                      /* the grant stands in the session */
bool entry;                       /* entry 2: a notice, and the end */
mtype:target = { ofGrant, ofSession };
mtype:target target = ofGrant;
bool forgotten;                   /* entry 2 is over: no longer in log or idx */
bool receipt;                     /* of A */
bool byAttacker;

/* The clock of the store. */
mtype:setting = { right, back, forward };
mtype:setting setting = right;
bool ended;                       /* the approved end has come */
bool endedAgain;                  /* ... and where the clock was set back, once more */
#define OVER_FOR_THE_STORE (setting == forward || (setting == back -> endedAgain : ended))

mtype:revocation = { idle, written, complete };
mtype:revocation revocation = idle;

/* The replicas. */
byte number[REPLICAS];            /* my n: 0, 1, 2 */
bool view[REPLICAS];              /* entry 2 covers */
mtype:deadline cached[REPLICAS] = unread;   /* the session, as it is kept */
mtype:deadline known[REPLICAS] = without;   /* of the grant, whatever becomes of the session in the cache */
mtype:deadline stream[REPLICAS] = without;  /* made with the grant */
mtype:reading = { none, asking, replied };
mtype:reading reading[REPLICAS] = none;
mtype:deadline reply[REPLICAS] = without;
bool stale[REPLICAS];
bool hadRead[REPLICAS];           /* seen from outside: has read the grant when the store's clock was right */

#define LEASE_OF(i) (i == R || lease[A])
#define ENDED_BY(i, which) (view[i] && target == which)

/* What covers a stream, and cuts it. */
#ifdef WITHOUT_REGISTERED_UNDER_GRANT
#define STREAM_COVERED(i) ENDED_BY(i, ofSession)
#else
#ifdef WITHOUT_SESSION_TOO
#define STREAM_COVERED(i) ENDED_BY(i, ofGrant)
#else
#define STREAM_COVERED(i) (ENDED_BY(i, ofGrant) || ENDED_BY(i, ofSession))
#endif
#endif

#ifdef WITHOUT_CHECK_IN_THE_TICK
#define STREAM_IN_TIME(i) true
#else
#define STREAM_IN_TIME(i) LIVE(stream[i])
#endif

/* A byte that passes with the grant at replica i. */
inline pass(i)
{
  assert(revocation != complete);
  assert(!ended || (setting == back && !hadRead[i] && !endedAgain))
}

/* A deadline passes, for replica i. */
inline passes(i, which)
{
  d_step {
    cached[i] = (cached[i] == which -> over : cached[i]);
    known[i] = (known[i] == which -> over : known[i]);
    stream[i] = (stream[i] == which -> over : stream[i]);
    reply[i] = (reply[i] == which -> over : reply[i])
  }
}

inline end_stream(i)
{
  stream[i] = without
}

inline drop_cache(i)
{
#ifdef WITHOUT_KNOWN_BEYOND_THE_CACHE
  known[i] = without;
#endif
  cached[i] = unread; stale[i] = 1
}

inline fence(i)
{
  drop_cache(i); end_stream(i)
}

/* What a read of the session says: its grant, and how long that has left. */
inline read_session(i)
{
  if
  :: !stored || OVER_FOR_THE_STORE -> reply[i] = without
#ifdef WITHOUT_END_BY_CLOCK
  :: else -> reply[i] = later
#else
#ifdef WITHOUT_T0_BEFORE_THE_READ
  :: else -> reply[i] = later
#else
  :: else -> reply[i] = (setting == back -> second : first)
#endif
#endif
  fi;
  hadRead[i] = hadRead[i] || (LIVE(reply[i]) && setting == right)
}

/* The earlier of two deadlines, `without` for none. */
#define EARLIER(old, new) (old == over || old == first && new != over || old == second && new == later -> old : new)

inline use_reply(i)
{
  if
  :: reply[i] == without -> skip
#ifdef WITHOUT_NEVER_EXTENDED
  :: else -> known[i] = reply[i]
#else
  :: else -> known[i] = EARLIER(known[i], reply[i]); reply[i] = known[i]
#endif
  fi;
  if
#ifndef WITHOUT_READ_AGAIN
  :: stale[i] -> skip
#endif
  :: else -> cached[i] = reply[i]
  fi;
  reading[i] = none; reply[i] = without; stale[i] = 0
}

inline apply_begin(i)
{
  number[i] = 1;
#ifndef WITHOUT_NOTICE
  drop_cache(i)
#endif
}

/* The view, the caches, the cut. */
inline apply_end(i)
{
  number[i] = 2; view[i] = 1; drop_cache(i);
  if
  :: stream[i] != without && STREAM_COVERED(i) -> end_stream(i)
  :: else -> skip
  fi
}

inline read_under_way(i)
{
  d_step { reading[i] = asking; stale[i] = 0 }
}

proctype requests(byte i)
{
  do
  /* The session is read where it is not kept. */
  :: atomic { cached[i] == unread && reading[i] == none && LEASE_OF(i) -> read_under_way(i) }
  :: atomic { reading[i] == asking -> reading[i] = replied; read_session(i) }
  :: atomic { reading[i] == replied -> use_reply(i) }

  /* A request: checked, registered and sent. It may go on as a stream. */
  :: atomic { LEASE_OF(i) && !ENDED_BY(i, ofSession) && LIVE(cached[i]) && !ENDED_BY(i, ofGrant) -> pass(i);
       if
       :: stream[i] == without -> stream[i] = cached[i]
       :: skip
       fi
     }
#ifdef WITHOUT_WHATEVER_NUMBER
  /* The session goes on, and has minted another token since. */
  :: atomic { LEASE_OF(i) && LIVE(cached[i]) && entry && target == ofGrant -> pass(i) }
#endif
  /* ... without the groups, where the session is kept without them. */
  :: atomic { LEASE_OF(i) && cached[i] == without && number[i] == 1 ->
       assert(entry || ended || setting != right || known[i] == over) }

  /* A chunk. */
  :: atomic { stream[i] != without && LEASE_OF(i) && !STREAM_COVERED(i) && STREAM_IN_TIME(i) -> pass(i) }
  :: atomic { stream[i] != without -> end_stream(i) }    /* cut by the timer, rejected at a chunk, or it ends of itself */

  /* The deadline passes early: the replica's clock is fast, or the request took its time. */
  :: atomic { i == A && known[i] == first -> passes(i, first) }
  :: atomic { i == A && known[i] == second -> passes(i, second) }
  od
}

/* A: renews, is stopped, dies and comes back. Its lease ends by the wait of R or with the process; lease.pml and cut.pml have every other moment. */
proctype replica()
{
  bool executed, gap;
  byte brought;

  do
  :: atomic { !away[A] -> take_t0(A) }
  :: atomic { away[A] && !late[A] && !executed ->
       executed = 1; gap = forgotten && number[A] < 2; brought = (entry -> 2 : begun); receipt = number[A] == 2 }
  :: atomic { executed ->
       if
       :: late[A] -> skip
       :: !late[A] && gap -> fence(A); number[A] = 2; view[A] = 0; lapse(A)
       :: else ->
            if
            :: !lease[A] -> fence(A)
            :: else -> skip
            fi;
            if
            :: brought >= 1 && number[A] < 1 -> apply_begin(A)
            :: else -> skip
            fi;
            if
            :: brought == 2 && number[A] < 2 -> apply_end(A)
            :: else -> skip
            fi;
            grant(A)
       fi;
       executed = 0; gap = 0; brought = 0; round_over(A)
     }
  :: atomic { away[A] && !executed && late[A] -> round_over(A) }
  :: atomic { view[A] && forgotten -> view[A] = 0 }

  /* Killed; another process joins, with nothing in memory: n, then idx. */
  :: atomic { begun && !executed ->
       lapse(A); round_over(A); fence(A);
       known[A] = without; reading[A] = none; reply[A] = without; stale[A] = 0; hadRead[A] = 0;
       number[A] = (entry -> 2 : 1); view[A] = entry && !forgotten
     }
  od
}

proctype replica_that_was_asked()
{
  do
  :: atomic { begun && number[R] == 0 -> apply_begin(R) }

  /* Early, by its user or an approver; because the session ends; or because the grant is over: one replica writes it. */
  :: atomic { begun && revocation == idle -> revocation = written; entry = 1; stored = 0; begin_wait(PROOF);
       if
       :: target = ofGrant
       :: target = ofSession
       fi
     }
  :: atomic { entry && number[R] == 1 -> apply_end(R) }
  :: atomic { revocation == written && number[R] == 2 && receipt -> revocation = complete;
       assert(stream[R] == without && stream[A] == without) }
  :: atomic { revocation == written && number[R] == 2 -> end_wait(PROOF); revocation = complete }
  :: atomic { view[R] && forgotten -> view[R] = 0 }
  od
}

proctype store()
{
  do
  :: atomic { !begun -> begun = 1; stored = 1 }

  :: atomic { begun && !ended -> ended = 1; passes(A, first); passes(R, first) }
  :: atomic { ended && setting == back && !endedAgain -> endedAgain = 1; passes(A, second); passes(R, second) }
  :: atomic { begun && setting == right && !byAttacker ->
       if
       :: setting = back
       :: setting = forward
       fi
     }

  /* An entry is kept for as long as anything that it covers may exist: the grant's until the grant's own end, by the store's clock. */
#ifdef WITHOUT_KEPT_UNTIL_ITS_OWN_END
  :: atomic { revocation == complete && !forgotten && target == ofGrant -> forgotten = 1 }
#else
  :: atomic { revocation == complete && !forgotten && target == ofGrant && OVER_FOR_THE_STORE -> forgotten = 1 }
#endif

  /* An attacker puts the sealed grant back. */
  :: atomic { entry && target == ofGrant && !stored && setting == right -> stored = 1; byAttacker = 1 }
  od
}

init {
  atomic { run requests(A); run requests(R); run replica(); run replica_that_was_asked(); run store() }
}
