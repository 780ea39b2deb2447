#include "core/tailnet/derp/derp_relay_conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void derp_relay_init(struct derp_relay *relay, const struct key32 *private_key,
		     struct rng *rng)
{
	*relay = (struct derp_relay){
		.private_key = *private_key,
		.rng = rng,
		.generation = 1,
		.write_timeout_us = DERP_WRITE_TIMEOUT_US,
	};
	key_public(private_key, &relay->public_key);
	hash_init(&relay->clients, rng);
	derp_pool_init(&relay->pool);
	list_init(&relay->touched);
}

void derp_relay_clear(struct derp_relay *relay)
{
	assert(relay->stats.conns == 0);
	hash_clear(&relay->clients);
	heap_clear(&relay->deadlines);
	derp_pool_clear(&relay->pool);
	key_wipe(&relay->private_key);
}

static void set_timer(struct derp_relay_conn *conn)
{
	uint64_t deadline_us = conn->keepalive_us;

	if (conn->state == DERP_CONN_HANDSHAKE)
		deadline_us = conn->handshake_us;
	if (conn->blocked)
		deadline_us = deadline_min(deadline_us,
					   conn->blocked_us +
					   conn->relay->write_timeout_us);
	/* Moving cannot fail; conn_new() has inserted it. */
	(void)heap_set(&conn->relay->deadlines, &conn->timer, deadline_us);
}

static void lose(struct derp_relay_conn *conn)
{
	struct derp_relay *relay = conn->relay;

	if (conn->state == DERP_CONN_LOST)
		return;
	if (conn->state == DERP_CONN_UP)
		derp_route_remove(conn);
	else
		relay->stats.handshakes_failed++;
	conn->state = DERP_CONN_LOST;
	list_remove(&conn->touched);
	heap_remove(&relay->deadlines, &conn->timer);
	relay->stats.dropped_gone += derp_queue_clear(&conn->queue,
						      &relay->pool);
	buf_clear(&conn->control);
	derp_reader_clear(&conn->reader);
}

void derp_conn_touch(struct derp_relay_conn *conn)
{
	if (!list_linked(&conn->touched))
		list_add_tail(&conn->relay->touched, &conn->touched);
}

void derp_conn_control(struct derp_relay_conn *conn, enum derp_type type,
		       const void *head, size_t head_len, const void *tail,
		       size_t tail_len)
{
	size_t len = head_len + tail_len;
	uint8_t *out;

	if (buf_reserve(&conn->control, DERP_HEADER_LEN + len, &out) < 0)
		return;
	derp_put_header(out, type, len);
	out += DERP_HEADER_LEN;
	if (head_len > 0)
		memcpy(out, head, head_len);
	if (tail_len > 0)
		memcpy(out + head_len, tail, tail_len);
	buf_commit(&conn->control, DERP_HEADER_LEN + len);
	derp_conn_touch(conn);
}

/* Whether the carrier took it. */
static bool offer(struct derp_relay_conn *conn, const uint8_t *data,
		  size_t len, uint64_t now_us)
{
	int err = conn->carrier->send(conn->user, data, len);
	bool was_blocked = conn->blocked;

	if (err == 0) {
		conn->blocked = false;
		if (was_blocked)
			set_timer(conn);
		return true;
	}
	if (err != ERR_LIMIT) {
		lose(conn);
		return false;
	}
	if (!was_blocked) {
		conn->blocked = true;
		conn->blocked_us = now_us;
		set_timer(conn);
	}
	return false;
}

static bool send_control(struct derp_relay_conn *conn, uint64_t now_us)
{
	if (conn->control.len == 0)
		return true;
	if (!offer(conn, buf_data(&conn->control), conn->control.len, now_us))
		return false;
	buf_consume(&conn->control, conn->control.len);
	return true;
}

static bool send_slab(struct derp_relay_conn *conn, uint64_t now_us)
{
	struct derp_slab *slab = derp_queue_first(&conn->queue);
	struct derp_relay *relay = conn->relay;
	size_t len = slab->end - slab->start;

	if (!offer(conn, slab->bytes + slab->start, len, now_us))
		return false;
	relay->stats.packets_out += slab->packets;
	relay->stats.bytes_out += len - slab->packets * DERP_PACKET_OVERHEAD;
	derp_queue_pop(&conn->queue, &relay->pool);
	return true;
}

static void flush(struct derp_relay_conn *conn, uint64_t now_us)
{
	if (!send_control(conn, now_us))
		return;
	while (derp_queue_first(&conn->queue))
		if (!send_slab(conn, now_us))
			return;
}

void derp_conn_flush_full(struct derp_relay_conn *conn, uint64_t now_us)
{
	struct list *slabs = &conn->queue.slabs;

	if (conn->blocked || slabs->next == slabs->prev ||
	    !send_control(conn, now_us))
		return;
	while (slabs->next != slabs->prev)
		if (!send_slab(conn, now_us))
			return;
}

static void flush_touched(struct derp_relay *relay, uint64_t now_us)
{
	struct list *link;

	while ((link = list_pop(&relay->touched)) != NULL) {
		struct derp_relay_conn *conn =
			container_of(link, struct derp_relay_conn, touched);

		if (!conn->blocked)
			flush(conn, now_us);
	}
}

