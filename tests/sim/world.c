/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t pattern[2 * SIM_PATTERN];

void sim_fail(struct sim_world *world, const char *format, ...)
{
	va_list arguments;

	if (world->told) {
		va_start(arguments, format);
		fprintf(stderr, "seed %llu, %llu us: ", (unsigned long long)world->seed,
			(unsigned long long)world->now);
		vfprintf(stderr, format, arguments);
		fputc('\n', stderr);
		va_end(arguments);
	}
	longjmp(world->failed, 1);
}

void sim_trace(struct sim_world *world, const char *format, ...)
{
	va_list arguments;

	if (!world->trace)
		return;
	va_start(arguments, format);
	printf("%10llu  ", (unsigned long long)world->now);
	vprintf(format, arguments);
	putchar('\n');
	va_end(arguments);
}

static uint64_t mixed(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t sim_random(struct sim_world *world)
{
	return mixed(&world->random);
}

uint64_t sim_below(struct sim_world *world, uint64_t limit)
{
	return limit ? sim_random(world) % limit : 0;
}

bool sim_percent(struct sim_world *world, unsigned int percent)
{
	return sim_below(world, 100) < percent;
}

void sim_pattern_fill(void)
{
	uint64_t state = 1;

	for (size_t i = 0; i < SIM_PATTERN; i++)
		pattern[i] = pattern[i + SIM_PATTERN] = (uint8_t)mixed(&state);
}

/* What @writer writes at @position; @length: cut to what is contiguous. */
const uint8_t *sim_pattern(const struct sim_end *writer, uint64_t position, size_t *length)
{
	size_t at = (position + 7919U * writer->index) % SIM_PATTERN;

	if (*length > 2 * SIM_PATTERN - at)
		*length = 2 * SIM_PATTERN - at;
	return pattern + at;
}

unsigned int sim_host_name(const struct sim_host *host)
{
	return (unsigned int)(host - host->world->hosts);
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->time != b->time ? a->time < b->time : a->sequence < b->sequence;
}

static void heap_push(struct sim_world *world, struct sim_event *event)
{
	size_t at = world->heap_size++;

	if (world->heap_size > world->heap_room) {
		world->heap_room = world->heap_room ? 2 * world->heap_room : 256;
		world->heap = realloc(world->heap, world->heap_room * sizeof(*world->heap));
		if (!world->heap)
			abort();
	}
	while (at && before(event, world->heap[(at - 1) / 2])) {
		world->heap[at] = world->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	world->heap[at] = event;
}

static struct sim_event *heap_pop(struct sim_world *world)
{
	struct sim_event *first = world->heap[0], *last = world->heap[--world->heap_size];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < world->heap_size) {
		if (child + 1 < world->heap_size &&
		    before(world->heap[child + 1], world->heap[child]))
			child++;
		if (!before(world->heap[child], last))
			break;
		world->heap[at] = world->heap[child];
		at = child;
	}
	world->heap[at] = last;
	return first;
}

struct sim_event *sim_plan(struct sim_world *world, uint64_t time,
			   void (*act)(struct sim_world *, struct sim_event *), void *object)
{
	struct sim_event *event = world->free_events;

	if (event)
		world->free_events = event->next_free;
	else
		event = malloc(sizeof(*event));
	if (!event)
		abort();
	event->time = time < world->now ? world->now : time;
	event->sequence = world->planned++;
	event->act = act;
	event->object = object;
	event->cancelled = false;
	event->flag = false;
	heap_push(world, event);
	return event;
}

bool sim_step(struct sim_world *world)
{
	struct sim_event *event;

	if (!world->heap_size)
		return false;
	event = heap_pop(world);
	if (!event->cancelled) {
		world->now = event->time;
		world->present = event;
		event->act(world, event);
		world->present = NULL;
	}
	event->next_free = world->free_events;
	world->free_events = event;
	return true;
}
