#include "core/tunnel/tunnel.h"

#include "tests/unit/tunnel/world.h"

#define MIB (1024 * 1024)
#define MINUTE (60 * US_PER_S)

struct fixture {
	struct world world;
	struct test_agent agent;
	struct echo *echo;
	struct tunnel *tunnel;
	unsigned ups, ends;
	bool up, ended, with_error;
	struct error error;
	bool close_when_up;
};

static void on_up(void *user)
{
	struct fixture *f = user;

	f->ups++;
	f->up = true;
	if (f->close_when_up)
		tunnel_close(f->tunnel);
}

static void on_end(void *user, const struct error *error)
{
	struct fixture *f = user;

	f->ends++;
	f->ended = true;
	f->with_error = error != NULL;
	if (error)
		f->error = *error;
}

static const struct tunnel_events events = {
	.on_up = on_up,
	.on_end = on_end,
};

static struct tunnel_config config_of(struct fixture *f)
{
	return (struct tunnel_config){
		.loop = f->world.loop,
		.network = f->world.network,
		.rng = &f->world.rng,
		.log = &f->world.log,
		.url = "https://coder.test",
		.agent_id = f->world.agent_id,
		.derp_map = &f->world.map,
		.no_direct = !f->world.direct,
		.events = &events,
		.user = f,
	};
}

static void start(struct fixture *f)
{
	struct tunnel_config config = config_of(f);
	struct error error;

	f->up = f->ended = false;
	assert_int_equal(tunnel_new(&config, &f->tunnel, &error), 0);
}

static void come_up(struct fixture *f)
{
	start(f);
	world_until(&f->world, &f->up, US_PER_S);
	assert_int_equal(f->ups, 1);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	world_init(&f->world, 17);
	agent_init(&f->agent, &f->world, 1);
	world_run(&f->world, US_PER_S);
	agent_announce(&f->agent);
	f->echo = echo_new(&f->agent.member, 80);
	*state = f;
	return 0;
}

static void agent_dies(struct fixture *f)
{
	echo_free(f->echo);
	f->echo = NULL;
	member_clear(&f->agent.member);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tunnel_free(f->tunnel);
	world_run(&f->world, 5 * US_PER_S);
	if (f->echo)
		echo_free(f->echo);
	agent_clear(&f->agent);
	world_clear(&f->world);
	free(f);
	return 0;
}

/* --- what runs over it ---------------------------------------------- */

struct dialed {
	struct stream *stream;
	struct error error;
	unsigned count;
	bool done;
};

static void on_dialed(void *user, struct stream *stream,
		      const struct error *error)
{
	struct dialed *dialed = user;

	assert_int_equal(!stream, !!error);
	dialed->stream = stream;
	if (error)
		dialed->error = *error;
	dialed->count++;
	dialed->done = true;
}

static struct stream *dial(struct fixture *f, uint16_t port)
{
	struct dialed dialed = { .count = 0 };
	struct tunnel_dial *handle;

	assert_int_equal(tunnel_dial(f->tunnel, port, US_PER_S, on_dialed,
				     &dialed, &handle), 0);
	world_until(&f->world, &dialed.done, 2 * US_PER_S);
	assert_non_null(dialed.stream);
	return dialed.stream;
}

