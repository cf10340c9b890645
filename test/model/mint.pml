/*
 * The mint: a sign-in held half-way and a refresh held half-way while the account is revoked.
 *
 * docs/revocation-protocol.md#mint, #check (`ln`), #revoke-2 (watermark, lock, which sessions are deleted at once and which later).
 * One primary generation. The other models show that entry 1 is applied wherever it counts, so here every check sees it from
 * `complete` on. The account's revocation covers what started before its script; with a lock it covers all that comes as well.
 *
 *   WITHOUT_MINT_IN_ONE_SCRIPT  the state that a mint depends on is read first, and a second script writes
 *   WITHOUT_NUMBER_AT_START     the watermark is held against the log's number now, not that at which the sign-in or session started
 *   WITHOUT_WATERMARK           no watermark: a user at the provider's page has no session yet that could be deleted
 *   WITHOUT_LOCK                the mint does not check the lock
 */
#define REFRESH 0               /* of a session that is there from the beginning */
#define SIGN_IN 1
#define MINTS 2

/* The store. */
bool entry;                     /* the log's number: 0 or 1 */
bool watermark;                 /* the account's: 0 or 1 */
bool lock;
bool session = 1;               /* the session record of REFRESH */

/* What stands outside: each mint's progress and the credential that came of it. */
mtype:step = { idle, started, read, done };
mtype:step step[MINTS] = idle;
bool startNumber[MINTS];        /* the number at which the sign-in, or the session, started */
bool startedAfter[MINTS];       /* seen from outside: it started after the revocation's script */
bool credential[MINTS];
bool ln[MINTS];                 /* the claim */

mtype:revocation = { none, written, complete };
mtype:revocation revocation = none;
bool withLock;                  /* the revocation carries a lock */

#define COVERED(i) (withLock || !startedAfter[i])

#ifdef WITHOUT_NUMBER_AT_START
#define BELOW_WATERMARK(i) (entry < watermark)
#else
#ifdef WITHOUT_WATERMARK
#define BELOW_WATERMARK(i) false
#else
#define BELOW_WATERMARK(i) (startNumber[i] < watermark)
#endif
#endif
#ifdef WITHOUT_LOCK
#define MAY_MINT(i) ((i == SIGN_IN || session) && !BELOW_WATERMARK(i))
#else
#define MAY_MINT(i) ((i == SIGN_IN || session) && !lock && !BELOW_WATERMARK(i))
#endif

proctype mint(byte i)
{
  /* A sign-in may begin at any time; the session that is refreshed began before everything. */
  atomic {
    if
    :: i == SIGN_IN -> startNumber[i] = entry; startedAfter[i] = entry
    :: else -> skip
    fi;
    step[i] = started
  }
#ifdef WITHOUT_MINT_IN_ONE_SCRIPT
  atomic {
    if
    :: MAY_MINT(i) -> step[i] = read
    :: else -> step[i] = done
    fi
  }
  atomic { step[i] == read -> credential[i] = 1; ln[i] = entry; step[i] = done }
#else
  atomic {
    if
    :: MAY_MINT(i) -> credential[i] = 1; ln[i] = entry
    :: else -> skip
    fi;
    step[i] = done
  }
#endif
}

proctype revoke()
{
  /* One script: entry, watermark, lock; the session's record now or later. */
  atomic {
    entry = 1;
    if
    :: withLock = 1
    :: withLock = 0
    fi;
    watermark = 1;
    lock = withLock;
    if
    :: session = 0
    :: skip
    fi;
    revocation = written
  }
  revocation = complete;
  session = 0
}

/* Check: no entry covers the credential with a number above its `ln`. */
proctype check(byte i)
{
  atomic { revocation == complete && credential[i] && ln[i] >= 1 ->
    assert(!COVERED(i))
  }
}

/* The search is worth something only if credentials do come about on both sides of the revocation. */
proctype seen()
{
  if
  :: credential[REFRESH] && revocation == none -> skip
  :: credential[SIGN_IN] && revocation == none -> skip
  :: credential[SIGN_IN] && ln[SIGN_IN] == 1 -> skip   /* a fresh sign-in after a revocation without a lock */
  :: step[SIGN_IN] == done && !credential[SIGN_IN] -> skip
  :: step[REFRESH] == done && !credential[REFRESH] -> skip
  fi
}

init {
  atomic { run mint(REFRESH); run mint(SIGN_IN); run revoke(); run check(REFRESH); run check(SIGN_IN); run seen() }
}
