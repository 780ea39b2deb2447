/*
 * Two stacks joined by a seeded link in virtual time, for tests. The link
 * delays, jitters, loses, reorders, duplicates and corrupts; all from one
 * seed. `tap`, where set, sees each packet before the link's dice and may
 * drop it by returning false.
 */
#ifndef TUNNELHOST_TESTS_NETSTACK_WIRE_H
#define TUNNELHOST_TESTS_NETSTACK_WIRE_H

#include "core/base/heap.h"
#include "core/netstack/netstack.h"

struct link_config {
	uint64_t seed;
	uint64_t delay_us;
	uint64_t jitter_us;
	unsigned loss;		/* percent, each */
	unsigned loss_ppm;	/* instead, finer */
	unsigned reorder;
	unsigned duplicate;
	unsigned corrupt;
	uint64_t us_per_packet;	/* serialisation; 0: none */
	size_t queue_cap;	/* packets waiting for it; 0: no bound */
};

struct wire {
	struct ns *ns[2];
	struct rng rng;
	struct rng dice;
	struct link_config link;
	uint64_t now_us;
	uint64_t busy_until_us[2];
	struct heap flying;
	uint64_t lost;
	uint64_t reordered;
	uint64_t duplicated;
	uint64_t corrupted;
	uint64_t sent[2];
	bool woken;
	bool (*tap)(struct wire *wire, int from, const uint8_t *packet,
		    size_t len);
	void *user;
};

extern const uint8_t wire_address[2][NS_ADDRESS_LEN];

/* `config` (may be NULL) gives what is not addresses, rng and wake. */
void wire_init(struct wire *wire, const struct link_config *link,
	       const struct ns_config *config);
void wire_clear(struct wire *wire);
/* Runs until `done(user)` or for `us`; whether it was done. NULL: never. */
bool wire_run(struct wire *wire, uint64_t us, bool (*done)(void *user),
	      void *user);

/* A stream with what became of it, for both sides of a test. */
struct end {
	struct wire *wire;
	struct stream *stream;
	const uint8_t *source;		/* what is to be written */
	size_t source_len;
	size_t written;
	bool shut_when_done;
	bool reading;
	uint8_t *sink;			/* what was read */
	size_t sink_len;
	size_t sink_cap;
	int eof;			/* 1: 0 was seen; < 0: the failure */
	int write_failure;
	unsigned changes;
};

void end_attach(struct end *end, struct wire *wire, struct stream *stream);
void end_pump(struct end *end);
void end_clear(struct end *end, bool abort);
/* For ns_listen(): user is a struct end. */
void end_accept(void *user, struct stream *stream, uint16_t port);
/* Connects ns[0] to a listener on ns[1]:80; both ends up. */
void wire_connect(struct wire *wire, struct end ends[2]);
void fill_pattern(uint8_t *out, size_t len, uint32_t seed);

#endif
