#include "tests/unit/base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/coordinate/coordinator.h"
#include "core/tailnet/coordinate/node_message.h"
#include "tests/unit/coordinate/samples.h"

/* A peer that writes down what it hears, one word a line. */
struct listener {
	struct uuid id;
	struct coordinator_peer *peer;
	char heard[4096];
	unsigned hung_up;
	int answer;			/* of deliver */
	bool leave;			/* from inside deliver */
	bool ready;			/* answers each node with READY */
};

static const char *const kinds[] = { "?", "node", "disconnected", "lost",
				     "ready" };

static void note(struct listener *l, const char *text)
{
	assert_true(strlen(l->heard) + strlen(text) + 2 < sizeof(l->heard));
	strcat(l->heard, text);
	strcat(l->heard, "\n");
}

static void note_update(struct listener *l, const Tailnet__PeerUpdate *update)
{
	char text[128];

	assert_int_equal(update->id.len, 16);
	snprintf(text, sizeof(text), "%s %02x %s", kinds[update->kind],
		 update->id.data[15], update->reason);
	note(l, text);
}

static int deliver(void *user, const void *data, size_t len, uint64_t now_us)
{
	struct listener *l = user;
	Tailnet__CoordinateResponse *response =
		tailnet__coordinate_response__unpack(NULL, len, data);

	assert_non_null(response);
	if (response->error[0])
		note(l, response->error);
	for (size_t i = 0; i < response->n_peer_updates; i++) {
		struct uuid from;

		note_update(l, response->peer_updates[i]);
		memcpy(from.bytes, response->peer_updates[i]->id.data, 16);
		if (l->ready && response->peer_updates[i]->node)
			coordinator_ready(l->peer, &from, now_us);
	}
	tailnet__coordinate_response__free_unpacked(response, NULL);
	if (l->leave) {
		coordinator_leave(l->peer, now_us);
		l->peer = NULL;
	}
	return l->answer;
}

static void hang_up(void *user, uint64_t now_us)
{
	struct listener *l = user;

	(void)now_us;
	l->hung_up++;
	l->peer = NULL;
}

static const struct coordinator_events events = { deliver, hang_up };

struct world {
	struct rng rng;
	struct coordinator *coordinator;
	struct listener agent, client, other;
};

static void join(struct world *w, struct listener *l, uint8_t number,
		 bool agent)
{
	memset(l, 0, sizeof(*l));
	l->id.bytes[15] = number;
	assert_int_equal(coordinator_join(w->coordinator, &l->id, agent,
					  &w->agent.id, &events, l, 0,
					  &l->peer), 0);
}

static void world_init(struct world *w)
{
	rng_seeded(&w->rng, 1);
	assert_int_equal(coordinator_new(&w->rng, &w->coordinator), 0);
	join(w, &w->agent, 0xa, true);
	join(w, &w->client, 0xc, false);
	join(w, &w->other, 0xd, false);
}

static void world_clear(struct world *w)
{
	coordinator_free(w->coordinator);
	assert_null(w->agent.peer);
	assert_null(w->client.peer);
}

static void expect(struct listener *l, const char *heard)
{
	assert_string_equal(l->heard, heard);
	l->heard[0] = '\0';
}

static int request(struct listener *l, const char *hex)
{
	struct bytes wire = unhex(hex);

	return coordinator_request(l->peer, wire.data, wire.len, 0);
}

static int add_tunnel(struct listener *l, const struct listener *to)
{
	Tailnet__CoordinateRequest message = TAILNET__COORDINATE_REQUEST__INIT;
	Tailnet__Tunnel tunnel = TAILNET__TUNNEL__INIT;
	uint8_t wire[64];

	tunnel.id.data = (uint8_t *)to->id.bytes;
	tunnel.id.len = 16;
	message.add_tunnel = &tunnel;
	return coordinator_request(
		l->peer, wire,
		tailnet__coordinate_request__pack(&message, wire), 0);
}

static int set_node(struct listener *l, int64_t id)
{
	struct coord_node node;

	sample_node(&node);
	node.id = id;
	return coordinator_set_node(l->peer, &node, 0);
}

