/* Which servers there are to ask, and where. */
#include "core/tailnet/path/survey_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define STUN_PORT 3478

const struct region *survey_find_region(const struct survey *survey,
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
	const struct region *known =
		survey_find_region(survey, from->region_id);

	if (known)
		*to = *known;
	else
		*to = (struct region){
			.now = { .region_id = from->region_id,
				 .latency_us = { SURVEY_NEVER, SURVEY_NEVER },
				 .https_us = SURVEY_NEVER },
			.before_us = { SURVEY_NEVER, SURVEY_NEVER },
			.best_us = SURVEY_NEVER,
			.last_us = SURVEY_NEVER,
		};
	to->now.has_relay = derp_map_relay(from) != NULL;
	to->avoid = from->avoid;
}

static bool parse_address(const char *text, uint16_t port,
			  struct endpoint *out)
{
	char whole[DERP_MAP_NAME_CAP + 16];

	if (strchr(text, ':'))
		snprintf(whole, sizeof(whole), "[%s]:%u", text, port);
	else
		snprintf(whole, sizeof(whole), "%s:%u", text, port);
	return endpoint_parse(whole, out);
}

/* Empty: to be looked up; else an address, or "none" and the like. */
static void make_probe(struct target *target, enum survey_family family,
		       const char *text)
{
	struct probe *probe = &target->probes[family];

	target->allowed[family] = !*text;
	if (!*text)
		target->looked_up = false;
	else if (parse_address(text, target->port, &probe->to) &&
		 survey_family_of(&probe->to) == family)
		probe->wanted = probe->fixed = true;
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
		.looked_up = true,
	};
	memcpy(to->host, from->host_name, sizeof(to->host));
	make_probe(to, SURVEY_IPV4, from->ipv4);
	make_probe(to, SURVEY_IPV6, from->ipv6);
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
	survey->before = survey->report = (struct survey_report){
		.rounds = survey->report.rounds,
	};
	return 0;
}

const char *survey_target_host(const struct survey *survey, size_t index)
{
	return index < survey->target_count ? survey->targets[index].host :
					      NULL;
}

/* The first address of each family. */
void survey_target_resolved(struct survey *survey, size_t index,
			    const struct endpoint *endpoints, size_t count)
{
	struct target *target;

	if (index >= survey->target_count)
		return;
	target = &survey->targets[index];
	target->looked_up = true;
	for (size_t i = 0; count && i < SURVEY_FAMILY_COUNT; i++)
		target->probes[i].wanted = target->probes[i].fixed;
	for (size_t i = count; i > 0; i--) {
		enum survey_family family = survey_family_of(&endpoints[i - 1]);

		if (!target->allowed[family])
			continue;
		target->probes[family].to = endpoints[i - 1];
		target->probes[family].to.port = target->port;
		target->probes[family].wanted = true;
	}
}