static void up_and_down(void **state)
{
	struct fixture *f = *state;
	const struct tunnel_timeline *at;
	struct tunnel_dial *handle;
	struct dialed dialed;
	struct pump pump;

	start(f);
	assert_memory_equal(tunnel_address(f->tunnel), "fd7a:115c:a1e0:", 15);
	assert_int_equal(tunnel_dial(f->tunnel, 80, 1, on_dialed, &dialed,
				     &handle), ERR_CLOSED);
	world_until(&f->world, &f->up, US_PER_S);
	at = tunnel_timeline(f->tunnel);
	assert_true(at->started_us && at->started_us < at->coordinate_us);
	assert_true(at->coordinate_us < at->peer_us);
	assert_true(at->relay_us && at->relay_us <= at->session_us);
	assert_true(at->peer_us < at->session_us);
	assert_true(at->session_us < at->up_us);
	assert_true(at->up_us - at->started_us < 50 * US_PER_MS);
	pump_start(&pump, dial(f, 80), 2 * MIB, 1);
	world_until(&f->world, &pump.done, MINUTE);
	assert_int_equal(pump.read, 2 * MIB);
	assert_false(pump.wrong);
	stream_close(pump.stream, false);
	tunnel_close(f->tunnel);
	tunnel_close(f->tunnel);
	world_until(&f->world, &f->ended, 200 * US_PER_MS);
	assert_false(f->with_error);
	assert_int_equal(f->agent.disconnected, 1);
	assert_int_equal(echo_open(f->echo), 0);
	world_run(&f->world, MINUTE);
	assert_int_equal(f->ends, 1);
}

static void dial_refused(void **state)
{
	struct fixture *f = *state;
	struct dialed dialed = { .count = 0 };
	struct tunnel_dial *handle;

	come_up(f);
	assert_int_equal(tunnel_dial(f->tunnel, 81, US_PER_S, on_dialed,
				     &dialed, &handle), 0);
	assert_int_equal(dialed.count, 0);
	world_until(&f->world, &dialed.done, US_PER_S);
	assert_int_equal(dialed.error.code, ERR_REFUSED);
	assert_string_equal(dialed.error.message,
			    "port 81 of the agent: connection refused");
	assert_int_equal(tunnel_dial(f->tunnel, 0, US_PER_S, on_dialed,
				     &dialed, &handle), ERR_MISUSE);
}

static void dial_timed_out(void **state)
{
	struct fixture *f = *state;
	struct dialed dialed = { .count = 0 };
	struct tunnel_dial *handle;

	come_up(f);
	agent_dies(f);
	assert_int_equal(tunnel_dial(f->tunnel, 80, 3 * US_PER_S, on_dialed,
				     &dialed, &handle), 0);
	world_run(&f->world, 2900 * US_PER_MS);
	assert_int_equal(dialed.count, 0);
	world_run(&f->world, 200 * US_PER_MS);
	assert_int_equal(dialed.count, 1);
	assert_int_equal(dialed.error.code, ERR_TIMEOUT);
	assert_string_equal(dialed.error.message,
			    "port 80 of the agent: no answer");
}

static void dial_cancelled(void **state)
{
	struct fixture *f = *state;
	struct dialed dialed = { .count = 0 };
	struct tunnel_dial *handle;

	come_up(f);
	for (unsigned step = 0; step < 30; step++) {
		assert_int_equal(tunnel_dial(f->tunnel, 80, UINT64_MAX,
					     on_dialed, &dialed, &handle), 0);
		world_run(&f->world, step * US_PER_MS / 2);
		if (dialed.count)
			break;
		tunnel_dial_cancel(handle);
	}
	assert_int_equal(dialed.count, 1);
	assert_non_null(dialed.stream);
	stream_close(dialed.stream, true);
	world_run(&f->world, US_PER_S);
	assert_int_equal(echo_open(f->echo), 0);
}

struct datagrams {
	struct ns_udp *udp;
	unsigned count;
	uint8_t last[1500];
	size_t len;
	bool got;
};

static void agent_datagram(void *user, const uint8_t src[16], uint16_t port,
			   const uint8_t *data, size_t len)
{
	struct datagrams *d = user;

	d->count++;
	assert_int_equal(ns_udp_send(d->udp, src, port, data, len), 0);
}

static void own_datagram(void *user, const uint8_t *data, size_t len)
{
	struct datagrams *d = user;

	d->count++;
	memcpy(d->last, data, len);
	d->len = len;
	d->got = true;
}

