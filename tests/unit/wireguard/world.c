#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"

static int64_t wall(void *user)
{
	const struct world *world = user;

	return world->wall_us + (int64_t)world->now_us;
}

static void end_init(struct world *world, int i, uint64_t seed,
		     uint64_t rekey_after_us)
{
	struct world_end *end = &world->ends[i];
	struct wg_config config = {
		.rng = &end->rng, .wall_us = wall, .user = world,
		.rekey_after_us = rekey_after_us,
	};

	rng_seeded(&end->rng, seed + (uint64_t)i);
	key_private(&end->rng, &config.private_key);
	assert_int_equal(wg_new(&config, &end->wg), 0);
	key_wipe(&config.private_key);
	end->address[0] = 0xfd;
	end->address[15] = (uint8_t)(i + 1);
	end->from = (uint64_t)i + 100;
}

struct world *world_new(uint64_t seed, uint64_t rekey_after_us)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->now_us = WORLD_START;
	world->wall_us = 1700000000ll * 1000000;
	world->delay_us = 10 * US_PER_MS;
	rng_seeded(&world->network, seed + 1000);
	for (int i = 0; i < 2; i++)
		end_init(world, i, seed * 16, rekey_after_us);
	for (int i = 0; i < 2; i++)
		assert_int_equal(wg_peer_add(world->ends[i].wg,
					     wg_public_key(world->ends[!i].wg),
					     (const uint8_t(*)[16])
						     world->ends[!i].address,
					     1, &world->ends[!i],
					     &world->ends[i].peer), 0);
	return world;
}

void world_free(struct world *world)
{
	for (int i = 0; i < 2; i++)
		wg_free(world->ends[i].wg);
	free(world);
}

static void enqueue(struct world *world, int to, const uint8_t *bytes,
		    size_t len)
{
	struct world_packet *packet = &world->packets[world->count];

	assert_true(world->count < WORLD_PACKETS && len <= WORLD_BUFFER);
	memcpy(packet->bytes, bytes, len);
	packet->len = len;
	packet->to = to;
	packet->order = world->order++;
	packet->at_us = world->now_us + world->delay_us +
			rng_below(&world->network, world->jitter_us);
	if (rng_below(&world->network, 100) < world->loss_percent ||
	    (world->lossy && world->lossy(world, to, packet->bytes, len)))
		world->lost++;
	else
		world->count++;
}

static void transmit(struct world *world, int from, const uint8_t *bytes,
		     size_t len)
{
	struct world_end *end = &world->ends[from];

	end->sent[bytes[0]]++;
	end->last_sent_us[bytes[0]] = world->now_us;
	enqueue(world, !from, bytes, len);
}

size_t world_out(struct world *world, int from, uint8_t out[WORLD_BUFFER])
{
	struct wg_out_message message;
	int rc = wg_out(world->ends[from].wg, world->now_us, out,
			WORLD_BUFFER, &message);

	if (rc == ERR_AGAIN)
		return 0;
	assert_int_equal(rc, 0);
	if (message.kind == WG_OUT_COOKIE)
		assert_int_equal(message.from, world->ends[!from].from);
	else
		assert_ptr_equal(message.peer, world->ends[from].peer);
	return message.len;
}

static void pump_end(struct world *world, int i)
{
	struct world_end *end = &world->ends[i];
	uint8_t bytes[WORLD_BUFFER];
	struct wg_event event;
	size_t len;

	while ((len = world_out(world, i, bytes)) > 0)
		transmit(world, i, bytes, len);
	while (wg_event(end->wg, &event)) {
		assert_ptr_equal(event.peer, end->peer);
		end->events[event.kind]++;
		end->last_event_us[event.kind] = world->now_us;
	}
}

void world_pump(struct world *world)
{
	for (int i = 0; i < 2; i++)
		pump_end(world, i);
}

/* Payload: 8 bytes of serial, then bytes that follow from it. */
static void write_inner(struct world *world, int from, uint8_t *at, size_t len)
{
	memset(at, 0, 40);
	at[0] = 0x60;
	be_store(at + 4, len, 2);
	memcpy(at + 8, world->ends[from].address, 16);
	memcpy(at + 24, world->ends[!from].address, 16);
	be_store(at + 40, ++world->serial, 8);
	for (size_t i = 8; i < len; i++)
		at[40 + i] = (uint8_t)(world->serial + i);
}

static void check_inner(struct world *world, struct world_end *end,
			const uint8_t *at, size_t len)
{
	uint64_t serial = be_load(at + 40, 8);

	assert_true(len >= 48);
	for (size_t i = 8; i < len - 40; i++)
		assert_int_equal(at[40 + i], (uint8_t)(serial + i));
	end->rx++;
	end->last_serial = serial;
	end->last_rx_us = world->now_us;
}

ssize_t world_seal(struct world *world, int from, size_t len,
		   uint8_t out[WORLD_BUFFER])
{
	write_inner(world, from, out + WG_DATA_HEADER, len);
	return wg_seal(world->ends[from].peer, out, 40 + len, WORLD_BUFFER,
		       world->now_us);
}

int world_send(struct world *world, int from, size_t len)
{
	uint8_t bytes[WORLD_BUFFER];
	ssize_t total = world_seal(world, from, len, bytes);

	if (total > 0)
		transmit(world, from, bytes, (size_t)total);
	world_pump(world);
	return total > 0 ? 0 : (int)total;
}

enum wg_ignored world_in(struct world *world, int to, const uint8_t *bytes,
			 size_t len)
{
	struct world_end *end = &world->ends[to];
	/* Exactly the size, so that ASan sees a read past the end. */
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	if (len)
		memcpy(copy, bytes, len);
	wg_in(end->wg, copy, len, world->ends[!to].from, world->now_us,
	      &end->last);
	if (end->last.kind == WG_IN_DATA)
		check_inner(world, end, end->last.data, end->last.len);
	if (end->last.kind == WG_IN_KEEPALIVE) {
		end->keepalives_in++;
		end->last_keepalive_us = world->now_us;
	}
	end->sessions_up += end->last.session_up;
	free(copy);
	return end->last.reason;
}

static struct world_packet *first_packet(struct world *world)
{
	struct world_packet *first = NULL;

	for (size_t i = 0; i < world->count; i++) {
		struct world_packet *packet = &world->packets[i];

		if (!first || packet->at_us < first->at_us ||
		    (packet->at_us == first->at_us &&
		     packet->order < first->order))
			first = packet;
	}
	return first;
}

static void deliver(struct world *world, struct world_packet *packet)
{
	world_in(world, packet->to, packet->bytes, packet->len);
	*packet = world->packets[--world->count];
}

void world_run(struct world *world, uint64_t for_us)
{
	uint64_t until_us = world->now_us + for_us;

	for (;;) {
		struct world_packet *packet;
		uint64_t next_us = until_us;

		world_pump(world);
		for (int i = 0; i < 2; i++)
			next_us = deadline_min(
				next_us, wg_next_deadline(world->ends[i].wg));
		packet = first_packet(world);
		if (packet && packet->at_us <= next_us) {
			world->now_us = packet->at_us;
			deliver(world, packet);
			continue;
		}
		if (next_us > world->now_us)
			world->now_us = next_us;
		for (int i = 0; i < 2; i++)
			wg_tick(world->ends[i].wg, world->now_us);
		if (world->now_us >= until_us)
			break;
	}
	world_pump(world);
}

void world_connect(struct world *world)
{
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_run(world, 100 * US_PER_MS);
	for (int i = 0; i < 2; i++)
		assert_true(wg_peer_ready(world->ends[i].peer, world->now_us));
}
