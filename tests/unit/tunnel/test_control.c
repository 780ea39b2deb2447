#include "core/tunnel/control.h"

#include "core/tailnet/wireguard/wireguard.h"
#include "tests/unit/tunnel/world.h"

#define MINUTE (60 * US_PER_S)

/* A network that can be told to refuse, saying the whole URL. */
struct gate {
	struct network network;
	struct network *real;
	int refuse_with;
	unsigned refused;
	size_t refuse_longer;	/* only URLs longer than this */
};

static int gate_open(struct network *network,
		     const struct channel_request *request,
		     struct channel **out, struct error *error)
{
	struct gate *gate = (struct gate *)(void *)network;

	if (!gate->refuse_with || strlen(request->url) < gate->refuse_longer)
		return network_open_channel(gate->real, request, out, error);
	gate->refused++;
	return error_set(error, gate->refuse_with, "cannot open %s",
			 request->url);
}

static int gate_monitor(struct network *network, struct network_monitor *monitor)
{
	return network_monitor_add(((struct gate *)(void *)network)->real,
				   monitor);
}

static void gate_forget(struct network *network,
			struct network_monitor *monitor)
{
	network_monitor_remove(((struct gate *)(void *)network)->real, monitor);
}

static const struct network_ops gate_ops = {
	.open_channel = gate_open,
	.monitor_add = gate_monitor,
	.monitor_remove = gate_forget,
};

struct fixture {
	struct world world;
	struct gate gate;
	struct test_agent agent;
	struct member own;
	struct control *control;
	unsigned connected, peers, restarts, left, maps, fatals, ends;
	bool ended, fatal;
	struct error error;
	bool disconnect_when_connected;
};

static void on_connected(void *user)
{
	struct fixture *f = user;

	f->connected++;
	if (f->disconnect_when_connected)
		control_disconnect(f->control);
}

static void on_peer(void *user)
{
	((struct fixture *)user)->peers++;
}

static void on_peer_restarted(void *user)
{
	((struct fixture *)user)->restarts++;
}

static void on_peer_left(void *user)
{
	((struct fixture *)user)->left++;
}

static void on_derp_map(void *user, const struct derp_map *map)
{
	struct fixture *f = user;

	f->maps++;
	assert_true(derp_map_equal(map, &f->world.map));
}

static void on_fatal(void *user, const struct error *error)
{
	struct fixture *f = user;

	f->fatals++;
	f->fatal = true;
	f->error = *error;
}

static void on_disconnected(void *user)
{
	struct fixture *f = user;

	f->ends++;
	f->ended = true;
}

static const struct control_events events = {
	.on_connected = on_connected,
	.on_peer = on_peer,
	.on_peer_restarted = on_peer_restarted,
	.on_peer_left = on_peer_left,
	.on_derp_map = on_derp_map,
	.on_fatal = on_fatal,
	.on_disconnected = on_disconnected,
};

static const struct http_header headers[] = {
	{ .name = "Coder-Session-Token", .value = "secret" },
};

static struct control_config config_of(struct fixture *f)
{
	return (struct control_config){
		.loop = f->world.loop,
		.network = &f->gate.network,
		.rng = &f->world.rng,
		.log = &f->world.log,
		.url = "https://coder.test",
		.headers = headers,
		.header_count = 1,
		.agent_id = f->world.agent_id,
		.node = f->own.node,
		.addresses = (const uint8_t (*)[16])f->own.address,
		.address_count = 1,
		.events = &events,
		.user = f,
	};
}

