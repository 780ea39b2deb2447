/*
 * A client and a server of one coordinate socket, joined in memory: bytes go
 * in seeded random pieces, time moves only by hand, and what the client
 * hears is written down, one word a line.
 */
#ifndef TUNNELHOST_TESTS_COORDINATE_SOCKET_PAIR_H
#define TUNNELHOST_TESTS_COORDINATE_SOCKET_PAIR_H

#include <stdio.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/coordinate/coordinate_server.h"
#include "tests/unit/coordinate/samples.h"

#define WALL_OFFSET_US (1700000000ll * 1000000ll)

struct pair {
	struct rng *rng;
	struct coordinate *client;
	struct coordinate_server *server;
	uint64_t now_us;
	char heard[8192];
	char token[RESUME_TOKEN_CAP];
	struct uuid peer_id;
	struct coord_node node;		/* the last one heard */
	struct derp_map derp_map;	/* the same */
	unsigned outputs, server_outputs;
	struct error failure;
	unsigned max_piece;
	void (*on_heard)(struct pair *pair);	/* from inside callbacks */
};

static inline void pair_note(struct pair *pair, const char *format, ...)
{
	size_t len = strlen(pair->heard);
	va_list args;

	va_start(args, format);
	vsnprintf(pair->heard + len, sizeof(pair->heard) - len, format, args);
	va_end(args);
	if (pair->on_heard)
		pair->on_heard(pair);
}

static inline void pair_expect(struct pair *pair, const char *heard)
{
	assert_string_equal(pair->heard, heard);
	pair->heard[0] = '\0';
}

static inline void pair_on_update(void *user,
				  const struct coordinate_update *update)
{
	static const char *const kinds[] = { "?", "node", "disconnected",
					     "lost", "ready" };
	struct pair *pair = user;

	if (update->node)
		pair->node = *update->node;
	pair_note(pair, "%s %02x %s\n", kinds[update->kind],
		  update->peer.bytes[15], update->reason);
}

static inline void pair_on_bad_update(void *user, const struct uuid *peer,
				      const struct error *error)
{
	pair_note(user, "bad %02x: %s\n", peer->bytes[15], error->message);
}

static inline void pair_on_derp_map(void *user, const struct derp_map *map)
{
	struct pair *pair = user;

	assert_int_equal(derp_map_copy(map, &pair->derp_map), 0);
	pair_note(pair, "map %zu\n", map->region_count);
}

static inline void pair_on_token(void *user,
				 const struct coordinate_token *token)
{
	struct pair *pair = user;

	snprintf(pair->token, sizeof(pair->token), "%s", token->token);
	assert_true(token->has_peer_id);
	pair->peer_id = token->peer_id;
	pair_note(pair, "token %llu\n",
		  (unsigned long long)(token->refresh_in_us / US_PER_S));
}

static inline void pair_on_complaint(void *user, const char *text)
{
	pair_note(user, "complaint %s\n", text);
}

static inline void pair_on_rpc_failed(void *user, const char *rpc,
				      const struct error *error)
{
	pair_note(user, "%s %s: %s\n", rpc, err_name(error->code),
		  error->message);
}

static inline void pair_on_output(void *user)
{
	((struct pair *)user)->outputs++;
}

static inline void pair_on_server_output(void *user)
{
	((struct pair *)user)->server_outputs++;
}

static inline void pair_on_done(void *user)
{
	pair_note(user, "done\n");
}

static inline void pair_on_failed(void *user, const struct error *error)
{
	((struct pair *)user)->failure = *error;
	pair_note(user, "failed %s\n", err_name(error->code));
}

static const struct coordinate_events pair_events = {
	.on_update = pair_on_update,
	.on_bad_update = pair_on_bad_update,
	.on_derp_map = pair_on_derp_map,
	.on_token = pair_on_token,
	.on_complaint = pair_on_complaint,
	.on_rpc_failed = pair_on_rpc_failed,
	.on_output = pair_on_output,
	.on_done = pair_on_done,
	.on_failed = pair_on_failed,
};

/* The client alone; the server is the test's. */
static inline void pair_client(struct pair *pair, struct rng *rng,
			       const struct uuid *agent)
{
	struct coordinate_config config = { .agent = *agent,
					    .events = &pair_events,
					    .user = pair };

	memset(pair, 0, sizeof(*pair));
	pair->rng = rng;
	pair->max_piece = 100;
	assert_int_equal(coordinate_new(&config, 0, &pair->client), 0);
}

static inline void pair_clear(struct pair *pair)
{
	coordinate_free(pair->client);
	coordinate_server_free(pair->server, pair->now_us);
	derp_map_clear(&pair->derp_map);
}

/* Whether anything moved. */
static inline bool pair_step(struct pair *pair)
{
	size_t piece = 1 + rng_below(pair->rng, pair->max_piece);
	const uint8_t *data;
	bool moved = false;
	size_t len;

	len = pair->client ? coordinate_output(pair->client, &data) : 0;
	if (len > 0) {
		len = len < piece ? len : piece;
		assert_int_equal(coordinate_server_in(pair->server, data, len,
						      pair->now_us, NULL), 0);
		coordinate_sent(pair->client, len, pair->now_us);
		moved = true;
	}
	len = pair->client ? coordinate_server_output(pair->server, &data) : 0;
	if (len > 0) {
		len = len < piece ? len : piece;
		assert_int_equal(coordinate_in(pair->client, data, len,
					       pair->now_us), 0);
		coordinate_server_sent(pair->server, len, pair->now_us);
		moved = true;
	}
	return moved;
}

static inline void pair_settle(struct pair *pair)
{
	while (pair_step(pair))
		;
}

/* Moves time to `until_us`, stopping at every deadline. */
static inline void pair_run(struct pair *pair, uint64_t until_us)
{
	uint64_t next;

	for (;;) {
		pair_settle(pair);
		next = deadline_min(
			coordinate_next_deadline(pair->client),
			coordinate_server_next_deadline(pair->server));
		if (next > until_us)
			break;
		pair->now_us = next > pair->now_us ? next : pair->now_us;
		coordinate_tick(pair->client, pair->now_us);
		assert_int_equal(coordinate_server_tick(pair->server,
							pair->now_us, NULL),
				 0);
	}
	pair->now_us = until_us;
}

#endif
