/*
 * Every allocation of a session fails once, and all from each on. Set-up says
 * so; after it one failure costs a packet or a retry, never the data. Nothing
 * leaks (ASan looks). And what a connection at rest costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/netstack/internal.h"
#include "tests/unit/netstack/wire.h"

#define UP_LEN 60000u
#define DOWN_LEN 20000u
#define STEP_US (5 * US_PER_MS)
#define STEPS_CAP 6000
#define FLYING_CAP 512
#define LOSE_EVERY 9
#define MTU 1280

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);

static unsigned allocations;
static unsigned first_to_fail;	/* from 1; 0: none */
static unsigned last_to_fail;
static unsigned failures;

static bool failing(void)
{
	allocations++;
	if (!first_to_fail || allocations < first_to_fail ||
	    allocations > last_to_fail)
		return false;
	failures++;
	return true;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return failing() ? NULL : __real_calloc(count, size);
}

void *__wrap_malloc(size_t size)
{
	return failing() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *block, size_t size)
{
	return failing() ? NULL : __real_realloc(block, size);
}

struct side {
	struct ns *ns;
	struct stream *stream;
	const uint8_t *source;
	size_t len;
	size_t written;
	uint8_t *sink;
	size_t got;
	bool ended;
	bool broken;
};

/* Packets on the way, in memory that does not count. */
struct flying {
	uint8_t bytes[FLYING_CAP][MTU];
	size_t len[FLYING_CAP];
	unsigned count;
};

struct session {
	struct rng rng;
	struct side sides[2];
	struct flying to[2];
	struct ns_listener *listener;
	struct ns_udp *udp;
	uint64_t now_us;
	unsigned sent;
	unsigned datagrams;
	unsigned pongs;
};

static uint8_t up[UP_LEN];
static uint8_t down[DOWN_LEN];
static uint8_t sinks[2][UP_LEN];

static void on_accept(void *user, struct stream *stream, uint16_t port)
{
	struct session *s = user;

	(void)port;
	s->sides[1].stream = stream;
}

static void on_datagram(void *user, const uint8_t src[NS_ADDRESS_LEN],
			uint16_t port, const uint8_t *data, size_t len)
{
	struct session *s = user;

	(void)src;
	(void)port;
	(void)data;
	(void)len;
	s->datagrams++;
}

static void on_pong(void *user, int err, uint64_t latency_us)
{
	struct session *s = user;

	(void)err;
	(void)latency_us;
	s->pongs++;
}

static int set_up(struct session *s)
{
	int err = 0;

	rng_seeded(&s->rng, 77);
	s->now_us = 50 * US_PER_S;
	for (int i = 0; !err && i < 2; i++) {
		struct ns_config config = {
			.addresses = &wire_address[i],
			.address_count = 1,
			.rng = &s->rng,
		};

		err = ns_new(&config, &s->sides[i].ns);
	}
	if (!err)
		err = ns_listen(s->sides[1].ns, 80, 0, on_accept, s,
				&s->listener);
	if (!err)
		err = ns_udp_open(s->sides[1].ns, 7, on_datagram, s, &s->udp);
	if (!err)
		err = ns_connect(s->sides[0].ns, wire_address[1], 80,
				 s->now_us, &s->sides[0].stream);
	if (!err)
		err = ns_udp_send(s->udp, wire_address[0], 9, "x", 1);
	if (!err)
		err = ns_ping(s->sides[0].ns, wire_address[1], US_PER_S,
			      s->now_us, on_pong, s);
	return err;
}

static void pump(struct side *side)
{
	const uint8_t *data;
	ssize_t n;

	if (!side->stream || side->broken)
		return;
	while (side->written < side->len) {
		n = stream_write(side->stream, side->source + side->written,
				 side->len - side->written);
		if (n <= 0)
			break;
		side->written += (size_t)n;
	}
	if (side->written == side->len)
		stream_shutdown(side->stream);
	while ((n = stream_peek(side->stream, &data)) > 0) {
		assert_true(side->got + (size_t)n <= UP_LEN);
		memcpy(side->sink + side->got, data, (size_t)n);
		side->got += (size_t)n;
		stream_consume(side->stream, (size_t)n);
	}
	side->ended = n == 0;
	side->broken = n < 0 && n != ERR_AGAIN;
}