static void start(struct fixture *f)
{
	struct control_config config = config_of(f);
	struct error error;

	assert_int_equal(control_new(&config, &f->control, &error), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	world_init(&f->world, 13);
	f->gate = (struct gate){ .network.ops = &gate_ops,
				 .real = f->world.network };
	member_init(&f->own, &f->world, 1);
	agent_init(&f->agent, &f->world, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_free(f->control);
	agent_clear(&f->agent);
	member_clear(&f->own);
	world_clear(&f->world);
	/* Tokens are JWTs. */
	assert_false(world_logged(&f->world, "eyJ"));
	assert_null(strstr(f->error.message, "eyJ"));
	free(f);
	return 0;
}

static bool programmed(struct fixture *f)
{
	struct node_peer_stats stats;

	return node_peer_stats(f->own.node, &f->world.agent_id, &stats) == 0;
}

static void count_ping(void *user, int err, uint64_t latency_us)
{
	(void)latency_us;
	*(int *)user = err;
}

static int ping_agent(struct fixture *f)
{
	int result = 1;

	assert_int_equal(node_ping(f->own.node, f->agent.member.address[0],
				   8 * US_PER_S, count_ping, &result), 0);
	world_run(&f->world, 9 * US_PER_S);
	return result;
}

static void come_up(struct fixture *f)
{
	start(f);
	agent_announce(&f->agent);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->connected, 1);
	assert_int_equal(f->peers, 1);
	assert_true(programmed(f));
	assert_int_equal(ping_agent(f), 0);
}

static void first_dial(void **state)
{
	struct fixture *f = *state;
	struct coordinator_stats stats;

	come_up(f);
	assert_int_equal(f->world.dials, 1);
	assert_string_equal(f->world.last_query, "version=2.0");
	assert_int_equal(f->maps, 1);
	assert_int_equal(f->agent.nodes, 1);
	coordinator_stats(f->world.coordinator, &stats);
	assert_int_equal(stats.add_tunnel, 1);
	assert_int_equal(stats.update_self, 2);	/* the agent's and ours */
	world_run(&f->world, 10 * MINUTE);
	assert_int_equal(f->world.dials, 1);
	assert_int_equal(f->left + f->fatals, 0);
}

static void byte_by_byte(void **state)
{
	struct fixture *f = *state;

	f->world.bytewise = true;
	come_up(f);
	control_disconnect(f->control);
	world_until(&f->world, &f->ended, US_PER_S);
	assert_int_equal(f->agent.disconnected, 1);
}

static void without_ready(void **state)
{
	struct fixture *f = *state;

	f->agent.silent = true;
	start(f);
	agent_announce(&f->agent);
	world_run(&f->world, 4900 * US_PER_MS);
	assert_false(programmed(f));
	world_run(&f->world, 200 * US_PER_MS);
	assert_true(programmed(f));
	assert_int_equal(f->peers, 1);
	assert_int_equal(ping_agent(f), 0);
}

static void ready_before_the_node(void **state)
{
	struct fixture *f = *state;

	start(f);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->agent.nodes, 1);
	assert_int_equal(f->peers, 0);
	agent_announce(&f->agent);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->peers, 1);
}

static void lost_is_kept_a_while(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	agent_leave(&f->agent, false);
	world_run(&f->world, MINUTE);
	assert_true(programmed(f));
	assert_int_equal(ping_agent(f), 0);
	/* Handshakes go on (keepalives): it stays. */
	world_run(&f->world, 40 * MINUTE);
	assert_true(programmed(f));
	assert_int_equal(f->left, 0);
	member_clear(&f->agent.member);
	world_run(&f->world, 12 * MINUTE);
	assert_int_equal(f->left, 0);
	world_run(&f->world, 6 * MINUTE);
	assert_int_equal(f->left, 1);
	assert_false(programmed(f));
}

static void disconnected_is_gone(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	agent_leave(&f->agent, true);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->left, 1);
	assert_false(programmed(f));
	/* And back. READY counts anew. */
	agent_clear(&f->agent);
	coordinator_mute_ready(f->world.coordinator, true);
	agent_init(&f->agent, &f->world, 2);
	agent_announce(&f->agent);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->peers, 1);
	world_run(&f->world, 5 * US_PER_S);
	assert_int_equal(f->peers, 2);
	assert_int_equal(ping_agent(f), 0);
}

static void restarted_agent(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	agent_leave(&f->agent, false);
	member_clear(&f->agent.member);
	world_run(&f->world, 3 * US_PER_S);
	agent_init(&f->agent, &f->world, 2);
	agent_announce(&f->agent);
	world_run(&f->world, US_PER_S);
	assert_int_equal(ping_agent(f), 0);
	assert_int_equal(f->peers, 1);
	assert_int_equal(f->left, 0);
}

