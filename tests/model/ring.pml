/* SPDX-License-Identifier: Apache-2.0 */

/* The rings of transport/pony/abi/ring.c on a machine that reorders what C11 lets
 * it: one producer, one consumer, free-running cursors that wrap, a private copy of the other's
 * cursor at each side, items published in batches.
 *
 * The producer's stores reach memory in any order, unless a release (R1) waits for those before
 * it. The consumer's loads may happen early, before the cursor that covers them was read, unless
 * that was an acquire (A1); and late, after the slot was given back, unless that was a release
 * (R2). A2 has no fault to plant: no machine stores before it knows that it may.
 *
 * Checked by spin: what is taken is what was put, each once and in order; nobody waits for ever;
 * cursors are never further apart than there are slots. Each of these is found missing:
 *   -DNO_R1 -DNO_A1 -DNO_R2  an order on an access of a cursor
 *   -DOFF_BY_ONE             "full" is found one too late
 *   -DNO_WRAP                cursors are compared as if they did not wrap
 *   -DSTALE                  the producer never looks again at the consumer's cursor
 */

#define CAP   2  /* slots, a power of two */
#define WRAP  8  /* cursors count modulo this */
#define FIRST 6  /* where they begin: the wrap is on the way */
#define N     5  /* items, 1..N */

#define AFTER(a, b) (((a) + WRAP - (b)) % WRAP)
#define SLOT(at)    ((at) % CAP)

#ifdef OFF_BY_ONE
#define ROOM (CAP + 1)
#else
#define ROOM CAP
#endif

#ifdef NO_WRAP
#define IS_FULL(t, h) ((t) >= (h) + ROOM)
#else
#define IS_FULL(t, h) (AFTER(t, h) >= ROOM)
#endif

byte slot[CAP];     /* in memory */
byte tail = FIRST;  /* in memory: written by the producer */
byte head = FIRST;  /* in memory: written by the consumer */

/* The producer's stores that have not reached memory. */
byte slot_buf[CAP];
bool slot_full[CAP];
byte tail_buf;
bool tail_full;

inline drain_slot(i) { atomic { slot_full[i] -> slot[i] = slot_buf[i]; slot_full[i] = false } }

active proctype drain()
{
end:
    do
    :: drain_slot(0)
    :: drain_slot(1)
    :: atomic { tail_full -> tail = tail_buf; tail_full = false }
    od
}

active proctype producer()
{
    byte put = 0;            /* items put, 0..N */
    byte my_tail = FIRST;    /* private */
    byte published = FIRST;
    byte head_seen = FIRST;  /* private copy of head */
    do
    :: put < N && !IS_FULL(my_tail, head_seen) ->
        put++;
        atomic { !slot_full[SLOT(my_tail)] ->
            slot_buf[SLOT(my_tail)] = put; slot_full[SLOT(my_tail)] = true }
        my_tail = (my_tail + 1) % WRAP
    :: my_tail != published -> /* now, or with the next one */
#ifndef NO_R1
        !slot_full[0] && !slot_full[1]; /* R1 */
#endif
        atomic { !tail_full -> tail_buf = my_tail; tail_full = true };
        published = my_tail
    :: put < N && IS_FULL(my_tail, head_seen) && my_tail == published ->
#ifdef STALE
        false
#else
        head != head_seen; /* looks again when something was taken */
        head_seen = head;  /* A2 */
        assert(AFTER(my_tail, head_seen) <= CAP)
#endif
    :: put == N && my_tail == published -> break
    od
}

active proctype consumer()
{
    byte taken = 0;
    byte my_head = FIRST;    /* private */
    byte tail_seen = FIRST;  /* private copy of tail */
    byte early, got;
    do
    :: taken == N -> break
    :: else ->
        if
        :: my_head != tail_seen -> early = slot[SLOT(my_head)]
        :: else ->
            early = slot[SLOT(my_head)]; /* a load that may come too early */
            tail != tail_seen;           /* nothing there: looks again later */
            tail_seen = tail;            /* A1 */
            assert(AFTER(tail_seen, my_head) <= CAP);
#ifdef NO_A1
            if
            :: skip
            :: early = slot[SLOT(my_head)]
            fi
#else
            early = slot[SLOT(my_head)]
#endif
        fi;
        got = early;
#ifdef NO_R2
        if
        :: head = (my_head + 1) % WRAP; got = slot[SLOT(my_head)]
        :: head = (my_head + 1) % WRAP
        fi;
#else
        head = (my_head + 1) % WRAP; /* R2 */
#endif
        taken++;
        assert(got == taken);
        my_head = (my_head + 1) % WRAP
    od
}
