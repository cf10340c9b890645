/*
 * Time, as all these models see it.
 *
 * No clock is modelled, only the one fact that the protocol takes from clocks. W = L x 1.001 + 100 ms on the waiter's clock is
 * longer than L on any other clock, where L is that of the holder, so:
 *
 *     when a wait of W ends, every lease whose t0 lies before the wait began is over on its holder's own clock,
 *     and the reply to a renewal sent before the wait began is later than t0 + L, so it grants nothing.
 *
 * Each lease and each renewal on its way therefore carries one bit per wait: "my t0 is older than that wait". Beginning a wait
 * sets the bit in whatever is out; taking t0 clears the bits; the end of a wait ends what still carries its bit. Besides, a lease
 * may lapse and a renewal may come to nothing at any earlier moment, and a wait may last for ever.
 *
 * Leases are short or long (LEASE). A wait for a short one says nothing about a long one; a wait for a long one ends both.
 *
 * Sound: every run of real clocks that keep to the drift is a run here (and many more are, such as a lease that lapses at once).
 * A process that is slow, stopped (SIGSTOP), cut off or dead is one that takes no step for a while or ever again; messages are
 * delayed because sending, executing and receiving are separate steps, and are lost where a round "comes to nothing".
 */
#ifndef LEASE
#define LEASE(i) SHORT    /* the same for all, if a model does not say otherwise */
#endif
#define SHORT 0
#define LONG 1

bool lease[HOLDERS];      /* now < deadline */
byte leaseOlder[HOLDERS]; /* the waits that began after the lease's t0 */
bool away[HOLDERS];       /* a renewal is on its way */
byte awayOlder[HOLDERS];  /* the waits that began after the renewal's t0 */
bool late[HOLDERS];       /* the renewal on its way grants nothing: lost, an error, or later than t0 + L */
byte holder;              /* 0 outside the loops below */

inline begin_wait(wait)
{
  d_step {
    for (holder : 0 .. HOLDERS - 1) {
      leaseOlder[holder] = (lease[holder] -> leaseOlder[holder] | wait : 0);
      awayOlder[holder] = (away[holder] -> awayOlder[holder] | wait : 0)
    }
    holder = 0
  }
}

/* W of a lease of this length has passed. */
inline end_wait_for(wait, length)
{
  d_step {
    for (holder : 0 .. HOLDERS - 1) {
      lease[holder] = ((leaseOlder[holder] & wait) && LEASE(holder) <= (length) -> 0 : lease[holder]);
      late[holder] = ((awayOlder[holder] & wait) && LEASE(holder) <= (length) -> 1 : late[holder]);
      leaseOlder[holder] = (lease[holder] -> leaseOlder[holder] & (255 - wait) : 0);
      awayOlder[holder] = awayOlder[holder] & (255 - wait)
    }
    holder = 0
  }
}

inline end_wait(wait)
{
  end_wait_for(wait, LONG)
}

/* Renew, first half: t0 is taken before anything is sent. */
inline take_t0(me)
{
  d_step { away[me] = 1; awayOlder[me] = 0; late[me] = 0 }
}

/* Renew, last half: deadline = max(deadline, t0 + L). Rounds follow one another, so the later t0 is the later deadline. */
inline grant(me)
{
  d_step { lease[me] = 1; leaseOlder[me] = awayOlder[me] }
}

inline lapse(me)
{
  d_step { lease[me] = 0; leaseOlder[me] = 0 }
}

inline round_over(me)
{
  d_step { away[me] = 0; awayOlder[me] = 0; late[me] = 0 }
}