static void resumed(void **state)
{
	struct fixture *f = *state;
	struct coordinator_stats before, after;

	come_up(f);
	world_run(&f->world, 30 * US_PER_S);
	coordinator_stats(f->world.coordinator, &before);
	world_cut_coordinate(&f->world);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->connected, 2);
	assert_int_equal(f->world.dials, 2);
	assert_int_equal(f->world.resumed, 1);
	assert_non_null(strstr(f->world.last_query,
			       "version=2.0&resume_token=eyJ"));
	coordinator_stats(f->world.coordinator, &after);
	assert_int_equal(after.add_tunnel, before.add_tunnel + 1);
	assert_int_equal(after.update_self, before.update_self + 1);
	assert_int_equal(f->peers, 1);
	assert_int_equal(ping_agent(f), 0);
	world_run(&f->world, 40 * MINUTE);
	assert_int_equal(f->left, 0);
	assert_true(programmed(f));
}

/* The data path lives on whatever becomes of the coordinator. */
static void long_outage(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	f->world.refuse = 503;
	f->world.refuse_body = "no";
	world_cut_coordinate(&f->world);
	world_run(&f->world, 5 * MINUTE);
	assert_in_range(f->world.dials, 25, 80);
	assert_int_equal(ping_agent(f), 0);
	f->world.refuse = 0;
	world_run(&f->world, 11 * US_PER_S);
	assert_int_equal(f->connected, 2);
	assert_int_equal(f->left, 0);
}

/* trust.md: deletions missed while disconnected. */
static void left_while_we_were_away(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	f->world.refuse = 503;
	f->world.refuse_body = "no";
	world_cut_coordinate(&f->world);
	world_run(&f->world, 5 * US_PER_S);
	agent_leave(&f->agent, true);
	node_peer_remove(f->agent.member.node, &f->own.id);
	member_clear(&f->agent.member);
	f->world.refuse = 0;
	world_run(&f->world, 9 * US_PER_S);
	assert_int_equal(f->connected, 2);
	assert_int_equal(f->left, 0);
	world_run(&f->world, 16 * US_PER_S);
	assert_int_equal(f->left, 1);
	assert_false(programmed(f));
	assert_true(world_logged(&f->world, "has gone while"));
}

/* Unknown to the coordinator, but it answers: no reason to give it up. */
static void away_but_answering(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	f->world.refuse = 503;
	f->world.refuse_body = "no";
	world_cut_coordinate(&f->world);
	world_run(&f->world, 5 * US_PER_S);
	agent_leave(&f->agent, false);
	f->world.refuse = 0;
	world_run(&f->world, 30 * US_PER_S);
	assert_int_equal(f->connected, 2);
	assert_int_equal(f->left, 0);
	assert_true(world_logged(&f->world, "but the agent answers"));
	assert_int_equal(ping_agent(f), 0);
}

/* trust.md: refused, or timed out; and the data path goes on. */
static void says_nothing(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	f->world.deaf = true;
	world_cut_coordinate(&f->world);
	world_run(&f->world, 2 * MINUTE);
	assert_in_range(f->world.dials, 3, 20);
	assert_int_equal(ping_agent(f), 0);
	f->world.deaf = false;
	world_run(&f->world, MINUTE);
	assert_int_equal(ping_agent(f), 0);
	assert_int_equal(f->left + f->fatals, 0);
}