static void udp_both_ways(void **state)
{
	struct fixture *f = *state;
	struct datagrams agent = { .count = 0 }, own = { .count = 0 };
	struct ns *ns = node_netstack(f->agent.member.node);
	struct tunnel_udp *udp;
	uint8_t big[2000] = { 0 };

	start(f);
	assert_int_equal(tunnel_udp_open(f->tunnel, 53, own_datagram, &own,
					 &udp), ERR_CLOSED);
	world_until(&f->world, &f->up, US_PER_S);
	assert_int_equal(ns_udp_open(ns, 53, agent_datagram, &agent,
				     &agent.udp), 0);
	assert_int_equal(tunnel_udp_open(f->tunnel, 53, own_datagram, &own,
					 &udp), 0);
	assert_int_equal(tunnel_udp_send(udp, "question", 8), 0);
	world_until(&f->world, &own.got, US_PER_S);
	assert_int_equal(own.len, 8);
	assert_memory_equal(own.last, "question", 8);
	assert_int_equal(tunnel_udp_send(udp, big, sizeof(big)),
			 ERR_TOO_LARGE);
	tunnel_udp_close(udp);
	ns_udp_close(agent.udp);
}

struct pinged {
	struct tunnel_ping ping;
	int err;
	unsigned count;
	bool done;
};

static void on_pinged(void *user, const struct tunnel_ping *ping,
		      const struct error *error)
{
	struct pinged *pinged = user;

	pinged->count++;
	pinged->done = true;
	pinged->err = error ? error->code : 0;
	if (ping)
		pinged->ping = *ping;
}

static void pings(void **state)
{
	struct fixture *f = *state;
	struct pinged one = { .count = 0 }, late = { .count = 0 };
	struct pinged never = { .count = 0 };

	come_up(f);
	assert_int_equal(tunnel_ping(f->tunnel, US_PER_S, on_pinged, &one), 0);
	world_until(&f->world, &one.done, US_PER_S);
	assert_int_equal(one.err, 0);
	assert_in_range(one.ping.latency_us, 1, 100 * US_PER_MS);
	assert_false(one.ping.direct);
	assert_int_equal(one.ping.derp_region, 1);
	assert_string_equal(one.ping.derp_name, "Region 1");
	agent_dies(f);
	assert_int_equal(tunnel_ping(f->tunnel, US_PER_S, on_pinged, &late),
			 0);
	assert_int_equal(tunnel_ping(f->tunnel, US_PER_S, on_pinged, &never),
			 0);
	tunnel_ping_forget(f->tunnel, &never);
	world_run(&f->world, 2 * US_PER_S);
	assert_int_equal(late.count, 1);
	assert_int_equal(late.err, ERR_TIMEOUT);
	assert_int_equal(never.count, 0);
}

/* --- the end -------------------------------------------------------- */

/* All that was accepted arrives, then the goodbye. */
static void close_drains(void **state)
{
	struct fixture *f = *state;
	uint8_t piece[65536] = { 7 };
	struct ns_stats stats;
	struct stream *stream;
	size_t written = 0;

	come_up(f);
	stream = dial(f, 80);
	while (written < MIB) {
		ssize_t n = stream_write(stream, piece, sizeof(piece));

		assert_true(n > 0);
		written += (size_t)n;
	}
	stream_close(stream, false);
	tunnel_close(f->tunnel);
	assert_int_equal(f->agent.disconnected, 0);
	world_until(&f->world, &f->ended, 3 * US_PER_S);
	assert_false(f->with_error);
	ns_get_stats(node_netstack(f->agent.member.node), &stats);
	assert_int_equal(stats.bytes_in, written);
	assert_int_equal(f->agent.disconnected, 1);
}

static void note_change(struct stream *stream, void *user)
{
	const uint8_t *data;
	ssize_t len = stream_peek(stream, &data);

	*(int *)user = len < 0 ? (int)len : 0;
}

static void close_with_a_stream_open(void **state)
{
	struct fixture *f = *state;
	struct stream *stream;
	int failure = 0;

	come_up(f);
	stream = dial(f, 80);
	stream->on_change = note_change;
	stream->user = &failure;
	world_run(&f->world, 100 * US_PER_MS);
	assert_int_equal(echo_open(f->echo), 1);
	tunnel_close(f->tunnel);
	world_until(&f->world, &f->ended, 1500 * US_PER_MS);
	assert_false(f->with_error);
	assert_int_equal(failure, ERR_CLOSED);
	assert_int_equal(echo_open(f->echo), 0);
	stream_close(stream, false);
}

