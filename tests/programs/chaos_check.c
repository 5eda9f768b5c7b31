/* SPDX-License-Identifier: MIT */
/*
 * What TCP allows at the end of a stream
 *
 *   - Bytes arrive in order and once, never more than were attempted (the reader looks at each).
 *   - End of file comes after all that the writer's calls accepted, and only when the writer has shut
 *     or closed its end or was killed.
 *   - A reset comes from SO_LINGER 0, or from an end that is gone (closed, killed) with bytes of ours
 *     that it has not read, whether they came before or after; then bytes may be missing at our end.
 *
 * An error is reported once: of two processes at one end, one gets the reset, the other end of file.
 */
#include "chaos.h"

#include <stdio.h>
#include <string.h>

static uint64_t random_length(struct dice *dice)
{
	switch (dice_below(dice, 16)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return dice_below(dice, 6U << 20); /* more than any buffer holds */
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		return dice_below(dice, 1U << 20);
	default:
		return dice_size(dice, 1U << 20);
	}
}

static enum finish random_finish(struct dice *dice)
{
	switch (dice_below(dice, 12)) {
	case 0:
		return FINISH_EARLY;
	case 1:
		return FINISH_LINGER;
	case 2:
	case 3:
	case 4:
	case 5:
		return FINISH_CLOSE;
	default:
		return FINISH_SHUT;
	}
}

void plan_make(struct plan *plan, uint32_t number)
{
	struct dice dice = {mix(board->seed, number)};

	for (unsigned int side = 0; side < SIDES; side++) {
		plan->seed[side] = dice_roll(&dice);
		plan->length[side] = random_length(&dice);
		plan->finish[side] = random_finish(&dice);
		plan->early_at[side] = dice_below(&dice, plan->length[side] + 1);
		plan->nonblocking[side] = dice_below(&dice, 2);
		plan->write_max[side] = dice_size(&dice, CALL_MAX);
		plan->read_max[side] = dice_size(&dice, CALL_MAX);
		plan->pause_us[side] = (unsigned int)dice_size(&dice, 30000);
		plan->rarity[side] = 40U + (unsigned int)dice_size(&dice, 3000);
	}
	/* tiny pieces of a long stream only take time */
	for (unsigned int side = 0; side < SIDES; side++) {
		if (plan->write_max[side] < plan->length[side] / 100)
			plan->write_max[side] = plan->length[side] / 100;
		if (plan->read_max[side] < plan->length[!side] / 100)
			plan->read_max[side] = plan->length[!side] / 100;
	}
}

/* Was the process that has this direction killed, or is it about to be? */
static bool is_killed(const struct end_state *end, enum way way)
{
	const struct worker_slot *slot = owner_slot(atomic_load(&end->owner[way]));

	if (slot && atomic_load(&slot->state) == WORKER_KILLED)
		return true;
	return atomic_load(&end->flags) & END_KILLED(way);
}

static bool is_gone(const struct end_state *end)
{
	for (unsigned int way = 0; way < WAYS; way++)
		if (!is_killed(end, (enum way)way) && !(atomic_load(&end->flags) & END_CLOSED(way)))
			return false;
	return true;
}

/* Not accepted yet, or by a process that was killed before it could say so. */
static bool is_untaken(const struct end_state *end)
{
	return atomic_load(&end->owner[WAY_READ]) == OWNER_NONE &&
	       atomic_load(&end->owner[WAY_WRITE]) == OWNER_NONE;
}

void check_end_of_file(uint32_t number, unsigned int side)
{
	const struct end_state *peer = end_of(number, !side);
	const unsigned int ends = END_SHUT | END_CLOSED(WAY_WRITE);

	if (!is_killed(peer, WAY_WRITE) && !(atomic_load(&peer->flags) & ends) && !is_untaken(peer))
		complain(number, "end of file on side %u, but its peer still writes", side);
}

