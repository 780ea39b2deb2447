#include "core/tailnet/path/survey_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define ROUND_US (3 * US_PER_S)
#define RETRY_US (100 * US_PER_MS)
#define ENOUGH_REGIONS 3
#define SETTLE_US (RETRY_US + 50 * US_PER_MS)	/* a second try */

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

/* --- a round ---------------------------------------------------------- */

bool survey_running(const struct survey *survey)
{
	return survey->ends_us != DEADLINE_NONE;
}

static void forget_round(struct survey *survey)
{
	uint64_t rounds = survey->report.rounds;

	survey->has_first = false;
	survey->before = survey->report;
	survey->report = (struct survey_report){ .rounds = rounds };
	for (size_t i = 0; i < survey->target_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++) {
			survey->targets[i].probes[k].tries = 0;
			survey->targets[i].probes[k].answered = false;
			survey->targets[i].probes[k].given_up = false;
		}
	for (size_t i = 0; i < survey->region_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++) {
			struct region *region = &survey->regions[i];

			region->before_us[k] = region->now.latency_us[k];
			region->now.latency_us[k] = SURVEY_NEVER;
		}
}

void survey_start(struct survey *survey, uint64_t now_us)
{
	if (survey_running(survey))
		return;
	forget_round(survey);
	survey->ends_us = now_us + ROUND_US;
}

static bool is_open(const struct probe *probe)
{
	return probe->wanted && !probe->answered && !probe->given_up;
}

static uint64_t probe_due(const struct probe *probe)
{
	if (!is_open(probe) || probe->tries == SURVEY_TRIES)
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

static uint64_t udp_latency(const struct region *region)
{
	return deadline_min(region->now.latency_us[SURVEY_IPV4],
			    region->now.latency_us[SURVEY_IPV6]);
}

static void note_latency(struct region *region, uint64_t latency_us,
			 uint64_t now_us)
{
	region->last_us = deadline_min(latency_us, udp_latency(region));
	if (latency_us > region->best_us &&
	    now_us - region->best_at_us < SURVEY_KEEP_US)
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

static bool is_waited_for(const struct target *target)
{
	return !target->looked_up || is_open(&target->probes[SURVEY_IPV4]) ||
	       is_open(&target->probes[SURVEY_IPV6]);
}

static bool has_all(const struct survey *survey)
{
	for (size_t i = 0; i < survey->target_count; i++)
		if (is_waited_for(&survey->targets[i]))
			return false;
	return true;
}

/* Regions that have not answered and may; targets are sorted by region. */
static size_t count_open_regions(const struct survey *survey)
{
	size_t count = 0, last = SIZE_MAX;

	for (size_t i = 0; i < survey->target_count; i++) {
		const struct target *target = &survey->targets[i];

		if (target->region == last || !is_waited_for(target) ||
		    udp_latency(&survey->regions[target->region]) !=
			    SURVEY_NEVER)
			continue;
		last = target->region;
		count++;
	}
	return count;
}

/* Once enough have answered, the others get one more chance. */
static void settle(struct survey *survey, uint64_t now_us)
{
	uint64_t slowest_us = 0;
	size_t answered = 0;

	for (size_t i = 0; i < survey->region_count; i++) {
		uint64_t latency_us = udp_latency(&survey->regions[i]);

		if (latency_us == SURVEY_NEVER)
			continue;
		answered++;
		if (latency_us > slowest_us)
			slowest_us = latency_us;
	}
	if (answered < ENOUGH_REGIONS && count_open_regions(survey))
		return;
	survey->ends_us = deadline_min(survey->ends_us,
				       now_us + 2 * slowest_us + SETTLE_US);
}

static void end_round(struct survey *survey)
{
	survey->ends_us = DEADLINE_NONE;
	survey->report.rounds++;
}

void survey_unsent(struct survey *survey, const uint8_t txid[SURVEY_TXID_LEN])
{
	struct target *target = NULL;
	uint64_t sent_us = 0;
	struct probe *probe = find_probe(survey, txid, &target, &sent_us);

	if (probe)
		probe->given_up = true;
}

static void note_answer(struct survey *survey, const struct endpoint *server,
			enum survey_family family,
			const struct endpoint *mapped)
{
	survey->report.udp = true;
	survey->report.answered++;
	if (!survey->report.has[family])
		survey->report.mapped[family] = *mapped;
	survey->report.has[family] = true;
	if (family == SURVEY_IPV4)
		note_mapping(survey, server, mapped);
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
	family = survey_family_of(&probe->to);
	if (probe->answered || mapped->port == 0 ||
	    survey_family_of(mapped) != family)
		return true;
	probe->answered = true;
	region = &survey->regions[target->region];
	region->now.latency_us[family] =
		deadline_min(region->now.latency_us[family], now_us - sent_us);
	note_latency(region, now_us - sent_us, now_us);
	note_answer(survey, &probe->to, family, mapped);
	settle(survey, now_us);
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
		if (udp_latency(region) == SURVEY_NEVER)
			note_latency(region, latency_us, now_us);
	}
}

uint64_t survey_next_deadline(const struct survey *survey)
{
	uint64_t deadline = survey->ends_us;

	if (!survey_running(survey))
		return DEADLINE_NONE;
	if (has_all(survey))
		return 0;
	for (size_t i = 0; i < survey->target_count; i++)
		for (size_t k = 0; k < SURVEY_FAMILY_COUNT; k++)
			deadline = deadline_min(
				deadline,
				probe_due(&survey->targets[i].probes[k]));
	return deadline;
}

void survey_tick(struct survey *survey, uint64_t now_us)
{
	if (survey_running(survey) &&
	    (survey->ends_us <= now_us || has_all(survey)))
		end_round(survey);
}
