/*
 * Two paths and the NATs between them: who gets through to whom. A relay
 * carries call-me-maybe; pings and pongs cross both NATs or are dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/tailnet/path/path.h"

#define STEP_US (5 * US_PER_MS)
#define DIRECT_US (20 * US_PER_MS)	/* one way */
#define RELAY_US (30 * US_PER_MS)
#define PACKETS 256
#define HOLES 512

enum nat {
	NAT_OPEN,	/* one mapping, all may come in */
	NAT_EASY,	/* one mapping, only who was sent to may answer */
	NAT_HARD,	/* a mapping for each destination, as above */
};

struct hole {
	struct endpoint inside_as;	/* the mapping */
	struct endpoint to;
};

struct side {
	struct path path;
	enum nat nat;
	struct endpoint outside;	/* as STUN tells it */
	struct hole holes[HOLES];
	size_t hole_count;
	bool sending;
	uint64_t direct_us;		/* since when */
};

enum kind {
	PING,
	PONG,
	CALL,
};

struct packet {
	uint64_t due_us;
	enum kind kind;
	size_t to_side;
	struct endpoint from, to;
	uint8_t txid[PATH_TXID_LEN];
};

struct pair {
	struct rng rng;
	uint64_t now_us;
	struct side sides[2];
	struct packet packets[PACKETS];
	size_t count;
};

static void setup(struct pair *p, enum nat a, enum nat b)
{
	static const char *const outside[2] = { "192.0.2.1:1000",
						"192.0.2.2:2000" };

	memset(p, 0, sizeof(*p));
	rng_seeded(&p->rng, 11);
	p->now_us = US_PER_S;
	p->sides[0].nat = a;
	p->sides[1].nat = b;
	for (size_t i = 0; i < 2; i++) {
		path_init(&p->sides[i].path, &p->rng);
		assert_true(endpoint_parse(outside[i], &p->sides[i].outside));
	}
	for (size_t i = 0; i < 2; i++)
		path_set_endpoints(&p->sides[i].path,
				   &p->sides[1 - i].outside, 1, p->now_us);
}

static void teardown(struct pair *p)
{
	path_clear(&p->sides[0].path);
	path_clear(&p->sides[1].path);
}

/* A hard NAT has never used the port that it told the STUN server. */
static struct endpoint open_hole(struct side *side, const struct endpoint *to)
{
	struct hole *hole = side->holes;

	for (size_t i = 0; i < side->hole_count; i++, hole++)
		if (endpoint_equal(&hole->to, to))
			return hole->inside_as;
	assert_true(side->hole_count < HOLES);
	hole->to = *to;
	hole->inside_as = side->outside;
	side->hole_count++;
	if (side->nat == NAT_HARD)
		hole->inside_as.port = (uint16_t)(side->outside.port +
						  side->hole_count);
	return hole->inside_as;
}

static bool lets_in(const struct side *side, const struct packet *packet)
{
	if (side->nat == NAT_OPEN)
		return endpoint_equal(&packet->to, &side->outside);
	for (size_t i = 0; i < side->hole_count; i++)
		if (endpoint_equal(&side->holes[i].inside_as, &packet->to) &&
		    endpoint_equal(&side->holes[i].to, &packet->from))
			return true;
	return false;
}

static struct packet *send_packet(struct pair *p, size_t from, enum kind kind)
{
	struct packet *packet = &p->packets[p->count++];

	assert_true(p->count <= PACKETS);
	*packet = (struct packet){
		.due_us = p->now_us + (kind == CALL ? RELAY_US : DIRECT_US),
		.kind = kind,
		.to_side = 1 - from,
	};
	return packet;
}

static void send_direct(struct pair *p, size_t from, enum kind kind,
			const struct endpoint *to, const uint8_t *txid)
{
	struct packet *packet = send_packet(p, from, kind);

	packet->from = open_hole(&p->sides[from], to);
	packet->to = *to;
	memcpy(packet->txid, txid, PATH_TXID_LEN);
}

