#include "tests/unit/base/test.h"

#include <string.h>

#include "core/tailnet/coordinate/drpc.h"
#include "core/tailnet/coordinate/rpc.h"
#include "tests/unit/coordinate/socket_pair.h"

/* A deployment: coordinator, tokens, DERP map and one agent in the process. */
struct world {
	struct rng rng;
	struct coordinator *coordinator;
	struct resume_tokens tokens;
	struct derp_map derp_map;
	struct uuid agent_id;
	struct coordinator_peer *agent;
	unsigned agent_heard;
	struct coord_node node;
};

static int agent_deliver(void *user, const void *data, size_t len,
			 uint64_t now_us)
{
	struct world *w = user;

	(void)data;
	(void)len;
	(void)now_us;
	w->agent_heard++;
	return 0;
}

static void agent_hang_up(void *user, uint64_t now_us)
{
	(void)now_us;
	((struct world *)user)->agent = NULL;
}

static const struct coordinator_events agent_events = { agent_deliver,
							agent_hang_up };

static void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	rng_seeded(&w->rng, seed);
	assert_int_equal(coordinator_new(&w->rng, &w->coordinator), 0);
	resume_tokens_init(&w->tokens, &w->rng, 24 * 3600);
	strcpy(derp_map_add_node(derp_map_add_region(&w->derp_map, 999))
		       ->host_name, "relay.example");
	w->agent_id = sample_uuid(VECTOR_UUID);
	sample_node(&w->node);
	assert_int_equal(coordinator_join(w->coordinator, &w->agent_id, true,
					  NULL, &agent_events, w, 0,
					  &w->agent), 0);
}

static void world_clear(struct world *w)
{
	coordinator_free(w->coordinator);
	derp_map_clear(&w->derp_map);
	resume_tokens_wipe(&w->tokens);
}

static void dial_as(struct world *w, struct pair *pair,
		    const struct uuid *peer, bool tokens)
{
	struct coordinate_server_config config = {
		.coordinator = w->coordinator,
		.peer = *peer,
		.agent = w->agent_id,
		.tokens = tokens ? &w->tokens : NULL,
		.wall_offset_us = WALL_OFFSET_US,
		.derp_map = &w->derp_map,
		.on_output = pair_on_server_output,
		.user = pair,
	};

	pair_client(pair, &w->rng, &w->agent_id);
	assert_int_equal(coordinate_server_new(&config, 0, &pair->server), 0);
}

static void dial(struct world *w, struct pair *pair, uint8_t number)
{
	struct uuid peer = { .bytes = { [15] = number } };

	dial_as(w, pair, &peer, true);
}

static void test_first_bytes(void **state)
{
	static const char wanted[] =
		"000100010000000100000000" "000100010000000300000000"
		"00000000000000030000002c" VECTOR_DRPC_DERPMAPS_INVOKE
		"000000000000000300000004" VECTOR_DRPC_DERPMAPS_REQUEST
		"000000000000000300000004" VECTOR_DRPC_DERPMAPS_CLOSESEND
		"000000000000000100000028" VECTOR_DRPC_COORDINATE_INVOKE
		"000000000000000100000018" VECTOR_DRPC_COORDINATE_ADD
		"000100010000000500000000";
	struct bytes bytes = unhex(wanted);
	const uint8_t *data;
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 1);
	pair_client(&pair, &w.rng, &w.agent_id);
	assert_true(coordinate_output(pair.client, &data) > bytes.len);
	assert_memory_equal(data, bytes.data, bytes.len);
	pair_clear(&pair);
	world_clear(&w);
}

static void session(uint64_t seed)
{
	struct coordinator_stats stats;
	struct world w;
	struct pair pair;

	world_init(&w, seed);
	dial(&w, &pair, 0xc);
	pair.max_piece = 1 + (unsigned)seed * 7;
	pair_settle(&pair);
	pair_expect(&pair, "map 1\ntoken 43200\n");
	assert_true(derp_map_equal(&pair.derp_map, &w.derp_map));
	assert_int_equal(pair.peer_id.bytes[15], 0xc);
	coordinator_set_node(w.agent, &w.node, 0);
	assert_true(pair.server_outputs > 0);
	pair_settle(&pair);
	pair_expect(&pair, "node ef node update\n");
	pair_clear(&pair);
	coordinator_stats(w.coordinator, &stats);
	assert_int_equal(stats.clients, 0);
	world_clear(&w);
}

