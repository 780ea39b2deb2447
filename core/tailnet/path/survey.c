#include "core/tailnet/path/survey.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define ROUND_US (3 * US_PER_S)
#define RETRY_US (200 * US_PER_MS)
#define TRIES 3
#define STUN_PORT 3478
#define KEEP_US (300 * US_PER_S)	/* a latency counts for the home */
#define HOME_GAIN_US (10 * US_PER_MS)

struct probe {
	struct endpoint to;
	uint8_t txid[TRIES][SURVEY_TXID_LEN];
	uint64_t sent_us[TRIES];
	unsigned tries;
	bool answered;
	bool wanted;		/* there is such an address */
};

struct target {
	char host[DERP_MAP_HOST_CAP];
	uint16_t port;
	size_t region;		/* its index */
	bool allowed[SURVEY_FAMILY_COUNT];
	bool looked_up;
	struct probe probes[SURVEY_FAMILY_COUNT];
};

struct region {
	struct survey_region now;	/* this round, or the last */
	bool avoid;
	uint64_t best_us;		/* of the last KEEP_US */
	uint64_t best_at_us;
	uint64_t last_us;		/* the newest latency of any kind */
};

struct survey {
	struct rng *rng;
	struct target *targets;
	size_t target_count;
	struct region *regions;
	size_t region_count;
	uint64_t ends_us;		/* DEADLINE_NONE: no round */
	struct endpoint first_mapped;
	struct endpoint first_server;
	bool has_first;
	struct survey_report report;
};

int survey_new(struct rng *rng, struct survey **out)
{
	struct survey *survey = calloc(1, sizeof(*survey));

	if (!survey)
		return ERR_NOMEM;
	survey->rng = rng;
	survey->ends_us = DEADLINE_NONE;
	*out = survey;
	return 0;
}

void survey_free(struct survey *survey)
{
	if (!survey)
		return;
	free(survey->targets);
	free(survey->regions);
	free(survey);
}

/* --- the map ---------------------------------------------------------- */

static const struct region *find_region(const struct survey *survey,
					int64_t id)
{
	for (size_t i = 0; i < survey->region_count; i++)
		if (survey->regions[i].now.region_id == id)
			return &survey->regions[i];
	return NULL;
}

static void make_region(const struct survey *survey,
			const struct derp_map_region *from, struct region *to)
{
	const struct region *known = find_region(survey, from->region_id);

	if (known)
		*to = *known;
	else
		*to = (struct region){
			.now = { .region_id = from->region_id,
				 .latency_us = { SURVEY_NEVER, SURVEY_NEVER },
				 .https_us = SURVEY_NEVER },
			.best_us = SURVEY_NEVER,
			.last_us = SURVEY_NEVER,
		};
	to->now.has_relay = derp_map_relay(from) != NULL;
	to->avoid = from->avoid;
}

static bool make_target(const struct derp_map_node *from, size_t region,
			struct target *to)
{
	if (from->stun_port < 0 || from->stun_port > UINT16_MAX)
		return false;
	*to = (struct target){
		.port = from->stun_port ? (uint16_t)from->stun_port :
					  STUN_PORT,
		.region = region,
		.allowed = { strcmp(from->ipv4, "none") != 0,
			     strcmp(from->ipv6, "none") != 0 },
	};
	memcpy(to->host, from->host_name, sizeof(to->host));
	return true;
}

static size_t make_targets(const struct derp_map *map, struct target *out)
{
	size_t count = 0;

	for (size_t i = 0; i < map->region_count; i++) {
		const struct derp_map_region *region = &map->regions[i];
		size_t taken = 0;

		for (size_t k = 0; k < region->node_count &&
				   taken < SURVEY_REGION_TARGETS &&
				   count < SURVEY_TARGET_CAP; k++)
			if (make_target(&region->nodes[k], i, &out[count])) {
				count++;
				taken++;
			}
	}
	return count;
}

static size_t count_targets(const struct derp_map *map)
{
	size_t count = 0;

	for (size_t i = 0; i < map->region_count; i++)
		count += map->regions[i].node_count < SURVEY_REGION_TARGETS ?
				 map->regions[i].node_count :
				 SURVEY_REGION_TARGETS;
	return count < SURVEY_TARGET_CAP ? count : SURVEY_TARGET_CAP;
}

int survey_set_map(struct survey *survey, const struct derp_map *map)
{
	struct target *targets =
		calloc(count_targets(map) + 1, sizeof(*targets));
	struct region *regions =
		calloc(map->region_count + 1, sizeof(*regions));

	if (!targets || !regions) {
		free(targets);
		free(regions);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < map->region_count; i++)
		make_region(survey, &map->regions[i], &regions[i]);
	survey->target_count = make_targets(map, targets);
	free(survey->targets);
	free(survey->regions);
	survey->targets = targets;
	survey->regions = regions;
	survey->region_count = map->region_count;
	survey->ends_us = DEADLINE_NONE;
	return 0;
}