static void close_while_connecting(void **state)
{
	struct fixture *f = *state;

	for (unsigned ms = 0; ms < 15; ms++) {
		start(f);
		world_run(&f->world, ms * US_PER_MS);
		tunnel_close(f->tunnel);
		world_until(&f->world, &f->ended, 3 * US_PER_S);
		assert_false(f->with_error);
		tunnel_free(f->tunnel);
		f->tunnel = NULL;
		world_run(&f->world, US_PER_S);
		assert_int_equal(f->ends, ms + 1);
		f->agent.nodes = f->agent.disconnected = 0;
	}
	f->close_when_up = true;
	f->ups = 0;
	come_up(f);
	world_until(&f->world, &f->ended, 3 * US_PER_S);
	assert_int_equal(f->agent.disconnected, 1);
}

static void close_on_a_dead_network(void **state)
{
	struct fixture *f = *state;
	struct stream *stream;

	come_up(f);
	stream = dial(f, 80);
	f->world.deaf = true;
	f->world.sites[1].deaf = true;
	tunnel_close(f->tunnel);
	world_until(&f->world, &f->ended, 3100 * US_PER_MS);
	assert_false(f->with_error);
	stream_close(stream, false);
}

static void agent_gone_in_order(void **state)
{
	struct fixture *f = *state;
	struct stream *stream;
	int failure = 0;

	come_up(f);
	stream = dial(f, 80);
	stream->on_change = note_change;
	stream->user = &failure;
	agent_leave(&f->agent, true);
	world_run(&f->world, 9900 * US_PER_MS);
	assert_false(f->ended);
	assert_int_equal(failure, 0);
	world_until(&f->world, &f->ended, 200 * US_PER_MS);
	assert_true(f->with_error);
	assert_int_equal(f->error.code, ERR_UNREACHABLE);
	assert_int_equal(failure, ERR_RESET);
	stream_close(stream, true);
}

static void agent_back_in_time(void **state)
{
	struct fixture *f = *state;
	struct pinged pinged = { .count = 0 };

	come_up(f);
	agent_leave(&f->agent, true);
	agent_dies(f);
	world_run(&f->world, 5 * US_PER_S);
	agent_init(&f->agent, &f->world, 2);
	world_run(&f->world, US_PER_S);
	agent_announce(&f->agent);
	world_run(&f->world, US_PER_S);
	f->echo = echo_new(&f->agent.member, 80);
	assert_int_equal(tunnel_ping(f->tunnel, US_PER_S, on_pinged, &pinged),
			 0);
	world_until(&f->world, &pinged.done, US_PER_S);
	assert_int_equal(pinged.err, 0);
	assert_int_equal(pinged.ping.derp_region, 2);
	world_run(&f->world, MINUTE);
	assert_false(f->ended);
	assert_int_equal(f->ups, 1);
}

/*
 * The agent has other keys: a script that waits for data hears of it at once,
 * and what it dials meanwhile reaches the new agent.
 */
static void agent_restarts(struct fixture *f, bool in_order)
{
	struct dialed dialed = { .count = 0 };
	struct tunnel_dial *handle;
	struct stream *stream;
	int failure = 0;

	stream = dial(f, 80);
	stream->on_change = note_change;
	stream->user = &failure;
	agent_leave(&f->agent, in_order);
	agent_dies(f);
	world_run(&f->world, US_PER_S);
	assert_int_equal(failure, 0);
	assert_int_equal(tunnel_dial(f->tunnel, 80, 10 * US_PER_S, on_dialed,
				     &dialed, &handle), 0);
	agent_init(&f->agent, &f->world, 1);
	f->echo = echo_new(&f->agent.member, 80);
	world_run(&f->world, US_PER_S / 10);
	agent_announce(&f->agent);
	world_run(&f->world, US_PER_S / 10);
	assert_int_equal(failure, ERR_RESET);
	stream_close(stream, true);
	world_until(&f->world, &dialed.done, 10 * US_PER_S);
	assert_non_null(dialed.stream);
	stream_close(dialed.stream, true);
	world_run(&f->world, US_PER_S);
}

