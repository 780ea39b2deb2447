/*
 * One stack against a peer made of single segments: a test writes what comes
 * and reads what leaves, with sequence numbers relative to both beginnings.
 */
#ifndef TUNNELHOST_TESTS_NETSTACK_SCRIPT_H
#define TUNNELHOST_TESTS_NETSTACK_SCRIPT_H

#include "core/netstack/internal.h"

#define PEER_ISS 5000u

struct script {
	struct ns *ns;
	struct rng rng;
	uint64_t now_us;
	struct stream *stream;
	struct ns_listener *listener;
	uint32_t iss;		/* of the stack */
	uint32_t irs;		/* of the peer */
	uint16_t port;		/* of the stack */
	bool ts;
	bool sack;
	uint32_t ts_value;	/* what the peer sends */
	uint32_t ts_seen;	/* the last that came from the stack */
	uint8_t packet[NS_MTU_CAP];	/* the last that left */
	unsigned changes;
};

struct put {
	uint32_t seq;		/* relative: 0 is the SYN */
	uint32_t ack;
	unsigned flags;		/* ACK is added unless `bare` */
	const void *data;
	size_t len;
	uint16_t window;	/* 0: 1000, unless `closed` */
	bool closed;
	bool bare;
	uint32_t ts;		/* 0: script's */
	uint32_t ts_echo;	/* 0: the last seen */
	struct range sack[4];	/* relative to the stack's beginning */
};

/* Connects to the peer (SACK and timestamps as asked); established. */
void script_init(struct script *s, bool ts, bool sack,
		 const struct ns_config *config);
void script_clear(struct script *s);
void script_put(struct script *s, const struct put *put);
/* The next segment out, sequence numbers made relative; false: none. */
bool script_get(struct script *s, struct segment *seg);
void script_none(struct script *s);
/* Moves time; ticks whatever is due on the way. */
void script_wait(struct script *s, uint64_t us);
/* The next has this seq, length and flags (all but PSH compared). */
void script_expect(struct script *s, uint32_t seq, uint32_t len,
		   unsigned flags);
void script_write(struct script *s, size_t len);

#endif