static void test_nodes_reach_both_ends_once(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	assert_int_equal(set_node(&w.agent, 1), 0);
	expect(&w.client, "");
	assert_int_equal(add_tunnel(&w.client, &w.agent), 0);
	expect(&w.client, "node 0a add tunnel\n");
	expect(&w.agent, "");
	assert_int_equal(request(&w.client, VECTOR_REQ_UPDATE_SELF), 0);
	expect(&w.agent, "node 0c node update\n");
	/* The same again is no news. */
	assert_int_equal(request(&w.client, VECTOR_REQ_UPDATE_SELF), 0);
	assert_int_equal(add_tunnel(&w.client, &w.agent), 0);
	assert_int_equal(set_node(&w.agent, 1), 0);
	expect(&w.agent, "");
	expect(&w.client, "");
	assert_int_equal(set_node(&w.agent, 2), 0);
	expect(&w.client, "node 0a node update\n");
	expect(&w.other, "");
	world_clear(&w);
}

static void test_ready_for_handshake(void **state)
{
	struct coordinator_stats stats;
	struct world w;

	(void)state;
	world_init(&w);
	w.agent.ready = true;	/* from inside deliver */
	assert_int_equal(add_tunnel(&w.client, &w.agent), 0);
	assert_int_equal(set_node(&w.client, 1), 0);
	expect(&w.client, "ready 0a \n");
	coordinator_mute_ready(w.coordinator, true);
	assert_int_equal(set_node(&w.client, 2), 0);
	expect(&w.client, "");
	w.agent.heard[0] = '\0';
	assert_int_equal(coordinator_ready(w.agent.peer, &w.other.id, 0), 0);
	expect(&w.agent, "you do not share a tunnel with "
			 "\"00000000-0000-0000-0000-00000000000d\"\n");
	coordinator_stats(w.coordinator, &stats);
	assert_int_equal(stats.ready_for_handshake, 3);
	assert_int_equal(stats.clients, 2);
	assert_int_equal(stats.agents, 1);
	world_clear(&w);
}

static void test_disconnect_and_leave(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_node(&w.agent, 1);
	set_node(&w.client, 2);
	set_node(&w.other, 3);
	add_tunnel(&w.client, &w.agent);
	add_tunnel(&w.other, &w.agent);
	w.agent.heard[0] = '\0';
	assert_int_equal(request(&w.client, VECTOR_REQ_DISCONNECT), 0);
	assert_int_equal(w.client.hung_up, 1);
	expect(&w.agent, "disconnected 0c graceful disconnect\n");
	coordinator_leave(w.other.peer, 0);
	assert_int_equal(w.other.hung_up, 0);
	expect(&w.agent, "lost 0d lost\n");
	/* Nobody to be told of the agent. */
	expect(&w.client, "node 0a add tunnel\n");
	world_clear(&w);
}

/* The agent goes and comes back: the tunnel waited. */
static void test_agent_returns(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_node(&w.client, 2);
	set_node(&w.agent, 1);
	add_tunnel(&w.client, &w.agent);
	w.client.heard[0] = '\0';
	coordinator_leave(w.agent.peer, 0);
	expect(&w.client, "lost 0a lost\n");
	join(&w, &w.agent, 0xa, true);
	expect(&w.agent, "node 0c init\n");
	set_node(&w.agent, 1);
	expect(&w.client, "node 0a node update\n");
	world_clear(&w);
}

/* A resumed socket comes before the old one is known to be dead. */
static void test_same_id_replaces(void **state)
{
	struct listener again;
	struct world w;

	(void)state;
	world_init(&w);
	set_node(&w.agent, 1);
	set_node(&w.client, 2);
	add_tunnel(&w.client, &w.agent);
	w.agent.heard[0] = '\0';
	join(&w, &again, 0xc, false);
	assert_int_equal(w.client.hung_up, 1);
	expect(&again, "node 0a init\n");
	/* UpdateSelf and AddTunnel again: nothing new for the agent. */
	set_node(&again, 2);
	add_tunnel(&again, &w.agent);
	expect(&w.agent, "");
	coordinator_leave(again.peer, 0);
	expect(&w.agent, "lost 0c lost\n");
	world_clear(&w);
}

static void test_remove_tunnel(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_node(&w.agent, 1);
	set_node(&w.client, 2);
	add_tunnel(&w.client, &w.agent);
	w.agent.heard[0] = w.client.heard[0] = '\0';
	assert_int_equal(request(&w.client, "22120a10" "00000000000000000000"
					    "00000000000a"), 0);
	expect(&w.agent, "disconnected 0c remove tunnel\n");
	expect(&w.client, "disconnected 0a remove tunnel\n");
	set_node(&w.client, 3);
	expect(&w.agent, "");
	world_clear(&w);
}