static void no_coordinator_there(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} garbage[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", 19 },
		/* 4 GiB of data on stream 1. */
		{ "\0\0\0\0\0\0\0\1\xff\xff\xff\xff", 12 },
		/* Streams that nobody opened; an unknown type. */
		{ "\0\1\0\1\0\0\0\2\0\0\0\0", 12 },
		{ "\0\x77\0\0\0\0\0\0\0\0\0\0", 12 },
		/* A DRPC frame of 2^63 bytes on stream 1. */
		{ "\0\0\0\0\0\0\0\1\0\0\0\x0d"
		  "\5\1\1\xff\xff\xff\xff\xff\xff\xff\xff\x7f\0", 25 },
		/* "Go away", because of an error. */
		{ "\0\3\0\0\0\0\0\0\0\0\0\1", 12 },
	};
	struct fixture *f = *state;

	come_up(f);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
		unsigned dials = f->world.dials;

		f->world.garbage = garbage[i].bytes;
		f->world.garbage_len = garbage[i].len;
		world_cut_coordinate(&f->world);
		world_run(&f->world, MINUTE);
		if (f->world.dials < dials + 2)
			fail_msg("garbage %zu was taken for good", i);
		assert_int_equal(ping_agent(f), 0);
		f->world.garbage = NULL;
		world_cut_coordinate(&f->world);
		world_run(&f->world, MINUTE);
		assert_int_equal(f->left + f->fatals, 0);
	}
	assert_int_equal(ping_agent(f), 0);
}

static void refused_token(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	f->world.refuse_tokens = true;
	world_cut_coordinate(&f->world);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->world.dials, 3);
	assert_string_equal(f->world.last_query, "version=2.0");
	assert_int_equal(f->connected, 2);
	assert_int_equal(f->fatals, 0);
}

static void final_on_the_first_dial(void **state)
{
	static const int statuses[] = { 400, 401, 403, 404, 409, 500 };
	struct fixture *f = *state;

	f->world.refuse_body = "{\"message\":\"no\"}";
	for (unsigned i = 0; i < 6; i++) {
		f->world.refuse = statuses[i];
		start(f);
		world_run(&f->world, MINUTE);
		assert_int_equal(f->fatals, i + 1);
		assert_int_equal(f->world.dials, i + 1);
		control_disconnect(f->control);
		world_run(&f->world, US_PER_S);
		assert_int_equal(f->ends, i + 1);
		control_free(f->control);
		f->control = NULL;
	}
}

static void not_final_later(void **state)
{
	static const int statuses[] = { 400, 404, 409, 500, 502 };
	struct fixture *f = *state;

	f->world.refuse_body = "{\"message\":\"no\"}";
	f->world.refuse = 502;
	start(f);
	world_run(&f->world, US_PER_S);
	assert_true(f->world.dials > 2);
	f->world.refuse = 0;
	world_run(&f->world, MINUTE);
	assert_int_equal(f->connected, 1);
	for (unsigned i = 0; i < 5; i++) {
		f->world.refuse = statuses[i];
		world_cut_coordinate(&f->world);
		world_run(&f->world, 5 * US_PER_S);
		f->world.refuse = 0;
		world_run(&f->world, MINUTE);
		assert_int_equal(f->connected, i + 2);
	}
	assert_int_equal(f->fatals, 0);
	/* Sign-in is: once, and quiet thereafter. */
	f->world.refuse = 401;
	world_cut_coordinate(&f->world);
	world_run(&f->world, MINUTE);
	assert_int_equal(f->fatals, 1);
	f->world.refuse = 0;
	world_run(&f->world, MINUTE);
	assert_int_equal(f->connected, 6);
}

static void flapping_backs_off(void **state)
{
	struct fixture *f = *state;

	f->world.hang_up = true;
	start(f);
	world_run(&f->world, MINUTE);
	assert_in_range(f->world.dials, 8, 25);
	f->world.hang_up = false;
	world_run(&f->world, MINUTE);
	f->world.dials = 0;
	world_cut_coordinate(&f->world);
	world_run(&f->world, 100 * US_PER_MS);
	assert_int_equal(f->world.dials, 1);
}

static void disconnect_in_order(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	control_disconnect(f->control);
	control_disconnect(f->control);
	world_until(&f->world, &f->ended, 100 * US_PER_MS);
	assert_int_equal(f->agent.disconnected, 1);
	assert_int_equal(f->agent.lost, 0);
	world_run(&f->world, MINUTE);
	assert_int_equal(f->ends, 1);
	assert_int_equal(f->world.dials, 1);
	assert_int_equal(world_sockets(&f->world), 0);
}