const char *survey_target_host(const struct survey *survey, size_t index)
{
	return index < survey->target_count ? survey->targets[index].host :
					      NULL;
}

static enum survey_family family_of(const struct endpoint *endpoint)
{
	return endpoint_is_ipv4(endpoint) ? SURVEY_IPV4 : SURVEY_IPV6;
}

/* The first address of each family. */
void survey_target_resolved(struct survey *survey, size_t index,
			    const struct endpoint *endpoints, size_t count)
{
	struct target *target = &survey->targets[index];

	target->looked_up = true;
	for (size_t i = 0; i < SURVEY_FAMILY_COUNT; i++)
		target->probes[i].wanted = false;
	for (size_t i = count; i > 0; i--) {
		enum survey_family family = family_of(&endpoints[i - 1]);

		if (!target->allowed[family])
			continue;
		target->probes[family].to = endpoints[i - 1];
		target->probes[family].to.port = target->port;
		target->probes[family].wanted = true;
	}
}

/* --- a round ---------------------------------------------------------- */

bool survey_running(const struct survey *survey)
{
	return survey->ends_us != DEADLINE_NONE;
}

static void forget_round(struct survey *survey)
{
	uint64_t rounds = survey->report.rounds;

	survey->has_first = false;
	survey->report = (struct survey_report){ .rounds = rounds };
	for (size_t i = 0; i < survey->target_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++) {
			survey->targets[i].probes[k].tries = 0;
			survey->targets[i].probes[k].answered = false;
		}
	for (size_t i = 0; i < survey->region_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++)
			survey->regions[i].now.latency_us[k] = SURVEY_NEVER;
}

void survey_start(struct survey *survey, uint64_t now_us)
{
	if (survey_running(survey))
		return;
	forget_round(survey);
	survey->ends_us = now_us + ROUND_US;
}

static uint64_t probe_due(const struct probe *probe)
{
	if (!probe->wanted || probe->answered || probe->tries == TRIES)
		return DEADLINE_NONE;
	return probe->tries ? probe->sent_us[probe->tries - 1] + RETRY_US : 0;
}

static bool send_probe(struct survey *survey, struct probe *probe,
		       uint64_t now_us, struct survey_probe *out)
{
	if (probe_due(probe) > now_us)
		return false;
	rng_bytes(survey->rng, probe->txid[probe->tries], SURVEY_TXID_LEN);
	probe->sent_us[probe->tries] = now_us;
	out->to = probe->to;
	memcpy(out->txid, probe->txid[probe->tries++], SURVEY_TXID_LEN);
	survey->report.asked++;
	return true;
}

bool survey_out(struct survey *survey, uint64_t now_us,
		struct survey_probe *out)
{
	if (!survey_running(survey))
		return false;
	for (size_t i = 0; i < survey->target_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++)
			if (send_probe(survey, &survey->targets[i].probes[k],
				       now_us, out))
				return true;
	return false;
}

static struct probe *find_probe(struct survey *survey,
				const uint8_t txid[SURVEY_TXID_LEN],
				struct target **owner, uint64_t *sent_us)
{
	for (size_t i = 0; i < survey->target_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++) {
			struct probe *probe = &survey->targets[i].probes[k];

			for (unsigned t = 0; t < probe->tries; t++) {
				if (memcmp(probe->txid[t], txid,
					   SURVEY_TXID_LEN) != 0)
					continue;
				*owner = &survey->targets[i];
				*sent_us = probe->sent_us[t];
				return probe;
			}
		}
	return NULL;
}

static void note_latency(struct region *region, uint64_t latency_us,
			 uint64_t now_us)
{
	region->last_us = latency_us;
	if (latency_us > region->best_us &&
	    now_us - region->best_at_us < KEEP_US)
		return;
	region->best_us = latency_us;
	region->best_at_us = now_us;
}

/* Two servers, one address of ours: easy; two: hard. */
static void note_mapping(struct survey *survey, const struct endpoint *server,
			 const struct endpoint *mapped)
{
	if (!survey->has_first) {
		survey->has_first = true;
		survey->first_server = *server;
		survey->first_mapped = *mapped;
	} else if (!endpoint_equal(&survey->first_mapped, mapped)) {
		survey->report.mapping = SURVEY_MAPPING_HARD;
	} else if (!endpoint_equal(&survey->first_server, server) &&
		   survey->report.mapping == SURVEY_MAPPING_UNKNOWN) {
		survey->report.mapping = SURVEY_MAPPING_EASY;
	}
}

