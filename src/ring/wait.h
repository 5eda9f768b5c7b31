/* SPDX-License-Identifier: MIT */
/*
 * The waiting policy: look, yield while that is cheap, then sleep
 *
 * Theory of operation
 *
 * Who finds nothing looks a few more times, then gives the processor away and looks again, up to a
 * number of yields, and then sleeps on a doorbell.  There is no shared count of spinners:
 * sched_yield() returning at once says that nobody else wanted this processor, and when somebody
 * did, he ran.  Each waiting place has a *habit*: if the last wait there found nothing and the
 * sleep after it was long, the next wait goes to sleep at once, so that what is idle costs nothing;
 * a short sleep, or something found, makes it hopeful again.  To be woken takes time itself, so two that
 * wait for each other could both sleep for ever where neither would have to: of sleeps of middling
 * length, one in 128 is followed by a hopeful wait.  For the same reason one wait in 64 takes all the
 * pauses there are before it yields: a yield may cost more than what is waited for.
 *
 * Two that run on one processor gain nothing by pauses.  Two that wait for each other on two, each among
 * others that want to run, would be better off on one: what the writer writes still stands in the caches
 * when the reader reads it, and the kernel's TCP brings them there, since it is where one wakes the other
 * that the kernel moves threads.  Who only yields is never moved.  So where few yields were enough each time,
 * that one wait in 64 goes to sleep after its pauses, and is not judged by how long it slept.
 *
 * The policy is pure: it is told what happened and says what to do next.
 */
#ifndef SMCU_RING_WAIT_H
#define SMCU_RING_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WAIT_PAUSES_LEAST 4U /* looks with a pause between, before the first yield */
#define WAIT_PAUSES_MOST 128U /* as long as the dearest yield: two microseconds */
#define WAIT_WAITS_UNQUESTIONED 63U
#define WAIT_YIELDS_DEFAULT 100U
#define WAIT_SHORT_SLEEP_NS 50000ULL /* a sleep shorter than that: waiting would have paid */
#define WAIT_LONG_SLEEP_NS 1000000ULL /* and than that: it may be the waking that takes long */
#define WAIT_SLEEPS_UNQUESTIONED 127U

#define WAIT_PLACES_A_STEP 64U /* looked at in the time of a yield */
#define WAIT_YIELDS_CROWDED 4U /* few, after all pauses: others run meanwhile */
#define WAIT_CROWDED 4U /* waits in a row that so few ended, before that is believed */

/* Where the one that is waited for was last seen. */
enum wait_peer { WAIT_PEER_ANYWHERE = 0, WAIT_PEER_HERE, WAIT_PEER_ELSEWHERE };

enum wait_step { WAIT_PAUSE, WAIT_YIELD, WAIT_SLEEP };

/**
 * struct wait_habit - what a waiting place has learned
 * @hopeless: the last wait was in vain and the sleep long
 * @pauses: looks worth taking before the first yield: more while they suffice, fewer when not
 * @sleeps: neither short nor long, in a row
 * @waits: since one took all pauses
 * @crowded: waits in a row that a few yields ended, WAIT_CROWDED at most
 *
 * Threads that wait at one place share it, and may lose what another has just learned.
 */
struct wait_habit {
	_Atomic bool hopeless;
	_Atomic uint8_t pauses;
	_Atomic uint8_t sleeps;
	_Atomic uint8_t waits;
	_Atomic uint8_t crowded;
};

/**
 * struct wait - one wait in progress
 * @habit: of the place
 * @pauses, @yields: steps left
 * @paused, @yielded: steps it took
 * @meets: it sleeps so that it may be moved to where its peer is: wait_slept() is not to be told
 */
struct wait {
	struct wait_habit *habit;
	uint32_t pauses;
	uint32_t yields;
	uint32_t paused;
	uint32_t yielded;
	bool meets;
};