static void check_denied(const char *hex, bool agent, const char *heard)
{
	struct listener *l;
	struct world w;

	world_init(&w);
	l = agent ? &w.agent : &w.client;
	set_node(&w.agent, 1);
	set_node(&w.client, 2);
	add_tunnel(&w.client, &w.agent);
	w.agent.heard[0] = w.client.heard[0] = '\0';
	assert_int_equal(request(l, hex), ERR_DENIED);
	assert_int_equal(l->hung_up, 1);
	expect(l, heard);
	expect(agent ? &w.client : &w.agent,
	       agent ? "lost 0a unauthorized\n" : "lost 0c unauthorized\n");
	world_clear(&w);
}

static void test_authorization(void **state)
{
	(void)state;
	/* Another agent than the one in the URL. */
	check_denied(VECTOR_REQ_ADD_TUNNEL, false,
		     "authorize request: invalid agent id\n");
	check_denied(VECTOR_REQ_ADD_TUNNEL, true,
		     "authorize request: agents cannot open tunnels\n");
	check_denied("1a030a0161", false,
		     "authorize request: parse add tunnel id: not 16 bytes\n");
	/* UpdateSelf with the addresses "fd7a::1/64" and "x". */
	check_denied("0a0e0a0c420a666437613a3a312f3634", false,
		     "authorize request: invalid address bits, "
		     "expected 128\n");
	check_denied("0a050a03420178", false,
		     "authorize request: parse node address: "
		     "not a prefix\n");
	check_denied("2a020a00", false,
		     "authorize request: clients may not send "
		     "ready_for_handshake\n");
}

/* Found by the fuzzer: the party was freed while its tunnels were walked. */
static void test_a_tunnel_to_oneself(void **state)
{
	struct listener self;
	struct world w;

	(void)state;
	world_init(&w);
	memset(&self, 0, sizeof(self));
	self.id.bytes[15] = 1;
	assert_int_equal(coordinator_join(w.coordinator, &self.id, false, NULL,
					  &events, &self, 0, &self.peer), 0);
	assert_int_equal(add_tunnel(&self, &self), 0);
	coordinator_leave(self.peer, 0);
	world_clear(&w);
}

static void test_rubbish_is_hung_up_on(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	assert_int_equal(request(&w.client, "ff"), ERR_PROTOCOL);
	assert_int_equal(w.client.hung_up, 1);
	assert_int_equal(request(&w.agent, "2a020a00"), ERR_PROTOCOL);
	assert_int_equal(w.agent.hung_up, 1);
	/* An UpdateSelf without a node is no news. */
	assert_int_equal(request(&w.other, "0a00"), 0);
	assert_int_equal(w.other.hung_up, 0);
	world_clear(&w);
}

static void test_a_peer_that_cannot_take_it(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_node(&w.client, 2);
	add_tunnel(&w.client, &w.agent);
	w.client.answer = ERR_LIMIT;
	w.agent.heard[0] = '\0';
	set_node(&w.agent, 1);
	assert_int_equal(w.client.hung_up, 1);
	expect(&w.agent, "disconnected 0c failed update\n");
	world_clear(&w);
}

static void test_leaving_from_inside_a_delivery(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_node(&w.client, 2);
	add_tunnel(&w.client, &w.agent);
	w.client.leave = true;
	w.client.answer = ERR_LIMIT;
	w.agent.heard[0] = '\0';
	set_node(&w.agent, 1);
	assert_null(w.client.peer);
	assert_int_equal(w.client.hung_up, 0);
	expect(&w.agent, "lost 0c lost\n");
	world_clear(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_reach_both_ends_once),
		cmocka_unit_test(test_ready_for_handshake),
		cmocka_unit_test(test_disconnect_and_leave),
		cmocka_unit_test(test_agent_returns),
		cmocka_unit_test(test_same_id_replaces),
		cmocka_unit_test(test_remove_tunnel),
		cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_a_tunnel_to_oneself),
		cmocka_unit_test(test_rubbish_is_hung_up_on),
		cmocka_unit_test(test_a_peer_that_cannot_take_it),
		cmocka_unit_test(test_leaving_from_inside_a_delivery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
