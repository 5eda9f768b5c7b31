/* SPDX-License-Identifier: MIT */
#include "daemon/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/reason.h"
#include "control/snapshot.h"
#include "daemon/apps.h"
#include "daemon/listing.h"
#include "daemon/listing_remote.h"
#include "daemon/log.h"
#include "ring/side.h"

#define STEPS_A_TURN 8U

_Static_assert(STATS_SLICE <= LISTING_BATCH, "a slice is looked up at once");

/* A header as pread() fills it */
union plain_header {
	struct side_header header;
	char bytes[sizeof(struct side_header)];
};

/**
 * struct question - a walk over side segments
 * @asker: session to answer, or NULL for the walk over a segment of a session that ended
 * @what: enum query_what
 * @session: the session whose segment is being read; NULL at the end
 * @segment: of an ended session: its side segment, ours to close; else -1
 * @position: record to read next; @used: records of this segment, valid once @position > 0 or @begun
 * @walk: number of this walk; a side file that has it was read already
 * @file: what is asked of side segments or of the daemon: memfd with @count records so far
 * @totals: QUERY_TOTALS and ended sessions: the sums so far
 */
struct question {
	struct session *asker;
	uint32_t what;
	struct session *session;
	int segment;
	uint32_t position;
	uint32_t used;
	int begun;
	uint64_t walk;
	int file;
	uint32_t count;
	struct snapshot_totals totals;
	struct question *next;
};

static struct question *question_new(struct apps *apps, struct session *asker, uint32_t what)
{
	struct question *question = calloc(1, sizeof(*question));

	if (!question)
		return NULL;
	question->asker = asker;
	question->what = what;
	question->segment = question->file = -1;
	question->walk = ++apps->walks;
	if (apps->questions)
		apps->questions_last->next = question;
	else
		apps->questions = question;
	apps->questions_last = question;
	return question;
}

