/* SPDX-License-Identifier: MIT */
/*
 * Go where the apps are
 *
 * Theory of operation
 *
 * What an app writes stands in the caches of the processor it ran on, and so does what it will read best.  Where
 * there are fewer processors than threads that want to run, the daemon had better run where its app does, and
 * take turns with it, than take turns with strangers, or with another daemon.  The kernel would find that out
 * by who wakes whom, but in a busy exchange nobody sleeps.  So the daemon looks: if in FOLLOW_TURNS busy turns
 * most of what was new came from apps that ran elsewhere, and others wanted this processor, it goes to where the
 * last one ran.  From there the kernel may move it again as it likes.
 */
#ifndef SMCU_DAEMON_FOLLOW_H
#define SMCU_DAEMON_FOLLOW_H

#define FOLLOW_TURNS 256U

/**
 * struct follow - since the last decision
 * @turns: busy ones
 * @seen: times that an app had something new; @apart: of them, those of apps elsewhere
 * @processor: where the last one of those ran
 * @switches: times that others took this thread's processor, in all
 */
struct follow {
	unsigned int turns;
	unsigned int seen;
	unsigned int apart;
	int processor;
	long switches;
};

/* follow_saw - an app that had something new last ran on @processor; below 0: it does not say */
void follow_saw(struct follow *follow, int processor);

/* follow_turn - a busy turn is over: go elsewhere, now and then */
void follow_turn(struct follow *follow);

/**
 * follow_decide - after FOLLOW_TURNS: where to?
 * @switches: times that others took this thread's processor, in all
 *
 * Return: a processor, as an app said it; -1: stay.
 */
int follow_decide(struct follow *follow, long switches);

#endif