static void collect(struct session *s, int from)
{
	struct flying *to = &s->to[!from];
	size_t len;

	while (to->count < FLYING_CAP &&
	       (len = ns_out(s->sides[from].ns, to->bytes[to->count], MTU,
			     s->now_us)) != 0) {
		to->len[to->count] = len;
		if (++s->sent % LOSE_EVERY)
			to->count++;
	}
}

static void step(struct session *s)
{
	s->now_us += STEP_US;
	for (int i = 0; i < 2; i++) {
		struct flying *f = &s->to[i];

		for (unsigned k = 0; k < f->count; k++)
			ns_in(s->sides[i].ns, f->bytes[k], f->len[k],
			      s->now_us);
		f->count = 0;
		ns_tick(s->sides[i].ns, s->now_us);
		ns_dispatch(s->sides[i].ns);
		pump(&s->sides[i]);
	}
	collect(s, 0);
	collect(s, 1);
}

static bool whole(const struct session *s)
{
	return s->sides[0].ended && s->sides[1].ended &&
	       s->sides[0].got == DOWN_LEN && s->sides[1].got == UP_LEN &&
	       !memcmp(sinks[0], down, DOWN_LEN) &&
	       !memcmp(sinks[1], up, UP_LEN);
}

/* 0: the data arrived; else what set-up said, or ERR_CLOSED. */
static int session(bool patient)
{
	static struct session s;
	int err;

	memset(&s, 0, sizeof(s));
	s.sides[0] = (struct side){ .source = up, .len = UP_LEN,
				    .sink = sinks[0] };
	s.sides[1] = (struct side){ .source = down, .len = DOWN_LEN,
				    .sink = sinks[1] };
	allocations = 0;
	err = set_up(&s);
	for (int i = 0; !err && i < (patient ? STEPS_CAP : 400); i++) {
		if (s.sides[0].broken || s.sides[1].broken || whole(&s))
			break;
		step(&s);
	}
	if (!err && !whole(&s))
		err = ERR_CLOSED;
	for (int i = 0; i < 2; i++) {
		if (s.sides[i].stream)
			stream_close(s.sides[i].stream, i == 0);
		ns_free(s.sides[i].ns);
	}
	return err;
}

static void test_each_fails(void **state)
{
	unsigned most;

	(void)state;
	fill_pattern(up, sizeof(up), 1);
	fill_pattern(down, sizeof(down), 2);
	first_to_fail = 0;
	assert_int_equal(session(true), 0);
	most = allocations;
	assert_true(most > 30);
	for (unsigned n = 1; n <= most; n++) {
		int err;

		first_to_fail = n;
		last_to_fail = n;
		failures = 0;
		err = session(true);
		if (err != 0 && err != ERR_NOMEM)
			fail_msg("allocation %u of %u: %d", n, most, err);
		assert_int_equal(failures, 1);
	}
	first_to_fail = 0;
}

static void test_all_fail_from(void **state)
{
	unsigned most;

	(void)state;
	first_to_fail = 0;
	assert_int_equal(session(true), 0);
	most = allocations;
	for (unsigned n = 1; n <= most; n++) {
		first_to_fail = n;
		last_to_fail = UINT32_MAX;
		failures = 0;
		(void)session(false);
		assert_true(failures > 0);
	}
	first_to_fail = 0;
}

/* What a connection at rest costs beside its buffers, which are freed. */
static void test_at_rest(void **state)
{
	(void)state;
	print_message("struct conn %zu bytes, struct ns %zu, struct record "
		      "%zu\n", sizeof(struct conn), sizeof(struct ns),
		      sizeof(struct record));
	assert_true(sizeof(struct conn) <= 896);
	assert_true(sizeof(struct record) <= 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_fails),
		cmocka_unit_test(test_all_fail_from),
		cmocka_unit_test(test_at_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
