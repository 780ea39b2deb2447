/* What the rounds say: the home region, and reports. */
#include "core/tailnet/path/survey_private.h"

#define HOME_GAIN_US (10 * US_PER_MS)

static uint64_t counted_latency(const struct region *region, uint64_t now_us)
{
	if (region->best_us == SURVEY_NEVER ||
	    now_us - region->best_at_us >= SURVEY_KEEP_US)
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
		return ours != SURVEY_NEVER;
	return ours + HOME_GAIN_US <= old->last_us &&
	       ours <= old->last_us / 3 * 2;
}

int64_t survey_home(const struct survey *survey, int64_t current,
		    uint64_t now_us)
{
	const struct region *old = survey_find_region(survey, current);
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
	const struct survey_report *before = &survey->before;

	*out = survey->report;
	if (!survey_running(survey))
		return;
	out->udp |= before->udp;
	if (out->mapping == SURVEY_MAPPING_UNKNOWN)
		out->mapping = before->mapping;
	for (size_t i = 0; i < SURVEY_FAMILY_COUNT; i++)
		if (!out->has[i]) {
			out->has[i] = before->has[i];
			out->mapped[i] = before->mapped[i];
		}
}

bool survey_region(const struct survey *survey, size_t index,
		   struct survey_region *out)
{
	const uint64_t *before_us;

	if (index >= survey->region_count)
		return false;
	*out = survey->regions[index].now;
	if (!survey_running(survey))
		return true;
	before_us = survey->regions[index].before_us;
	for (size_t i = 0; i < SURVEY_FAMILY_COUNT; i++)
		if (out->latency_us[i] == SURVEY_NEVER)
			out->latency_us[i] = before_us[i];
	return true;
}