void check_reset(uint32_t number, unsigned int side, const char *call)
{
	const struct end_state *peer = end_of(number, !side);

	if (!(atomic_load(&peer->flags) & END_LINGER) && !is_gone(peer) && !is_untaken(peer))
		complain(number, "a reset (in %s) on side %u, but its peer is alive", call, side);
}

bool connection_is_over(const struct connection_state *connection)
{
	for (unsigned int side = 0; side < SIDES; side++)
		for (unsigned int way = 0; way < WAYS; way++) {
			uint32_t owner = atomic_load(&connection->end[side].owner[way]);

			if (owner != OWNER_DEAD && owner != OWNER_OVER)
				return false;
		}
	return true;
}

/* The stream that @to reads. */
static void check_stream(uint32_t number, const struct end_state *from, const struct end_state *to,
			 unsigned int side)
{
	if (to->received > from->attempted)
		complain(number, "side %u received %llu bytes, %llu were written", side,
			 (unsigned long long)to->received, (unsigned long long)from->attempted);
	if ((to->flags & (END_EOF | END_RESET | END_KILLED_ANY)) == END_EOF &&
	    to->received < from->accepted)
		complain(number, "side %u saw the end after %llu bytes, %llu were accepted", side,
			 (unsigned long long)to->received, (unsigned long long)from->accepted);
	if (!(from->flags & END_KILLED_ANY) && from->attempted == from->accepted &&
	    to->received > from->accepted)
		complain(number, "side %u received %llu bytes, %llu were accepted", side,
			 (unsigned long long)to->received, (unsigned long long)from->accepted);
	if ((to->flags & END_RESET) && !(from->flags & END_LINGER) &&
	    to->accepted <= from->received)
		complain(number, "side %u was reset, but its peer had read all of its %llu bytes",
			 side, (unsigned long long)to->accepted);
}

void check_connection(uint32_t number)
{
	const struct connection_state *connection = &board->connection[number];

	check_stream(number, &connection->end[0], &connection->end[1], 1);
	check_stream(number, &connection->end[1], &connection->end[0], 0);
}

static void describe_owner(uint32_t owner, char *text, size_t size)
{
	const struct worker_slot *slot = owner_slot(owner);

	if (slot)
		snprintf(text, size, "%d%s", slot->pid, owner & OWNER_MOVING ? " (moving)" : "");
	else
		snprintf(text, size, "%s",
			 owner == OWNER_NONE   ? "none"
			 : owner == OWNER_DEAD ? "killed"
					       : "over");
}

static void describe_end(const struct end_state *end, const struct plan *plan, unsigned int side,
			 char *text, size_t size)
{
	static const char *const finishes[FINISHES] = {"shut", "close", "early", "linger"};
	const unsigned int flags = end->flags;
	char who[WAYS][24];

	for (unsigned int way = 0; way < WAYS; way++)
		describe_owner(end->owner[way], who[way], sizeof(who[way]));
	snprintf(
		text, size,
		"[side %u: wrote %llu to %llu of %llu, read %llu, %s%s%s%s%s%s%s%s, process %s %s]",
		side, (unsigned long long)end->accepted, (unsigned long long)end->attempted,
		(unsigned long long)plan->length[side], (unsigned long long)end->received,
		finishes[plan->finish[side]], flags & END_SHUT ? " SHUT" : "",
		flags & END_EOF ? " EOF" : "", flags & END_RESET ? " RESET" : "",
		flags & END_SPLIT ? " SPLIT" : "", flags & END_KILLED_ANY ? " KILLED" : "",
		flags & END_CLOSED(WAY_READ) ? " CLOSED-READ" : "",
		flags & END_CLOSED(WAY_WRITE) ? " CLOSED-WRITE" : "", who[WAY_READ],
		who[WAY_WRITE]);
}

void describe(uint32_t number, char *text, size_t size)
{
	struct plan plan;
	char side[SIDES][256];

	plan_make(&plan, number);
	for (unsigned int i = 0; i < SIDES; i++)
		describe_end(end_of(number, i), &plan, i, side[i], sizeof(side[i]));
	snprintf(text, size, "%s %s", side[0], side[1]);
}