/* wait_begin - start a wait for @peer at a place; @yields: the configured number of yields */
static inline void wait_begin(struct wait *wait, struct wait_habit *habit, uint32_t yields,
			      enum wait_peer peer)
{
	const bool hopeless = atomic_load_explicit(&habit->hopeless, memory_order_relaxed);
	const unsigned int waits = atomic_load_explicit(&habit->waits, memory_order_relaxed) + 1;
	const bool questioned = waits > WAIT_WAITS_UNQUESTIONED;
	const unsigned int pauses =
		questioned ? WAIT_PAUSES_MOST
			   : atomic_load_explicit(&habit->pauses, memory_order_relaxed);
	const bool crowded =
		atomic_load_explicit(&habit->crowded, memory_order_relaxed) >= WAIT_CROWDED;

	atomic_store_explicit(&habit->waits, questioned ? 0 : (uint8_t)waits, memory_order_relaxed);
	wait->habit = habit;
	wait->pauses = hopeless || peer == WAIT_PEER_HERE ? 0
		       : pauses < WAIT_PAUSES_LEAST	  ? WAIT_PAUSES_LEAST
							  : pauses;
	wait->paused = wait->yielded = 0;
	wait->meets = !hopeless && questioned && crowded && peer == WAIT_PEER_ELSEWHERE;
	wait->yields = hopeless || wait->meets ? 0 : yields;
}

/* wait_next - nothing there yet: what now? */
static inline enum wait_step wait_next(struct wait *wait)
{
	if (wait->pauses) {
		wait->paused++;
		wait->pauses--;
		return WAIT_PAUSE;
	}
	if (wait->yields) {
		wait->yielded++;
		wait->yields--;
		return WAIT_YIELD;
	}
	return WAIT_SLEEP;
}

/* wait_looked - that look took in @places, many of which take as long as a yield */
static inline void wait_looked(struct wait *wait, uint32_t places)
{
	const uint32_t steps = places / WAIT_PLACES_A_STEP;

	wait->yields = wait->yields > steps ? wait->yields - steps : 0;
}

/* wait_found - it came while we were looking */
static inline void wait_found(struct wait *wait)
{
	struct wait_habit *habit = wait->habit;
	unsigned int pauses = atomic_load_explicit(&habit->pauses, memory_order_relaxed);
	unsigned int crowded = atomic_load_explicit(&habit->crowded, memory_order_relaxed);

	if (wait->yielded == 0 || wait->yielded > WAIT_YIELDS_CROWDED)
		crowded = 0;
	else if (crowded < WAIT_CROWDED)
		crowded++;
	if (wait->pauses) {
		pauses = 2 * (pauses > wait->paused ? pauses : wait->paused) + WAIT_PAUSES_LEAST;
		if (pauses > WAIT_PAUSES_MOST)
			pauses = WAIT_PAUSES_MOST;
	} else if (wait->paused) {
		pauses /= 2;
	}
	atomic_store_explicit(&habit->hopeless, false, memory_order_relaxed);
	atomic_store_explicit(&habit->pauses, (uint8_t)pauses, memory_order_relaxed);
	atomic_store_explicit(&habit->crowded, (uint8_t)crowded, memory_order_relaxed);
}

/* wait_slept - a sleep at this place took @ns nanoseconds */
static inline void wait_slept(struct wait_habit *habit, uint64_t ns)
{
	unsigned int sleeps = atomic_load_explicit(&habit->sleeps, memory_order_relaxed) + 1;
	const bool middling = ns >= WAIT_SHORT_SLEEP_NS && ns < WAIT_LONG_SLEEP_NS;
	const bool questioned = middling && sleeps > WAIT_SLEEPS_UNQUESTIONED;
	const bool hopeless = ns >= WAIT_SHORT_SLEEP_NS && !questioned;

	if (!middling || questioned)
		sleeps = 0;
	atomic_store_explicit(&habit->sleeps, (uint8_t)sleeps, memory_order_relaxed);
	atomic_store_explicit(&habit->hopeless, hopeless, memory_order_relaxed);
}

/* wait_pause - some tens of nanoseconds, without a system call */
void wait_pause(void);

/**
 * wait_step - decide and do one step
 *
 * Return: true to look again, false when it is time to sleep.
 */
bool wait_step(struct wait *wait);

#endif