static bool has_all(const struct survey *survey)
{
	for (size_t i = 0; i < survey->target_count; i++) {
		if (!survey->targets[i].looked_up)
			return false;
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++) {
			const struct probe *probe =
				&survey->targets[i].probes[k];

			if (probe->wanted && !probe->answered)
				return false;
		}
	}
	return true;
}

static void end_round(struct survey *survey)
{
	survey->ends_us = DEADLINE_NONE;
	survey->report.rounds++;
}

bool survey_answer(struct survey *survey, const uint8_t txid[SURVEY_TXID_LEN],
		   const struct endpoint *mapped, uint64_t now_us)
{
	struct target *target = NULL;
	uint64_t sent_us = 0;
	struct probe *probe = find_probe(survey, txid, &target, &sent_us);
	struct region *region;
	enum survey_family family;

	if (!probe || !survey_running(survey))
		return false;
	if (probe->answered)
		return true;
	probe->answered = true;
	family = family_of(&probe->to);
	region = &survey->regions[target->region];
	region->now.latency_us[family] =
		deadline_min(region->now.latency_us[family], now_us - sent_us);
	note_latency(region, now_us - sent_us, now_us);
	survey->report.udp = true;
	survey->report.answered++;
	if (!survey->report.has[family])
		survey->report.mapped[family] = *mapped;
	survey->report.has[family] = true;
	if (family == SURVEY_IPV4)
		note_mapping(survey, &probe->to, mapped);
	if (has_all(survey))
		end_round(survey);
	return true;
}

void survey_https_latency(struct survey *survey, int64_t id,
			  uint64_t latency_us, uint64_t now_us)
{
	for (size_t i = 0; i < survey->region_count; i++) {
		struct region *region = &survey->regions[i];

		if (region->now.region_id != id)
			continue;
		region->now.https_us = latency_us;
		if (region->now.latency_us[SURVEY_IPV4] == SURVEY_NEVER &&
		    region->now.latency_us[SURVEY_IPV6] == SURVEY_NEVER)
			note_latency(region, latency_us, now_us);
	}
}

uint64_t survey_next_deadline(const struct survey *survey)
{
	uint64_t deadline = survey->ends_us;

	if (!survey_running(survey))
		return DEADLINE_NONE;
	for (size_t i = 0; i < survey->target_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++)
			deadline = deadline_min(
				deadline,
				probe_due(&survey->targets[i].probes[k]));
	return deadline;
}

void survey_tick(struct survey *survey, uint64_t now_us)
{
	if (survey->ends_us <= now_us)
		end_round(survey);
}

/* --- what it says ----------------------------------------------------- */

static uint64_t counted_latency(const struct region *region, uint64_t now_us)
{
	if (region->best_us == SURVEY_NEVER ||
	    now_us - region->best_at_us >= KEEP_US)
		return SURVEY_NEVER;
	return region->best_us;
}

/* Those to avoid come last; else the nearest; else the lowest id. */
static bool is_nearer(const struct region *a, const struct region *b,
		      uint64_t now_us)
{
	if (a->avoid != b->avoid)
		return b->avoid;
	return counted_latency(a, now_us) < counted_latency(b, now_us);
}

static bool is_clearly_nearer(const struct region *a, const struct region *old,
			      uint64_t now_us)
{
	uint64_t ours = counted_latency(a, now_us);

	if (old->avoid && !a->avoid)
		return true;
	if (ours == SURVEY_NEVER || old->last_us == SURVEY_NEVER)
		return false;
	return ours + HOME_GAIN_US <= old->last_us &&
	       ours <= old->last_us / 3 * 2;
}

int64_t survey_home(const struct survey *survey, int64_t current,
		    uint64_t now_us)
{
	const struct region *old = find_region(survey, current);
	const struct region *best = NULL;

	for (size_t i = 0; i < survey->region_count; i++) {
		const struct region *region = &survey->regions[i];

		if (region->now.has_relay &&
		    (!best || is_nearer(region, best, now_us)))
			best = region;
	}
	if (!best)
		return 0;
	if (old && old->now.has_relay &&
	    !is_clearly_nearer(best, old, now_us))
		return current;
	return best->now.region_id;
}

void survey_report(const struct survey *survey, struct survey_report *out)
{
	*out = survey->report;
}

bool survey_region(const struct survey *survey, size_t index,
		   struct survey_region *out)
{
	if (index >= survey->region_count)
		return false;
	*out = survey->regions[index].now;
	return true;
}