static void disconnect_from_a_callback(void **state)
{
	struct fixture *f = *state;

	f->disconnect_when_connected = true;
	start(f);
	world_until(&f->world, &f->ended, US_PER_S);
	world_run(&f->world, MINUTE);
	assert_int_equal(f->ends, 1);
}

static void disconnect_with_nobody_there(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	f->world.deaf = true;
	control_disconnect(f->control);
	world_run(&f->world, 4900 * US_PER_MS);
	assert_int_equal(f->ends, 0);
	world_run(&f->world, 200 * US_PER_MS);
	assert_int_equal(f->ends, 1);
	control_free(f->control);

	f->world.deaf = false;
	f->world.refuse = 503;
	f->world.refuse_body = "no";
	f->ended = false;
	start(f);
	world_run(&f->world, US_PER_S);
	control_disconnect(f->control);
	world_until(&f->world, &f->ended, US_PER_MS);
	assert_int_equal(f->ends, 2);
	control_free(f->control);

	/* While the socket is being opened. */
	start(f);
	control_disconnect(f->control);
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->ends, 3);
}

static void free_says_goodbye(void **state)
{
	struct fixture *f = *state;

	come_up(f);
	control_free(f->control);
	f->control = NULL;
	world_run(&f->world, US_PER_S);
	assert_int_equal(f->agent.disconnected, 1);
	assert_int_equal(f->ends, 0);
}

static void free_in_every_phase(void **state)
{
	struct fixture *f = *state;

	agent_announce(&f->agent);
	f->world.bytewise = true;
	for (unsigned step = 0; step < 40; step++) {
		start(f);
		world_run(&f->world, step * US_PER_MS / 2);
		if (step % 3 == 0)
			control_disconnect(f->control);
		if (step % 5 == 0)
			world_run(&f->world, US_PER_MS);
		control_free(f->control);
		node_peer_remove(f->own.node, &f->world.agent_id);
		world_run(&f->world, step % 7 * US_PER_MS);
	}
	f->control = NULL;
	control_free(NULL);
}

static void the_token_stays_secret(void **state)
{
	struct fixture *f = *state;
	struct control_config config;
	struct error error;
	struct control *other;

	come_up(f);
	/* Trouble that may pass. */
	f->gate.refuse_with = ERR_NOMEM;
	world_cut_coordinate(&f->world);
	world_run(&f->world, 10 * US_PER_S);
	assert_true(f->gate.refused > 3);
	assert_true(world_logged(&f->world, "resume_token=***"));
	/* A URL that nobody takes with the token is tried without. */
	f->gate.refuse_with = ERR_TOO_LARGE;
	f->gate.refuse_longer = 150;
	world_run(&f->world, 11 * US_PER_S);
	assert_int_equal(f->connected, 2);
	/* And what never can be is the end. */
	world_run(&f->world, 11 * US_PER_S);
	f->gate.refuse_with = ERR_DENIED;
	f->gate.refuse_longer = 0;
	world_cut_coordinate(&f->world);
	world_until(&f->world, &f->fatal, 11 * US_PER_S);
	assert_int_equal(f->error.code, ERR_DENIED);
	config = config_of(f);
	assert_int_equal(control_new(&config, &other, &error), ERR_DENIED);
	config.address_count = NODE_PEER_ADDRESS_CAP + 1;
	assert_int_equal(control_new(&config, &other, &error), ERR_MISUSE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_dial),
		TEST(byte_by_byte),
		TEST(without_ready),
		TEST(ready_before_the_node),
		TEST(lost_is_kept_a_while),
		TEST(disconnected_is_gone),
		TEST(restarted_agent),
		TEST(resumed),
		TEST(long_outage),
		TEST(left_while_we_were_away),
		TEST(away_but_answering),
		TEST(says_nothing),
		TEST(no_coordinator_there),
		TEST(refused_token),
		TEST(final_on_the_first_dial),
		TEST(not_final_later),
		TEST(flapping_backs_off),
		TEST(disconnect_in_order),
		TEST(disconnect_from_a_callback),
		TEST(disconnect_with_nobody_there),
		TEST(free_says_goodbye),
		TEST(free_in_every_phase),
		TEST(the_token_stays_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