static void test_session_at_many_cuts(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		session(seed);
	}
}

static void test_every_peer_update(void **state)
{
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 2);
	dial(&w, &pair, 0xc);
	assert_int_equal(coordinate_set_node(pair.client, &w.node, 0), 0);
	pair_settle(&pair);
	assert_int_equal(w.agent_heard, 1);
	pair.heard[0] = '\0';
	coordinator_ready(w.agent, &pair.peer_id, 0);
	coordinator_set_node(w.agent, &w.node, 0);
	pair_settle(&pair);
	pair_expect(&pair, "ready ef \nnode ef node update\n");
	assert_memory_equal(&pair.node, &w.node, sizeof(w.node));
	coordinator_leave(w.agent, 0);
	pair_settle(&pair);
	pair_expect(&pair, "lost ef lost\n");
	coordinator_join(w.coordinator, &w.agent_id, true, NULL, &agent_events,
			 &w, 0, &w.agent);
	coordinator_set_node(w.agent, &w.node, 0);
	coordinator_disconnect(w.agent, 0);
	assert_null(w.agent);
	pair_settle(&pair);
	pair_expect(&pair, "node ef node update\n"
			   "disconnected ef graceful disconnect\n");
	pair_clear(&pair);
	world_clear(&w);
}

static void test_disconnect(void **state)
{
	struct coordinator_stats stats;
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 3);
	dial(&w, &pair, 0xc);
	coordinate_set_node(pair.client, &w.node, 0);
	pair_settle(&pair);
	pair.heard[0] = '\0';
	assert_int_equal(coordinate_disconnect(pair.client, 0), 0);
	assert_int_equal(coordinate_set_node(pair.client, &w.node, 0),
			 ERR_CLOSED);
	assert_int_equal(coordinate_disconnect(pair.client, 0), ERR_CLOSED);
	pair_settle(&pair);
	pair_expect(&pair, "done\n");
	assert_int_equal(coordinate_next_deadline(pair.client), DEADLINE_NONE);
	coordinator_stats(w.coordinator, &stats);
	assert_int_equal(stats.disconnect, 1);
	assert_int_equal(stats.clients, 0);
	assert_int_equal(w.agent_heard, 2);
	pair_clear(&pair);
	world_clear(&w);
}

static void test_disconnect_unanswered(void **state)
{
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 4);
	pair_client(&pair, &w.rng, &w.agent_id);
	coordinate_disconnect(pair.client, 100);
	assert_int_equal(coordinate_next_deadline(pair.client),
			 100 + COORDINATE_DISCONNECT_TIMEOUT_US);
	coordinate_tick(pair.client, 100 + COORDINATE_DISCONNECT_TIMEOUT_US);
	pair_expect(&pair, "done\n");
	pair_clear(&pair);
	world_clear(&w);
}

/* The old socket is not known to be dead yet when the token comes. */
static void test_resume_keeps_the_id(void **state)
{
	struct uuid resumed;
	struct world w;
	struct pair old, pair;

	(void)state;
	world_init(&w, 5);
	dial(&w, &old, 0xc);
	coordinate_set_node(old.client, &w.node, 0);
	coordinator_set_node(w.agent, &w.node, 0);
	pair_settle(&old);
	assert_int_equal(resume_token_verify(&w.tokens, old.token,
					     WALL_OFFSET_US / 1000000, &resumed,
					     NULL), 0);
	assert_true(uuid_equal(&resumed, &old.peer_id));
	dial_as(&w, &pair, &resumed, true);
	coordinate_set_node(pair.client, &w.node, 0);
	pair_settle(&pair);
	assert_true(uuid_equal(&pair.peer_id, &old.peer_id));
	assert_non_null(strstr(pair.heard, "node ef init\n"));
	/* The agent was told nothing new. */
	assert_int_equal(w.agent_heard, 1);
	old.heard[0] = '\0';
	pair_settle(&old);
	pair_expect(&old, "failed closed\n");
	pair_clear(&old);
	assert_int_equal(w.agent_heard, 1);
	pair_clear(&pair);
	assert_int_equal(w.agent_heard, 2);
	world_clear(&w);
}