static void agent_restarted(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	agent_restarts(f, false);
	agent_restarts(f, true);
	world_run(&f->world, MINUTE);
	assert_false(f->ended);
}

/* Its coordinator socket still there, the agent answers nothing. */
static void agent_silent(void **state)
{
	struct fixture *f = *state;
	struct stream *stream;
	int failure = 0;

	come_up(f);
	stream = dial(f, 80);
	stream->on_change = note_change;
	stream->user = &failure;
	agent_dies(f);
	world_until(&f->world, &f->ended, 6 * MINUTE);
	assert_true(f->with_error);
	assert_int_equal(f->error.code, ERR_TIMEOUT);
	assert_int_equal(failure, ERR_RESET);
	stream_close(stream, true);
	assert_int_equal(f->ends, 1);
}

/* The machine slept, and every connection of it was forgotten meanwhile. */
static void after_sleep(void **state)
{
	static const uint64_t naps[] = { 30, 600, 9 * 3600 };
	struct fixture *f = *state;

	come_up(f);
	for (size_t i = 0; i < 3; i++) {
		struct dialed dialed = { .count = 0 };
		struct tunnel_dial *handle;
		struct pump pump;

		world_run(&f->world, MINUTE);
		pump_start(&pump, dial(f, 80), 64 * MIB, i);
		world_run(&f->world, 20 * US_PER_MS);
		assert_true(pump.read > 0 && !pump.done);
		site_mute(&f->world.sites[1]);
		f->world.v.now_us += naps[i] * US_PER_S;
		assert_int_equal(tunnel_dial(f->tunnel, 80, 10 * US_PER_S,
					     on_dialed, &dialed, &handle), 0);
		world_until(&f->world, &dialed.done, 10 * US_PER_S);
		assert_non_null(dialed.stream);
		stream_close(dialed.stream, false);
		/* A connection lives if its deadlines have not passed. */
		world_run(&f->world, MINUTE);
		assert_true(pump.done);
		assert_false(pump.wrong);
		if (naps[i] == 30)
			assert_int_equal(pump.failure, 0);
		stream_close(pump.stream, true);
	}
	assert_false(f->ended);
}

static void coordinator_away(void **state)
{
	struct fixture *f = *state;
	struct pump pump;

	come_up(f);
	f->world.refuse = 503;
	f->world.refuse_body = "";
	world_cut_coordinate(&f->world);
	world_run(&f->world, MINUTE);
	pump_start(&pump, dial(f, 80), MIB, 1);
	world_until(&f->world, &pump.done, MINUTE);
	assert_int_equal(pump.read, MIB);
	stream_close(pump.stream, false);
	/* Even for good. */
	f->world.refuse = 401;
	world_run(&f->world, MINUTE);
	assert_false(f->ended);
	assert_true(world_logged(&f->world, "the tunnel goes on"));
	tunnel_close(f->tunnel);
	world_until(&f->world, &f->ended, 3 * US_PER_S);
	assert_false(f->with_error);
}

static void check_never_up(struct fixture *f, int code, const char *message)
{
	struct tunnel_config config = config_of(f);
	struct error error;

	config.timeout_us = 7 * US_PER_S;
	f->ended = false;
	assert_int_equal(tunnel_new(&config, &f->tunnel, &error), 0);
	world_until(&f->world, &f->ended, 8 * US_PER_S);
	assert_true(f->with_error);
	assert_int_equal(f->error.code, code);
	assert_non_null(strstr(f->error.message, message));
	tunnel_free(f->tunnel);
	f->tunnel = NULL;
	world_run(&f->world, US_PER_S);
}

