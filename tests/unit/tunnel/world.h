/*
 * A deployment for the tunnel's tests: relays, a coordinator and agents in
 * one process on a virtual clock, with faults to be switched on. Region N's
 * relay has the host name "rN/N" (the memory network looks at paths alone).
 */
#ifndef TUNNELHOST_TESTS_TUNNEL_WORLD_H
#define TUNNELHOST_TESTS_TUNNEL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/memory_network.h"
#include "core/base/virtual_loop.h"
#include "core/tailnet/coordinate/coordinator.h"
#include "core/tailnet/coordinate/resume_token.h"
#include "core/tailnet/derp/derp_relay.h"
#include "core/tunnel/node.h"

#define WORLD_REGIONS 3
#define WORLD_LOG_CAP 65536

struct world;

/* While not 0, the deployment's side is at work (test_nomem.c). */
extern unsigned world_has_memory;
#define WITH_MEMORY(name, parameters, ...)         \
	static void name##_served parameters       \
	{                                          \
		world_has_memory++;                \
		name(__VA_ARGS__);                 \
		world_has_memory--;                \
	}

struct site {
	struct world *world;
	struct derp_relay relay;
	struct timer timer;
	struct list conns;
	/* faults */
	int refuse;		/* every request, with this status */
	int refuse_upgrade;	/* upgrades only */
	bool deaf;		/* takes all, says and forwards nothing */
	bool frozen;		/* reads nothing */
	uint64_t far_us;	/* latency checks are answered that late */
	const char *garbage;	/* said instead of the server key */
	/* what was seen */
	unsigned upgrades, websockets, latency_checks;
	uint64_t last_us;	/* of a request */
	size_t bytes_in;
};

struct world {
	struct virtual_loop v;
	struct loop *loop;
	struct rng rng;
	struct log log;
	char logged[WORLD_LOG_CAP];
	size_t logged_len;
	struct memory_network *memory;
	struct network *network;
	const struct network_ops *memory_ops;
	struct network_ops ops;		/* the same, with far sites */
	struct service service;
	struct derp_map map;
	struct site sites[WORLD_REGIONS + 1];	/* by region id */
	struct coordinator *coordinator;
	struct resume_tokens tokens;
	struct list sockets;	/* coordinate */
	/* faults of the coordinate endpoint */
	int refuse;
	const char *refuse_body;
	bool refuse_tokens;	/* 401 with validations to a resume token */
	bool hang_up;		/* accepts, then closes at once */
	const char *garbage;	/* said, again and again, in place of yamux */
	size_t garbage_len;
	bool deaf;		/* sockets take all and say nothing */
	bool bytewise;
	/* what was seen */
	bool direct;		/* members and tunnels may use UDP */
	unsigned dials, resumed;
	char last_query[4096];
	uint64_t dial_us[64];
	struct uuid agent_id;
};

void world_init(struct world *world, uint64_t seed);
/* All nodes, tunnels and agents are gone; nothing may be armed any more. */
void world_clear(struct world *world);
void world_run(struct world *world, uint64_t us);
/* Until `*done`, for at most `us`; asserts that it came. */
void world_until(struct world *world, const bool *done, uint64_t us);
bool world_logged(const struct world *world, const char *text);

/* Drops the relay's connections, or the coordinate sockets. */
void site_cut(struct site *site);
/* The connections there are say and hear nothing more: a forgetful NAT. */
void site_mute(struct site *site);
void site_freeze(struct site *site, bool frozen);
void site_say_restarting(struct site *site, uint32_t in_ms, uint32_t for_ms);
void site_say_health(struct site *site, const char *text);
size_t site_conns(const struct site *site);
void world_cut_coordinate(struct world *world);
size_t world_sockets(const struct world *world);

/* A node with one address (fd7a and the id) at home in `region`. */
struct member {
	struct world *world;
	struct uuid id;
	uint8_t address[1][16];
	struct node *node;
	unsigned sessions, silences, homes, changes, ways;
	struct uuid last_session;
	bool home;
	void (*on_session)(struct member *member);
};
void member_init(struct member *member, struct world *world, int64_t region);
void member_clear(struct member *member);
/* What `peer` would announce of itself. */
struct node_peer_config member_config(const struct member *peer);
void member_meet(struct member *a, struct member *b);

/* An agent: a member that has joined the coordinator. */
struct test_agent {
	struct member member;
	struct coordinator_peer *peer;
	bool silent;		/* says no READY_FOR_HANDSHAKE */
	bool keep;		/* forgets no peer, whatever it hears */
	unsigned nodes, lost, disconnected;
};
void agent_init(struct test_agent *agent, struct world *world,
		int64_t region);
void agent_announce(struct test_agent *agent);
void agent_leave(struct test_agent *agent, bool in_order);
void agent_clear(struct test_agent *agent);

/* A listener on `port` that sends every byte back, and ends as its peer. */
struct echo;
struct echo *echo_new(struct member *member, uint16_t port);
/* Before the node goes. Streams still open are closed. */
void echo_free(struct echo *echo);
size_t echo_open(const struct echo *echo);

/* Sends `len` seeded bytes through a stream and compares what comes back. */
struct pump {
	struct stream *stream;
	uint64_t seed;
	size_t len, written, read;
	bool wrong, done;
	int failure;
};
void pump_start(struct pump *pump, struct stream *stream, size_t len,
		uint64_t seed);

#endif