static void test_token_is_refreshed_at_half_its_life(void **state)
{
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 6);
	w.tokens.lifetime_s = 121;
	dial(&w, &pair, 0xc);
	pair_run(&pair, 1);
	pair_expect(&pair, "map 1\ntoken 60\n");
	pair_run(&pair, 60 * US_PER_S);
	pair_expect(&pair, "");
	pair_run(&pair, 61 * US_PER_S);
	pair_expect(&pair, "token 60\n");
	/* An hour of keepalives and refreshes leaves no stream behind. */
	pair_run(&pair, 3600 * US_PER_S);
	assert_int_equal(strncmp(pair.heard, "token 60\n", 9), 0);
	assert_int_equal(pair.failure.code, 0);
	pair_clear(&pair);
	world_clear(&w);
}

static void test_old_server_without_tokens(void **state)
{
	struct uuid peer = { .bytes = { 1 } };
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 7);
	dial_as(&w, &pair, &peer, false);
	pair_settle(&pair);
	pair_expect(&pair, "map 1\nRefreshResumeToken not_found: unknown rpc: "
			   "\"/coder.tailnet.v2.Tailnet/RefreshResumeToken\""
			   " (code 12)\n");
	/* The session goes on, and does not ask again. */
	pair_run(&pair, 7200 * US_PER_S);
	coordinator_set_node(w.agent, &w.node, pair.now_us);
	pair_settle(&pair);
	pair_expect(&pair, "node ef node update\n");
	pair_clear(&pair);
	world_clear(&w);
}

static void test_denied(void **state)
{
	struct uuid other = { .bytes = { 9 } };
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 8);
	dial(&w, &pair, 0xc);
	pair_settle(&pair);
	pair.heard[0] = '\0';
	assert_int_equal(coordinate_add_tunnel(pair.client, &other, 0), 0);
	pair_settle(&pair);
	pair_expect(&pair, "complaint authorize request: invalid agent id\n"
			   "failed closed\n");
	assert_string_equal(pair.failure.message, "the coordinator hung up");
	pair_clear(&pair);
	world_clear(&w);
}

static void test_derp_map_changes(void **state)
{
	struct world w;
	struct pair pair;

	(void)state;
	world_init(&w, 9);
	dial(&w, &pair, 0xc);
	pair_settle(&pair);
	pair.heard[0] = '\0';
	coordinate_server_set_derp_map(pair.server, &w.derp_map, 0);
	pair_settle(&pair);
	pair_expect(&pair, "");
	/* The largest map there is: more than a window. */
	for (int64_t id = 0; id < DERP_MAP_REGION_CAP - 1; id++) {
		struct derp_map_region *region =
			derp_map_add_region(&w.derp_map, id);

		for (int i = 0; i < DERP_MAP_NODE_CAP; i++) {
			struct derp_map_node *node = derp_map_add_node(region);

			memset(node->host_name, 'h', DERP_MAP_HOST_CAP - 1);
			memset(node->cert_name, 'c', DERP_MAP_HOST_CAP - 1);
		}
	}
	pair.max_piece = 40000;
	assert_int_equal(coordinate_server_set_derp_map(pair.server,
							&w.derp_map, 0), 0);
	pair_settle(&pair);
	pair_expect(&pair, "map 256\n");
	assert_true(derp_map_equal(&pair.derp_map, &w.derp_map));
	pair_clear(&pair);
	world_clear(&w);
}

static void free_client(struct pair *pair)
{
	struct coordinate *client = pair->client;

	pair->client = NULL;
	coordinate_free(client);
	pair->on_heard = NULL;
}

static void test_freeing_inside_a_callback(void **state)
{
	struct world w;
	struct pair pair;
	const uint8_t *data;
	size_t len;

	(void)state;
	world_init(&w, 10);
	dial(&w, &pair, 0xc);
	len = coordinate_output(pair.client, &data);
	coordinate_server_in(pair.server, data, len, 0, NULL);
	coordinator_set_node(w.agent, &w.node, 0);
	pair.on_heard = free_client;
	len = coordinate_server_output(pair.server, &data);
	assert_int_equal(coordinate_in(pair.client, data, len, 0), 0);
	assert_null(pair.client);
	pair_expect(&pair, "map 1\n");
	pair_clear(&pair);
	world_clear(&w);
}

/* What a hostile server may send on stream 1, after accepting it. */
static int hostile(const char *drpc, struct pair *pair, struct world *w)
{
	struct bytes body = unhex(drpc);
	struct bytes head = unhex("000100020000000100000000"
				  "000000000000000100000000");

	world_init(w, 11);
	pair_client(pair, &w->rng, &w->agent_id);
	head.data[23] = (uint8_t)body.len;
	head.data[22] = (uint8_t)(body.len >> 8);
	coordinate_in(pair->client, head.data, head.len, 0);
	for (size_t i = 0; i < body.len; i++)
		coordinate_in(pair->client, body.data + i, 1, 0);
	return pair->failure.code;
}

