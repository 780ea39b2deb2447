/*
 * core/tailnet/path/survey.h: how we look from outside; which relay is near.
 *
 * A netcheck without I/O: says which STUN servers of the DERP map to ask and
 * when, takes their answers, and reports our addresses as seen from outside,
 * whether they depend on who is asked (a hard NAT), and the latency of each
 * region; from the last few rounds it names the home region, with
 * hysteresis. It knows no STUN bytes: only transaction ids and answers. Facts:
 * tailscale.com net/netcheck/netcheck.go (retransmission, the rule for the
 * home: only for 10 ms and a third less; the best of the last five minutes).
 *
 * A round: survey_start(), pull survey_out() now and after each deadline,
 * feed survey_answer(), until survey_running() is false: all have answered;
 * or three regions (all, if there are fewer), and the others have had twice
 * the time of the slowest and a second try; or 3 s. Other than netcheck's,
 * every round asks all regions: one packet to most of them.
 */
#ifndef TUNNELHOST_TAILNET_PATH_SURVEY_H
#define TUNNELHOST_TAILNET_PATH_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/endpoint.h"
#include "core/base/rng.h"
#include "core/base/time.h"

#define SURVEY_TXID_LEN 12
#define SURVEY_TARGET_CAP 512		/* STUN servers that are asked */
#define SURVEY_REGION_TARGETS 3		/* of one region */
#define SURVEY_NEVER UINT64_MAX		/* a latency that is not known */

enum survey_family {
	SURVEY_IPV4,
	SURVEY_IPV6,
	SURVEY_FAMILY_COUNT,
};

enum survey_mapping {
	SURVEY_MAPPING_UNKNOWN,	/* fewer than two servers answered by IPv4 */
	SURVEY_MAPPING_EASY,	/* all see the same address and port */
	SURVEY_MAPPING_HARD,	/* it varies by destination */
};

struct survey;

/* `rng` is borrowed. 0 or ERR_NOMEM. */
int survey_new(struct rng *rng, struct survey **out);
void survey_free(struct survey *survey);

/*
 * Which servers there are, or another network; ends a round under way and
 * forgets how we look from outside. The latencies of regions that stay are
 * kept. 0 or ERR_NOMEM (nothing changed).
 */
int survey_set_map(struct survey *survey, const struct derp_map *map);

/*
 * Servers to be looked up: their names, by index; NULL beyond the last. Tell
 * each answer, an empty one too (it changes nothing that is known); those not
 * told before survey_start() are asked once they are. Addresses that the map
 * names itself have precedence, and are not waited for.
 */
const char *survey_target_host(const struct survey *survey, size_t index);
void survey_target_resolved(struct survey *survey, size_t index,
			    const struct endpoint *endpoints, size_t count);

/* Begins a round, if none is under way. */
void survey_start(struct survey *survey, uint64_t now_us);
bool survey_running(const struct survey *survey);

struct survey_probe {
	struct endpoint to;
	uint8_t txid[SURVEY_TXID_LEN];
};

/* The next binding request to send; false: none now. */
bool survey_out(struct survey *survey, uint64_t now_us,
		struct survey_probe *out);
/* It could not be sent (no route): nobody answers this one in this round. */
void survey_unsent(struct survey *survey, const uint8_t txid[SURVEY_TXID_LEN]);
/*
 * A binding answer: false when it belongs to no request of this round. It is
 * the transaction id that counts, as servers may answer from elsewhere.
 */
bool survey_answer(struct survey *survey, const uint8_t txid[SURVEY_TXID_LEN],
		   const struct endpoint *mapped, uint64_t now_us);
/* A request for the relay of a region took that long (where UDP is barred). */
void survey_https_latency(struct survey *survey, int64_t region,
			  uint64_t latency_us, uint64_t now_us);
uint64_t survey_next_deadline(const struct survey *survey);
/* Ends the round when it is due. */
void survey_tick(struct survey *survey, uint64_t now_us);

/*
 * The region that should be home, to be asked when a round has ended:
 * `current` (0: none yet) unless another is clearly better, `current` has
 * never answered while another has, or it has no relay any more; regions to
 * avoid only when there is nothing else; 0: the map has no relay at all.
 */
int64_t survey_home(const struct survey *survey, int64_t current,
		    uint64_t now_us);

/* Of the round under way, and what it does not know yet of the one before. */
struct survey_report {
	bool udp;			/* some server answered */
	bool has[SURVEY_FAMILY_COUNT];
	struct endpoint mapped[SURVEY_FAMILY_COUNT];	/* as seen outside */
	enum survey_mapping mapping;
	uint64_t rounds;		/* that have ended */
	size_t asked;			/* requests sent in this round */
	size_t answered;
};
void survey_report(const struct survey *survey, struct survey_report *out);

struct survey_region {
	int64_t region_id;
	bool has_relay;
	uint64_t latency_us[SURVEY_FAMILY_COUNT];	/* SURVEY_NEVER */
	uint64_t https_us;				/* SURVEY_NEVER */
};
/* In the map's order, of the same rounds; false beyond the last. */
bool survey_region(const struct survey *survey, size_t index,
		   struct survey_region *out);

#endif
