/* SPDX-License-Identifier: Apache-2.0 */

/* The sleep protocol of transport/pony/abi/ring.c on a machine with store buffers.
 *
 * One producer publishes N items, one consumer takes them and sleeps on an eventfd when there are
 * none. Each has a store buffer of one entry: what it stored reaches memory later, unless a fence
 * (the seq_cst order of store and following load) drains it first. Both directions of a port are
 * this same model: S1 with tail = cmd_tail, S2 with tail = cpl_tail.
 *
 * Checked by spin: the consumer never stays asleep while items are published (an invalid end
 * state), takes no item that was not published (assert), and everything ends.
 * With -DNO_FENCE (no total order of store and load) and with -DNO_LOOK (sleeps without looking
 * once more) the lost wake-up must be found: this shows that the model can fail.
 */

#define N 3

byte tail;      /* in memory: items published; written by the producer */
bool asleep;    /* in memory: written by the consumer */
bool bell;      /* the eventfd: readable or not */
byte tail_buf;  /* the producer's store buffer */
bool tail_full;
bool asleep_buf; /* the consumer's store buffer */
bool asleep_full;

inline store_tail(v) { atomic { !tail_full -> tail_buf = v; tail_full = true } }
inline store_asleep(v) { atomic { !asleep_full -> asleep_buf = v; asleep_full = true } }

#ifdef NO_FENCE
#define FENCE_TAIL skip
#define FENCE_ASLEEP skip
#else
#define FENCE_TAIL !tail_full
#define FENCE_ASLEEP !asleep_full
#endif

/* Store buffers drain at any time. */
active proctype drain_tail()
{
end:
    do
    :: atomic { tail_full -> tail = tail_buf; tail_full = false }
    od
}

active proctype drain_asleep()
{
end:
    do
    :: atomic { asleep_full -> asleep = asleep_buf; asleep_full = false }
    od
}

active proctype producer()
{
    byte published = 0;
    bool seen;
    do
    :: published < N ->
        published++;
        if
        :: published < N -> skip /* batch: the next one is published with it */
        :: true ->
            store_tail(published);
            FENCE_TAIL;
            seen = asleep;
            if
            :: seen -> bell = true
            :: else -> skip
            fi
        fi
    :: else -> break
    od
}

active proctype consumer()
{
    byte taken = 0;
    byte see;
    do
    :: taken == N -> break
    :: else ->
        see = tail;
        assert(see >= taken && see <= N);
        if
        :: see > taken -> taken = see
        :: else ->
            store_asleep(true);
            FENCE_ASLEEP;
#ifndef NO_LOOK
            see = tail; /* look once more */
#endif
            if
            :: see > taken -> skip
            :: else -> atomic { bell -> bell = false } /* sleep */
            fi;
            store_asleep(false)
        fi
    od
}