static void arrive(struct pair *p, const struct packet *packet)
{
	size_t at = packet->to_side;
	struct side *side = &p->sides[at];

	if (packet->kind == CALL) {
		path_call_me_maybe(&side->path, &p->sides[1 - at].outside, 1,
				   p->now_us);
		return;
	}
	if (!lets_in(side, packet))
		return;
	if (packet->kind == PONG) {
		(void)path_pong_in(&side->path, packet->txid, p->now_us);
		return;
	}
	send_direct(p, at, PONG, &packet->from, packet->txid);
	path_ping_in(&side->path, &packet->from, p->now_us);
}

static void act(struct pair *p, size_t which)
{
	struct side *side = &p->sides[which];
	struct path_out out;
	enum path_action action;

	if (side->sending)
		path_want(&side->path, p->now_us);
	path_tick(&side->path, p->now_us);
	while ((action = path_out(&side->path, p->now_us, &out)) !=
	       PATH_NOTHING) {
		if (action == PATH_PING)
			send_direct(p, which, PING, &out.to, out.txid);
		else
			(void)send_packet(p, which, CALL);
	}
	if (!path_best(&side->path, p->now_us))
		side->direct_us = 0;
	else if (!side->direct_us)
		side->direct_us = p->now_us;
}

static void run_for(struct pair *p, uint64_t us)
{
	for (uint64_t end = p->now_us + us; p->now_us < end;) {
		p->now_us += STEP_US;
		for (size_t i = p->count; i > 0; i--) {
			struct packet packet = p->packets[i - 1];

			if (packet.due_us > p->now_us)
				continue;
			p->packets[i - 1] = p->packets[--p->count];
			arrive(p, &packet);
		}
		act(p, 0);
		act(p, 1);
	}
}

/* Both ends, by when; or neither, ever. */
static void assert_outcome(enum nat a, enum nat b, uint64_t within_us)
{
	struct pair p;

	setup(&p, a, b);
	p.sides[0].sending = p.sides[1].sending = true;
	run_for(&p, within_us ? within_us : 120 * US_PER_S);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(p.sides[i].direct_us != 0, within_us != 0);
	if (within_us) {
		uint64_t since_us = p.sides[0].direct_us;

		run_for(&p, 200 * US_PER_S);	/* and it stays */
		assert_int_equal(p.sides[0].direct_us, since_us);
	}
	teardown(&p);
}

static void test_nats_of_each_kind(void **state)
{
	(void)state;
	assert_outcome(NAT_OPEN, NAT_OPEN, 100 * US_PER_MS);
	assert_outcome(NAT_EASY, NAT_EASY, 200 * US_PER_MS);
	assert_outcome(NAT_OPEN, NAT_EASY, 200 * US_PER_MS);
	assert_outcome(NAT_OPEN, NAT_HARD, 200 * US_PER_MS);
	assert_outcome(NAT_HARD, NAT_OPEN, 200 * US_PER_MS);
	assert_outcome(NAT_EASY, NAT_HARD, 0);
	assert_outcome(NAT_HARD, NAT_HARD, 0);
}

/* Only one end has something to send: the call brings the other. */
static void test_one_sender_is_enough(void **state)
{
	struct pair p;

	(void)state;
	setup(&p, NAT_EASY, NAT_EASY);
	p.sides[0].sending = true;
	run_for(&p, 200 * US_PER_MS);
	assert_true(p.sides[0].direct_us != 0);
	run_for(&p, 60 * US_PER_S);
	assert_true(p.sides[0].direct_us < 2 * US_PER_S);
	teardown(&p);
}

/* Its NAT has given the other end a new mapping in the middle. */
static void test_a_new_mapping_is_found(void **state)
{
	struct pair p;

	(void)state;
	setup(&p, NAT_EASY, NAT_EASY);
	p.sides[0].sending = p.sides[1].sending = true;
	run_for(&p, 10 * US_PER_S);
	p.sides[1].outside.port = 2222;
	p.sides[1].hole_count = 0;
	run_for(&p, 6 * US_PER_S);
	assert_true(p.sides[0].direct_us > 11 * US_PER_S);
	assert_true(p.sides[1].direct_us != 0);
	assert_int_equal(path_best(&p.sides[0].path, p.now_us)->port, 2222);
	teardown(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nats_of_each_kind),
		cmocka_unit_test(test_one_sender_is_enough),
		cmocka_unit_test(test_a_new_mapping_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