static void never_up(void **state)
{
	struct fixture *f = *state;
	struct member *agent = &f->agent.member;

	f->world.refuse_body = "";
	f->world.refuse = 503;
	check_never_up(f, ERR_TIMEOUT, "no connection to the coordinator");
	f->world.refuse = 403;
	check_never_up(f, ERR_REFUSED, "403");
	f->world.refuse = 0;
	f->world.sites[1].refuse = 503;
	check_never_up(f, ERR_TIMEOUT, "no connection to a relay");
	f->world.sites[1].refuse = 0;
	ns_set_raw(node_netstack(agent->node), 99, NULL, NULL);
	check_never_up(f, ERR_TIMEOUT, "does not answer in the tunnel");
	agent_dies(f);
	f->agent.silent = true;
	member_init(agent, &f->world, 2);	/* another key and region */
	check_never_up(f, ERR_TIMEOUT, "no WireGuard handshake");
	agent_leave(&f->agent, true);
	check_never_up(f, ERR_TIMEOUT, "is not connected to the coordinator");
}

static void no_relay_at_all(void **state)
{
	struct fixture *f = *state;
	struct tunnel_config config = config_of(f);
	struct derp_map none = { .region_count = 0 };
	struct tunnel *tunnel;
	struct error error;

	config.derp_map = &none;
	assert_int_equal(tunnel_new(&config, &tunnel, &error),
			 ERR_UNREACHABLE);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->ends, 0);
}

/* A new map: names, and embedded relays where the first map had them. */
static void new_derp_map(void **state)
{
	struct fixture *f = *state;
	struct derp_map_region *region = &f->world.map.regions[0];
	struct pinged pinged = { .count = 0 };

	region->embedded_relay = true;
	come_up(f);
	snprintf(region->name, sizeof(region->name), "Renamed");
	snprintf(region->nodes[0].host_name, 20, "internal");
	world_cut_coordinate(&f->world);
	world_run(&f->world, US_PER_S);
	site_cut(&f->world.sites[1]);
	world_run(&f->world, 2 * US_PER_S);
	assert_int_equal(tunnel_ping(f->tunnel, 5 * US_PER_S, on_pinged,
				     &pinged), 0);
	world_until(&f->world, &pinged.done, 5 * US_PER_S);
	assert_int_equal(pinged.err, 0);
	assert_string_equal(pinged.ping.derp_name, "Renamed");
}

static void free_at_any_time(void **state)
{
	struct fixture *f = *state;

	for (unsigned step = 0; step < 60; step++) {
		struct dialed dialed = { .count = 0 };
		struct pinged pinged = { .count = 0 };
		struct tunnel_dial *handle;

		f->close_when_up = step % 7 == 6;
		start(f);
		world_run(&f->world, step * US_PER_MS / 2);
		if (tunnel_dial(f->tunnel, 80, US_PER_S, on_dialed, &dialed,
				&handle) == 0) {
			assert_int_equal(tunnel_ping(f->tunnel, US_PER_S,
						     on_pinged, &pinged), 0);
			world_run(&f->world, step % 3 * US_PER_MS);
			tunnel_free(f->tunnel);
			assert_int_equal(dialed.count, 1);
			assert_int_equal(pinged.count, 1);
			if (dialed.stream)
				stream_close(dialed.stream, false);
		} else {
			tunnel_free(f->tunnel);
		}
		world_run(&f->world, US_PER_S / 10);
	}
	f->tunnel = NULL;
	/* The streams were cut off without a word. */
	world_run(&f->world, 3 * MINUTE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(up_and_down),
		TEST(dial_refused),
		TEST(dial_timed_out),
		TEST(dial_cancelled),
		TEST(udp_both_ways),
		TEST(pings),
		TEST(close_drains),
		TEST(close_with_a_stream_open),
		TEST(close_while_connecting),
		TEST(close_on_a_dead_network),
		TEST(agent_gone_in_order),
		TEST(agent_back_in_time),
		TEST(agent_restarted),
		TEST(agent_silent),
		TEST(after_sleep),
		TEST(coordinator_away),
		TEST(never_up),
		TEST(no_relay_at_all),
		TEST(new_derp_map),
		TEST(free_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