int derp_relay_conn_new(struct derp_relay *relay,
			const struct derp_relay_carrier *carrier, void *user,
			uint64_t now_us, struct derp_relay_conn **out)
{
	struct derp_relay_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return ERR_NOMEM;
	conn->relay = relay;
	conn->carrier = carrier;
	conn->user = user;
	conn->handshake_us = now_us + DERP_HANDSHAKE_TIMEOUT_US;
	conn->keepalive_period_us = DERP_KEEPALIVE_US +
		rng_below(relay->rng, (uint32_t)DERP_KEEPALIVE_JITTER_US);
	conn->keepalive_us = now_us + conn->keepalive_period_us;
	if (heap_set(&relay->deadlines, &conn->timer, conn->handshake_us) < 0) {
		free(conn);
		return ERR_NOMEM;
	}
	derp_reader_init(&conn->reader, DERP_CLIENT_INFO_CAP);
	buf_init(&conn->control, DERP_RELAY_CONTROL_CAP);
	derp_queue_init(&conn->queue);
	hash_init(&conn->sent_to, relay->rng);
	relay->stats.conns++;
	derp_conn_control(conn, DERP_SERVER_KEY, DERP_MAGIC, DERP_MAGIC_LEN,
			  relay->public_key.bytes, DERP_KEY_LEN);
	flush_touched(relay, now_us);
	*out = conn;
	return 0;
}

void derp_relay_conn_free(struct derp_relay_conn *conn, uint64_t now_us)
{
	struct derp_relay *relay;

	if (!conn)
		return;
	relay = conn->relay;
	lose(conn);
	flush_touched(relay, now_us);
	relay->stats.conns--;
	relay->stats.homes -= conn->home;
	free(conn);
}

int derp_relay_conn_in(struct derp_relay_conn *conn, const void *data,
		       size_t len, uint64_t now_us, struct error *error)
{
	struct cursor in = cursor_of(data, len);
	struct derp_frame frame;
	int err = 0;

	if (conn->state == DERP_CONN_LOST)
		return error_set(error, ERR_CLOSED, "the connection is lost");
	while (conn->state != DERP_CONN_LOST && err >= 0) {
		err = derp_reader_next(&conn->reader, &in, &frame, error);
		if (err <= 0)
			break;
		err = derp_route_frame(conn, &frame, now_us, error);
	}
	if (err < 0)
		lose(conn);
	flush_touched(conn->relay, now_us);
	return err < 0 ? err : 0;
}

void derp_relay_conn_writable(struct derp_relay_conn *conn, uint64_t now_us)
{
	if (conn->state == DERP_CONN_LOST)
		return;
	flush(conn, now_us);
	flush_touched(conn->relay, now_us);
}

const struct key32 *derp_relay_conn_key(const struct derp_relay_conn *conn)
{
	return conn->state == DERP_CONN_UP ? &conn->key : NULL;
}

uint64_t derp_relay_next_deadline(const struct derp_relay *relay)
{
	return heap_next_deadline(&relay->deadlines);
}

/* `why` is borrowed by close(), which may free the connection. */
static void give_up(struct derp_relay_conn *conn, const char *why,
		    uint64_t now_us)
{
	struct derp_relay *relay = conn->relay;
	struct error error;

	error_set(&error, ERR_TIMEOUT, "%s", why);
	lose(conn);
	flush_touched(relay, now_us);
	conn->carrier->close(conn->user, &error);
}

static void expire(struct derp_relay_conn *conn, uint64_t now_us)
{
	struct derp_relay *relay = conn->relay;

	if (conn->blocked &&
	    now_us >= conn->blocked_us + relay->write_timeout_us) {
		relay->stats.write_timeouts++;
		give_up(conn, "the DERP client takes no bytes", now_us);
		return;
	}
	if (conn->state == DERP_CONN_HANDSHAKE) {
		give_up(conn, "no DERP handshake within 10 s", now_us);
		return;
	}
	derp_conn_control(conn, DERP_KEEPALIVE, NULL, 0, NULL, 0);
	conn->keepalive_us = now_us + conn->keepalive_period_us;
	set_timer(conn);
}

void derp_relay_tick(struct derp_relay *relay, uint64_t now_us)
{
	while (heap_next_deadline(&relay->deadlines) <= now_us)
		expire(container_of(heap_first(&relay->deadlines),
				    struct derp_relay_conn, timer), now_us);
	flush_touched(relay, now_us);
}

size_t derp_relay_upgrade_response(const struct derp_relay *relay,
				   char out[DERP_RELAY_UPGRADE_CAP])
{
	char hex[2 * DERP_KEY_LEN + 1];
	int len;

	hex_encode(relay->public_key.bytes, DERP_KEY_LEN, hex);
	len = snprintf(out, DERP_RELAY_UPGRADE_CAP,
		       "HTTP/1.1 101 Switching Protocols\r\n"
		       "Upgrade: DERP\r\n"
		       "Connection: Upgrade\r\n"
		       "Derp-Version: %d\r\n"
		       "Derp-Public-Key: %s\r\n\r\n",
		       DERP_VERSION, hex);
	return (size_t)len;
}
