/*
 * Unlocking, and the set `unlocked`: a survivor must not undo a later decision of an admin, and must restore what it alone knows.
 *
 * docs/revocation-protocol.md#head-3. Modelled as the code does it: `remove-lock` deletes the lock, puts the account into `unlocked`
 * and writes an entry; the renewal brings with each entry what the store says of the lock now; in a new epoch a replica first runs `restore-locks` (the lock comes
 * back unless the epoch has one, or has unlocked the account), then reads all locks, and only then renews. A new epoch drops `unlocked`.
 *
 * One account, locked at first, which admins unlock and lock DECISIONS times; A knows of it. CHANGES times the primary generation ends: on its own data,
 * on an earlier copy, or empty. The promises:
 *
 *   An account that was unlocked in this epoch is not locked again in it, whatever an earlier one knew.
 *   An account whose unlocking A has learnt of is not locked again by A, ever.
 *   An account that is locked does not mint once A, which has learnt of the lock, has a lease in the epoch.
 *
 * Outside: a survivor that missed the unlocking and comes back in the epoch after next locks again. No user gains access by that.
 *
 *   WITHOUT_UNLOCKED_SET      a survivor writes back whatever the epoch has no lock for
 *   WITHOUT_UNLOCKED_DROPPED  `unlocked` outlives epochs: an earlier copy remembers an unlocking, and not the lock that came after it
 *   WITHOUT_LEARNING          the renewal brings entries and not what they changed
 *   WITHOUT_RESTORE_FIRST     a replica reads the locks of a new epoch, and does not write back its own
 */
#define CHANGES 3
#define DECISIONS 3

/* The store, and the copy that it may come back with. */
byte epoch = 1;
bool generationOver;
bool lock = 1, lockThen = 1;
bool unlocked, unlockedThen;
byte changes, decisions;

/* The result that the admins saw, seen from outside. */
bool isLocked = 1;
byte decidedIn = 1;      /* the epoch of the last decision */

/* A. */
byte leaseA = 1;         /* the epoch of its last lease, in which it knows the locks */
byte seenA = 1;          /* the epoch that it is about to join */
bool restored;           /* ... where it has written back what it knows */
bool knowsA = 1;         /* its knowledge of the lock */
bool learnt = 1;         /* it has had a lease since the last decision, in the epoch of that */

inline new_epoch()
{
  epoch++; generationOver = 0;
#ifndef WITHOUT_UNLOCKED_DROPPED
  unlocked = 0
#endif
}

inline decided(what)
{
  decisions++; isLocked = what; decidedIn = epoch; learnt = 0
}

proctype environment()
{
  do
  :: atomic { changes < CHANGES && !generationOver -> lockThen = lock; unlockedThen = unlocked }  /* a copy is made */
  :: atomic { changes < CHANGES -> changes++; generationOver = 1;
       if
       :: skip                                               /* on its own data */
       :: lock = lockThen; unlocked = unlockedThen           /* on the copy */
       :: lock = 0; unlocked = 0                             /* empty */
       fi
     }
  :: atomic { generationOver -> new_epoch() }                    /* by another replica, which knows of no lock */
  od
}

proctype admin()
{
  do
  :: atomic { !generationOver && decisions < DECISIONS && lock -> lock = 0; unlocked = 1; decided(0) }
  :: atomic { !generationOver && decisions < DECISIONS && !lock -> lock = 1; unlocked = 0; decided(1) }
  od
}

inline read_locks()
{
  knowsA = lock; leaseA = epoch;
  learnt = (decidedIn == epoch -> 1 : learnt);
  learnt = (lock && !isLocked -> 0 : learnt)                 /* a copy that has missed the unlocking as well */
}

proctype survivor()
{
  do
  :: atomic { !generationOver && seenA != epoch -> seenA = epoch; restored = 0 }

  /* restore-locks: may come twice, where what follows it did not succeed. */
  :: atomic { !generationOver && seenA == epoch && leaseA != epoch ->
       if
#ifdef WITHOUT_UNLOCKED_SET
       :: knowsA && !lock ->
#else
       :: knowsA && !lock && !unlocked ->
#endif
            assert(isLocked || (decidedIn != epoch && !learnt));
            lock = 1
       :: else -> skip
       fi;
       restored = 1
     }
  /* read-locks, and the first renewal. */
#ifdef WITHOUT_RESTORE_FIRST
  :: atomic { !generationOver && seenA == epoch && leaseA != epoch -> read_locks() }
#else
  :: atomic { !generationOver && seenA == epoch && leaseA != epoch && restored -> read_locks() }
#endif
  /* A later renewal, with the entry of the decision. */
  :: atomic { !generationOver && leaseA == epoch && decidedIn == epoch && !learnt ->
#ifndef WITHOUT_LEARNING
       knowsA = lock;
#endif
       learnt = 1
     }
  od
}

proctype mint()
{
  do
  :: atomic { !generationOver && leaseA == epoch && !lock ->
       assert(!isLocked || !learnt);
       if
       :: isLocked -> skip        /* the lock was lost before A had learnt of it */
       :: !isLocked -> skip
       fi
     }
  :: atomic { !generationOver && leaseA == epoch && epoch > decidedIn && isLocked && lock -> skip }  /* it came through */
  od
}

init { atomic { run environment(); run admin(); run survivor(); run mint() } }