static void check_hostile(const char *drpc, int err, const char *heard)
{
	struct world w;
	struct pair pair;

	assert_int_equal(hostile(drpc, &pair, &w), err);
	pair_expect(&pair, heard);
	pair_clear(&pair);
	world_clear(&w);
}

static void test_hostile_server(void **state)
{
	(void)state;
	/* 5 MiB DRPC message, a bad kind, Invoke to a client, rubbish. */
	check_hostile("05010180808003", ERR_TOO_LARGE, "failed too_large\n");
	check_hostile("7f010100", ERR_PROTOCOL, "failed protocol\n");
	check_hostile("03010100", ERR_PROTOCOL, "failed protocol\n");
	check_hostile("05010101ff", ERR_PROTOCOL, "failed protocol\n");
	/* An unknown kind with the control bit is ignored. */
	check_hostile("ff010100" "05010200", 0, "");
	check_hostile("09010100", ERR_CANCELED, "failed canceled\n");
	check_hostile(VECTOR_DRPC_ERROR, ERR_NOT_FOUND, "failed not_found\n");
	check_hostile("07010100", ERR_REFUSED, "failed refused\n");
	check_hostile(VECTOR_DRPC_CLOSE, ERR_CLOSED, "failed closed\n");
	/* Another DRPC stream is none of ours. */
	check_hostile("0b020100", 0, "");
}

static void test_bad_updates_are_not_fatal(void **state)
{
	(void)state;
	/* Kind 5; an id of one byte; NODE without node; NODE, empty node. */
	check_hostile("05010116" "0a14" "0a100123456789ab4def8123456789abcdef"
		      "1805", 0, "bad ef: peer update of kind 5\n");
	check_hostile("05010107" "0a05" "0a0101" "1804", 0,
		      "bad 00: peer id of 1 bytes\n");
	check_hostile("05010116" "0a14" "0a100123456789ab4def8123456789abcdef"
		      "1801", 0, "bad ef: peer update without its node\n");
	check_hostile("05010118" "0a16" "0a100123456789ab4def8123456789abcdef"
		      "1200" "1801", 0,
		      "bad ef: node key of 0 bytes is not np and 32\n");
}

static void test_vector_responses(void **state)
{
	(void)state;
	check_hostile("05010116" VECTOR_RESP_READY, 0, "ready ef \n");
	check_hostile("0501011c" VECTOR_RESP_LOST, 0, "lost ef lost\n");
	check_hostile("05010116" VECTOR_RESP_ERROR, 0,
		      "complaint authorize request: x\n");
	check_hostile("0501018302" VECTOR_RESP_NODE, 0,
		      "node ef add tunnel\n");
}

static void test_keepalive_failure(void **state)
{
	struct world w;
	struct pair pair;
	const uint8_t *data;
	uint64_t now = 0;

	(void)state;
	world_init(&w, 12);
	pair_client(&pair, &w.rng, &w.agent_id);
	while (!pair.failure.code && now < 1000 * US_PER_S) {
		coordinate_sent(pair.client,
				coordinate_output(pair.client, &data), now);
		now = coordinate_next_deadline(pair.client);
		coordinate_tick(pair.client, now);
	}
	assert_int_equal(pair.failure.code, ERR_TIMEOUT);
	assert_int_equal(now, YAMUX_KEEPALIVE_US + YAMUX_WRITE_TIMEOUT_US);
	pair_clear(&pair);
	world_clear(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_bytes),
		cmocka_unit_test(test_session_at_many_cuts),
		cmocka_unit_test(test_every_peer_update),
		cmocka_unit_test(test_disconnect),
		cmocka_unit_test(test_disconnect_unanswered),
		cmocka_unit_test(test_resume_keeps_the_id),
		cmocka_unit_test(test_token_is_refreshed_at_half_its_life),
		cmocka_unit_test(test_old_server_without_tokens),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_derp_map_changes),
		cmocka_unit_test(test_freeing_inside_a_callback),
		cmocka_unit_test(test_hostile_server),
		cmocka_unit_test(test_bad_updates_are_not_fatal),
		cmocka_unit_test(test_vector_responses),
		cmocka_unit_test(test_keepalive_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
