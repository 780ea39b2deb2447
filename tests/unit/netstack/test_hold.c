/* Listeners that ask elsewhere before they answer a SYN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/netstack/wire.h"

struct door {
	struct ns_held held;
	unsigned knocks;
	struct stream *stream;
	void *token;
};

static void knock(void *user, const struct ns_held *held)
{
	struct door *door = user;

	door->held = *held;
	door->knocks++;
}

static void let_in(void *user, struct stream *stream, uint16_t port)
{
	struct door *door = user;

	(void)port;
	door->stream = stream;
	door->token = stream->user;
}

static struct stream *begin(struct wire *wire, struct door *door)
{
	const struct link_config link = { .delay_us = 3000 };
	struct ns_listener *listener;
	struct stream *stream;

	memset(door, 0, sizeof(*door));
	wire_init(wire, &link, NULL);
	assert_int_equal(ns_listen(wire->ns[1], 0, 0, let_in, door,
				   &listener), 0);
	ns_listener_set_hold(listener, knock);
	assert_int_equal(ns_connect(wire->ns[0], wire_address[1], 8080,
				    wire->now_us, &stream), 0);
	wire_run(wire, 5 * US_PER_S, NULL, NULL);
	/* SYNs that are sent again do not knock again. */
	assert_int_equal(door->knocks, 1);
	assert_int_equal(door->held.local_port, 8080);
	assert_int_equal(ns_stream_state(stream), ERR_AGAIN);
	assert_null(door->stream);
	return stream;
}

static void test_admitted(void **state)
{
	struct door door;
	struct wire wire;
	struct stream *stream = begin(&wire, &door);

	(void)state;
	assert_int_equal(ns_admit(wire.ns[1], &door.held, true, &door), 0);
	wire_run(&wire, 5 * US_PER_S, NULL, NULL);
	assert_int_equal(ns_stream_state(stream), 0);
	assert_non_null(door.stream);
	assert_ptr_equal(door.token, &door);
	assert_int_equal(ns_admit(wire.ns[1], &door.held, true, NULL),
			 ERR_NOT_FOUND);
	stream_close(door.stream, true);
	stream_close(stream, true);
	wire_clear(&wire);
}

static void test_refused(void **state)
{
	struct door door;
	struct wire wire;
	struct stream *stream = begin(&wire, &door);

	(void)state;
	assert_int_equal(ns_admit(wire.ns[1], &door.held, false, NULL), 0);
	wire_run(&wire, US_PER_S, NULL, NULL);
	assert_int_equal(ns_stream_state(stream), ERR_REFUSED);
	stream_close(stream, true);
	wire_clear(&wire);
}

static void test_gone_meanwhile(void **state)
{
	struct door door;
	struct wire wire;
	struct stream *stream = begin(&wire, &door);
	struct ns_stats stats;

	(void)state;
	stream_close(stream, true);
	wire_run(&wire, US_PER_S, NULL, NULL);
	(void)ns_admit(wire.ns[1], &door.held, true, NULL);
	wire_run(&wire, 400 * US_PER_S, NULL, NULL);
	assert_null(door.stream);
	ns_get_stats(wire.ns[1], &stats);
	assert_int_equal(stats.connections, 0);
	wire_clear(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admitted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_gone_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