void stats_ask(struct session *session, uint32_t what)
{
	struct question *question;

	if (session->question || session->user->questions == STATS_QUESTIONS_MAX) {
		session_doom(session, session->question ? "a second question before the answer"
							: "too many questions of this user");
		return;
	}
	question = question_new(session->apps, session, what);
	if (!question) {
		session_doom(session, "no memory for the answer");
		return;
	}
	if (what == QUERY_CONNECTIONS || what == QUERY_TOTALS)
		question->session = session->apps->sessions;
	session->question = question;
	session->user->questions++;
	if (what == QUERY_TOTALS)
		return;
	question->file = memfd_create("smcu-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (question->file < 0)
		session_doom(session, "no memory for the answer");
	else
		session->apps->fds_held++;
}

/* Add up what is in a side segment that nobody uses any more; closes it. */
static void harvest(struct apps *apps, int segment)
{
	struct question *question;

	if (segment < 0)
		return;
	question = question_new(apps, NULL, QUERY_TOTALS);
	if (question) {
		question->segment = segment;
		return;
	}
	disposer_add(apps->disposer, DISPOSE_QUICK, segment, NULL);
	apps->fds_held--;
}

void stats_session_ends(struct session *session)
{
	struct apps *apps = session->apps;
	struct question *question;

	for (question = apps->questions; question; question = question->next) {
		if (question->asker == session)
			question->asker = NULL;
		if (question->session != session)
			continue;
		question->session = session->next;
		question->position = 0;
		question->begun = 0;
	}
	if (session->question) {
		session->question->session = NULL; /* nobody to answer: the walk is over */
		session->user->questions--;
	}
	session->question = NULL;
	if (session->side)
		harvest(apps, side_file_leave(&apps->side_files, session->side));
	session->side = NULL;
}

static int visible(const struct session *asker, const struct session *session)
{
	uid_t uid = asker->user->uid;

	return session->side && !session->doomed &&
	       (uid == 0 || uid == geteuid() || uid == session->user->uid);
}

/* Is the segment of the session that the walk came to to be read?  Each one once. */
static int worth_reading(const struct question *question)
{
	struct side_file *side = question->session->side;

	if (!visible(question->asker, question->session))
		return 0;
	if (!question->begun && side->walk == question->walk)
		return 0;
	side->walk = question->walk;
	return 1;
}

/* What a client wrote where a number of a set should stand. */
static uint32_t reason_of(const struct side_record *record)
{
	uint32_t reason = atomic_load_explicit(&record->reason, memory_order_relaxed);

	return reason < REASON_COUNT ? reason : REASON_NONE;
}

static uint32_t moved_of(const struct side_record *record)
{
	return (record->send.moved ? 1U : 0U) | (record->receive.moved ? 2U : 0U);
}

/* Through shared memory with the daemon, a connection has moved in both directions. */
static uint32_t moved_now(const struct side_record *record)
{
	if (record->flags & SIDE_BACK)
		return 0;
	return record->state == SIDE_SMCR ? 3U : moved_of(record);
}

static void fill_connection(struct snapshot_connection *out, const struct side_record *record,
			    const struct session *session)
{
	memset(out, 0, sizeof(*out));
	out->state = record->state;
	out->reason = reason_of(record);
	out->uid = session->user->uid;
	out->pid = session->shares_pids && record->pid > 0 ? record->pid : session->pid;
	out->fd = record->fd;
	out->moved = moved_now(record);
	out->cookie = record->cookie;
	out->local = record->local;
	out->peer = record->peer;
	out->bytes_tcp[0] = record->send.tcp_bytes;
	out->bytes_tcp[1] = record->receive.tcp_bytes;
	out->bytes_shm[0] = record->send.position;
	out->bytes_shm[1] = record->receive.position;
	out->calls[0] = record->send.calls;
	out->calls[1] = record->receive.calls;
	memcpy(out->program, session->program, sizeof(out->program));
}

static void add_record(struct snapshot_totals *totals, const struct side_record *record)
{
	unsigned int i;

	if (record->state != SIDE_TCP && record->state != SIDE_SHM && record->state != SIDE_SMCR)
		return;
	totals->connections++;
	if (moved_of(record) || record->state == SIDE_SMCR)
		totals->moved++;
	else
		totals->reasons[reason_of(record)]++;
	totals->bytes_tcp[0] += record->send.tcp_bytes;
	totals->bytes_tcp[1] += record->receive.tcp_bytes;
	totals->bytes_shm[0] += record->send.position;
	totals->bytes_shm[1] += record->receive.position;
	totals->calls[0] += record->send.calls;
	totals->calls[1] += record->receive.calls;
	for (i = 0; i < SIDE_SIZES; i++)
		totals->sizes[i] += record->sizes[i];
}

static void add_side_totals(struct snapshot_totals *totals, const struct side_totals *side)
{
	unsigned int i;

	totals->connections += side->connections;
	totals->moved += side->moved;
	for (i = 0; i < 2; i++) {
		totals->bytes_tcp[i] += side->bytes_tcp[i];
		totals->bytes_shm[i] += side->bytes_shm[i];
		totals->calls[i] += side->calls[i];
	}
	for (i = 0; i < 32; i++)
		totals->reasons[i] += side->reasons[i];
	for (i = 0; i < SIDE_SIZES; i++)
		totals->sizes[i] += side->sizes[i];
}

static void add_totals(struct snapshot_totals *totals, const struct snapshot_totals *more)
{
	unsigned int i;

	totals->connections += more->connections;
	totals->moved += more->moved;
	for (i = 0; i < 2; i++) {
		totals->bytes_tcp[i] += more->bytes_tcp[i];
		totals->bytes_shm[i] += more->bytes_shm[i];
		totals->calls[i] += more->calls[i];
	}
	for (i = 0; i < 32; i++)
		totals->reasons[i] += more->reasons[i];
	for (i = 0; i < SIDE_SIZES; i++)
		totals->sizes[i] += more->sizes[i];
}

/* What nobody holds any more counts until its process has added it to what is over, and is not listed. */
static void take_records(struct question *question, const struct side_record *records,
			 uint32_t count)
{
	static struct snapshot_connection out[STATS_SLICE];
	uint32_t i, filled = 0;
	ssize_t written;

	for (i = 0; i < count; i++) {
		if (records[i].state == SIDE_FREE || records[i].state > SIDE_SMCR)
			continue;
		if (question->what == QUERY_TOTALS)
			add_record(&question->totals, &records[i]);
		else if (records[i].holders && question->count + filled < STATS_RECORDS_MAX)
			fill_connection(&out[filled++], &records[i], question->session);
	}
	if (!filled)
		return;
	listing_remotes(question->session->apps->engine, out, filled, question->session->user->uid);
	written = write(question->file, out, filled * sizeof(out[0]));
	if (written > 0)
		question->count += (uint32_t)((size_t)written / sizeof(out[0]));
}

/* Begin with a segment: how many records has it? */
static void read_header(struct question *question, int side)
{
	union plain_header plain;

	question->begun = 1;
	question->position = question->used = 0;
	if (pread(side, &plain, sizeof(plain), 0) != (ssize_t)sizeof(plain))
		return;
	question->used = plain.header.used < SIDE_RECORDS ? plain.header.used : SIDE_RECORDS;
	if (question->what == QUERY_TOTALS)
		add_side_totals(&question->totals, &plain.header.totals);
}

/* One slice of one segment; returns 0 when the segment is done. */
static int read_slice(struct question *question, int side)
{
	static struct side_record records[STATS_SLICE];
	uint32_t count;
	off_t offset;
	ssize_t got;

	if (!question->begun)
		read_header(question, side);
	count = question->used - question->position;
	if (!count)
		return 0;
	count = count < STATS_SLICE ? count : STATS_SLICE;
	offset = (off_t)(SIDE_HEADER_SIZE + (uint64_t)question->position * sizeof(records[0]));
	got = pread(side, records, count * sizeof(records[0]), offset);
	if (got <= 0)
		return 0;
	take_records(question, records, (uint32_t)((size_t)got / sizeof(records[0])));
	question->position += count;
	return question->position < question->used;
}

/* What the daemon itself knows. */
static void complete_totals(const struct apps *apps, struct snapshot_totals *totals)
{
	add_totals(totals, &apps->totals);
	totals->sessions = apps->session_count;
	totals->sessions_dropped = apps->totals.sessions_dropped;
	totals->offers = apps->totals.offers;
	totals->paired = apps->totals.paired;
	memcpy(totals->refused, apps->totals.refused, sizeof(totals->refused));
	totals->uptime_ms = (uint64_t)(apps->loop->now - apps->started);
	totals->smcr = apps->totals.smcr;
	totals->fallbacks = apps->totals.fallbacks;
	totals->failed = apps->totals.failed;
	memcpy(totals->declines, apps->totals.declines, sizeof(totals->declines));
}

void stats_smcr(struct apps *apps)
{
	apps->totals.smcr++;
}

void stats_failed(struct apps *apps)
{
	apps->totals.failed++;
}

void stats_fell_back(struct apps *apps, uint32_t diagnosis)
{
	struct snapshot_totals *totals = &apps->totals;
	unsigned int i = 0;

	totals->fallbacks++;
	while (i < SNAPSHOT_DECLINES - 1 && totals->declines[i].count &&
	       totals->declines[i].diagnosis != diagnosis)
		i++;
	if (!totals->declines[i].count)
		totals->declines[i].diagnosis = diagnosis;
	totals->declines[i].count++;
}

static int write_totals(struct apps *apps, struct question *question)
{
	question->file = memfd_create("smcu-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (question->file < 0)
		return -errno;
	apps->fds_held++;
	complete_totals(apps, &question->totals);
	if (write(question->file, &question->totals, sizeof(question->totals)) !=
	    (ssize_t)sizeof(question->totals))
		return -ENOSPC;
	question->count = 1;
	return 0;
}

/* What was asked for, in a file; returns the bytes of one record, 0 if there is no memory for it. */
static size_t complete_answer(struct apps *apps, struct question *question)
{
	switch (question->what) {
	case QUERY_CONNECTIONS:
		return sizeof(struct snapshot_connection);
	case QUERY_TOTALS:
		return write_totals(apps, question) < 0 ? 0 : sizeof(struct snapshot_totals);
	default:
		return listing_write(apps->engine, question->what, question->file,
				     &question->count);
	}
}

static void answer(struct apps *apps, struct question *question)
{
	struct session *asker = question->asker;
	union message message;
	size_t record_size;

	asker->question = NULL;
	asker->user->questions--;
	record_size = complete_answer(apps, question);
	if (!record_size) {
		session_doom(asker, "no memory for the answer");
		return;
	}
	fcntl(question->file, F_ADD_SEALS,
	      F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	message_init(&message, MESSAGE_SNAPSHOT);
	message.snapshot.what = question->what;
	message.snapshot.count = question->count;
	message.snapshot.record_size = (uint32_t)record_size;
	if (session_send(asker, &message, &question->file, 1))
		session_doom(asker, "the answer could not be sent");
}

static void finish(struct apps *apps)
{
	struct question *question = apps->questions;

	apps->questions = question->next;
	if (question->asker)
		answer(apps, question);
	if (question->segment >= 0) {
		add_totals(&apps->totals, &question->totals);
		disposer_add(apps->disposer, DISPOSE_QUICK, question->segment, NULL);
		apps->fds_held--;
	}
	if (question->file >= 0) {
		disposer_add(apps->disposer, DISPOSE_QUICK, question->file, NULL);
		apps->fds_held--;
	}
	free(question);
}

/* Returns 0 when the walk is over. */
static int step(struct question *question)
{
	if (question->segment >= 0)
		return read_slice(question, question->segment);
	if (!question->session)
		return 0;
	if (!worth_reading(question) || !read_slice(question, question->session->side->fd)) {
		question->session = question->session->next;
		question->begun = 0;
		question->position = 0;
	}
	return question->session != NULL;
}

int stats_work(void *context)
{
	struct apps *apps = context;
	unsigned int i;

	for (i = 0; i < STEPS_A_TURN && apps->questions; i++)
		if (!step(apps->questions))
			finish(apps);
	return apps->questions || apps->doomed ? 0 : LOOP_FOREVER;
}
