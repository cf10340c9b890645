/*
 * Delegated sessions: a child and a grandchild beneath a user's own session, which is revoked while they are opened, refreshed and
 * in use on two replicas.
 *
 * docs/revocation-protocol.md#ancestors. There is one entry, that of the user's own session, and none for what is beneath it. The other
 * models show that the entry comes with each lease and that `complete` waits for both replicas, so here `complete` means that both have
 * applied it, with their cuts. What a script reads and writes is one step. Sessions beneath it may be opened and tokens minted at any
 * time, any number of times; whether the revocation deletes their records is left open, since nothing relies on it.
 *
 * The promise: after `complete` no replica accepts a token of the child or of the grandchild, whenever it was minted, and no stream of
 * theirs is left.
 *
 *   WITHOUT_ANCESTORS            an entry covers only the session that it names
 *   WITHOUT_WHOLE_CHAIN          a token names its parent alone, and a script looks at the parent alone
 *   WITHOUT_REGISTERED_BENEATH   a stream is not registered under the sessions above its own
 *   WITHOUT_PARENT_ALIVE         a mint looks at its own session alone
 *   WITHOUT_PARENT_IN_THE_SCRIPT whether those above are alive is read first, and a second script mints
 */
#define CHILD 0
#define GRANDCHILD 1
#define SESSIONS 2
#define REPLICAS 2

/* The store. */
bool entry;                      /* the log's number: 0 or 1 */
bool own = 1;                    /* the records */
bool record[SESSIONS];

/* What stands outside: tokens, by the number at which they were minted. */
bool early[SESSIONS];            /* ln = 0 */
bool late[SESSIONS];             /* ln = 1 */

/* The replicas. */
bool view[REPLICAS];             /* has applied the entry */
mtype:stream = { none, ofChild, ofGrandchild };
mtype:stream stream[REPLICAS] = none;

mtype:revocation = { idle, written, complete };
mtype:revocation revocation = idle;

#ifdef WITHOUT_WHOLE_CHAIN
#define NAMES_OWN(s) (s == CHILD)
#define ALL_ABOVE(s) (s == CHILD -> own : record[CHILD])
#else
#define NAMES_OWN(s) true
#define ALL_ABOVE(s) (own && (s == CHILD || record[CHILD]))
#endif

#ifdef WITHOUT_PARENT_ALIVE
#define MAY_MINT(s) record[s]
#else
#define MAY_MINT(s) (record[s] && ALL_ABOVE(s))
#endif

#ifdef WITHOUT_ANCESTORS
#define COVERED(i, s) false
#else
#define COVERED(i, s) (view[i] && NAMES_OWN(s))
#endif

/* A token that was minted at the entry or after it is not covered by it. */
#define ACCEPTS_EARLY(i, s) (early[s] && !COVERED(i, s))
#define ACCEPTS_LATE(i, s) late[s]

inline mint(s)
{
  early[s] = early[s] || !entry;
  late[s] = late[s] || entry
}

proctype session(byte s)
{
  do
  /* Delegate: what is above must be alive, in every model, and is read in the script that opens it. */
  :: atomic { !record[s] && ALL_ABOVE(s) -> record[s] = 1 }
#ifdef WITHOUT_PARENT_IN_THE_SCRIPT
  :: atomic { MAY_MINT(s) -> skip } ; atomic { mint(s) }
#else
  :: atomic { MAY_MINT(s) -> mint(s) }
#endif
  od
}

proctype revoke()
{
  /* One script: the entry, the session's own record; what is beneath it is deleted or not. */
  atomic {
    entry = 1;
    own = 0;
    if
    :: record[CHILD] = 0
    :: record[GRANDCHILD] = 0
    :: record[CHILD] = 0; record[GRANDCHILD] = 0
    :: skip
    fi;
    revocation = written
  }
  atomic { view[0] && view[1] ->
    assert(stream[0] == none && stream[1] == none);
    revocation = complete
  }
}

/* Of the stream, its session. */
#define SESSION_OF(i) (stream[i] == ofChild -> CHILD : GRANDCHILD)

proctype replica(byte i)
{
  do
  /* A request: checked, and registered in the same tick; it may go on as a stream. */
  :: atomic { stream[i] == none && (ACCEPTS_EARLY(i, CHILD) || ACCEPTS_LATE(i, CHILD)) ->
       assert(revocation != complete); stream[i] = ofChild }
  :: atomic { stream[i] == none && (ACCEPTS_EARLY(i, GRANDCHILD) || ACCEPTS_LATE(i, GRANDCHILD)) ->
       assert(revocation != complete); stream[i] = ofGrandchild }
  :: atomic { stream[i] != none -> stream[i] = none }   /* it ends of itself */
  /* The entry comes: applied, and what is registered under its key is cut. */
  :: atomic { entry && !view[i] ->
       view[i] = 1;
#ifndef WITHOUT_REGISTERED_BENEATH
       if
       :: stream[i] != none && NAMES_OWN(SESSION_OF(i)) -> stream[i] = none
       :: else -> skip
       fi
#endif
     }
  od
}

/* The search is worth something only if tokens and streams of both do come about, on both sides of the entry. */
proctype seen()
{
  if
  :: early[CHILD] && revocation == written -> skip
  :: early[GRANDCHILD] && revocation == written -> skip
  :: stream[0] == ofGrandchild && stream[1] == ofChild && entry -> skip
  :: revocation == complete && early[GRANDCHILD] -> skip
  fi
}

init {
  atomic { run session(CHILD); run session(GRANDCHILD); run revoke(); run replica(0); run replica(1); run seen() }
}
