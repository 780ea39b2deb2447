/*
 * Bytes as operations on a path and on a survey, with what must hold after
 * each: bounded tables, bounded pings, no deadline left in the past, a best
 * place that is a candidate, a home that has a relay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/path/path.h"
#include "core/tailnet/path/survey.h"

#define PLACES 48
#define KEPT 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *data;
	size_t len;
};

struct state {
	struct input in;
	struct rng rng;
	uint64_t now_us;
	struct path path;
	size_t pings;
	uint8_t path_txids[KEPT][PATH_TXID_LEN];
	struct derp_map map;
	struct survey *survey;
	size_t probes;
	uint8_t survey_txids[KEPT][SURVEY_TXID_LEN];
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static uint8_t take(struct input *in)
{
	if (!in->len)
		return 0;
	in->len--;
	return *in->data++;
}

/* One of few places of each kind, so that they come again. */
static struct endpoint take_place(struct input *in)
{
	static const char *const kinds[] = {
		"192.0.2.0:1", "10.0.0.0:1", "127.0.0.0:1", "224.0.0.0:1",
		"[2001:db8::]:1", "[fd00::]:1", "[fe80::]:1", "[::1]:1",
	};
	uint8_t what = take(in);
	struct endpoint out;

	require(endpoint_parse(kinds[what & 7], &out));
	out.address[15] = (uint8_t)(out.address[15] ^ (what >> 3));
	out.port = take(in) & 3;
	return out;
}

static size_t take_places(struct input *in, struct endpoint out[PLACES])
{
	size_t count = take(in) % PLACES;

	for (size_t i = 0; i < count; i++)
		out[i] = take_place(in);
	return count;
}

/* --- the path ---------------------------------------------------------- */

static void pull_path(struct state *s)
{
	struct path_out out;

	for (size_t guard = 0;; guard++) {
		require(guard <= PATH_CANDIDATE_CAP + 1);
		switch (path_out(&s->path, s->now_us, &out)) {
		case PATH_NOTHING:
			return;
		case PATH_PING:
			memcpy(s->path_txids[s->pings++ % KEPT], out.txid,
			       PATH_TXID_LEN);
			break;
		case PATH_CALL_ME_MAYBE:
			break;
		}
	}
}

static void check_path(struct state *s)
{
	struct path_candidate_info info;
	const struct endpoint *direct = NULL;
	size_t count = 0, best = 0;

	path_tick(&s->path, s->now_us);
	pull_path(s);
	require(path_next_deadline(&s->path) > s->now_us);
	for (; path_candidate_info(&s->path, count, s->now_us, &info); count++)
		best += info.best;
	require(count <= PATH_CANDIDATE_CAP);
	require(best == (path_best(&s->path, s->now_us) ? 1 : 0));
	require(s->pings <= 64 + 16 * (s->now_us / US_PER_S + 1));
	if (path_changed(&s->path, s->now_us, &direct))
		require(direct == path_best(&s->path, s->now_us));
	require(!path_changed(&s->path, s->now_us, &direct));
}

static void operate_path(struct state *s, uint8_t what)
{
	struct endpoint places[PLACES];
	struct endpoint place = take_place(&s->in);
	size_t count;

	switch (what % 10) {
	case 0:
		count = take_places(&s->in, places);
		path_set_endpoints(&s->path, places, count, s->now_us);
		break;
	case 1:
		count = take_places(&s->in, places);
		path_call_me_maybe(&s->path, places, count, s->now_us);
		break;
	case 2:
		path_ping_in(&s->path, &place, s->now_us);
		break;
	case 3:
		path_data_in(&s->path, &place, s->now_us);
		break;
	case 4:
		(void)path_pong_in(&s->path,
				   s->path_txids[take(&s->in) % KEPT],
				   s->now_us);
		break;
	case 5:
		path_own_changed(&s->path, s->now_us);
		break;
	case 6:
		path_rebind(&s->path, s->now_us);
		break;
	case 7:
		path_unreachable(&s->path, &place, s->now_us);
		break;
	default:
		path_want(&s->path, s->now_us);
		break;
	}
}

/* --- the survey -------------------------------------------------------- */

static void take_address(struct input *in, char out[DERP_MAP_NAME_CAP])
{
	static const char *const texts[] = { "", "none", "192.0.2.1",
					     "2001:db8::1" };
	uint8_t what = take(in);

	snprintf(out, DERP_MAP_NAME_CAP, "%s", texts[what & 3]);
	if (what & 4)
		out[0] = (char)take(in);
	if (what & 8)
		memset(out, '1' + (what >> 4), DERP_MAP_NAME_CAP - 1);
}

static void take_region(struct state *s, int64_t id)
{
	struct derp_map_region *region = derp_map_add_region(&s->map, id);
	size_t nodes = take(&s->in) % 5;

	if (!region)
		return;
	region->avoid = take(&s->in) & 1;
	for (size_t i = 0; i < nodes; i++) {
		struct derp_map_node *node = derp_map_add_node(region);
		uint8_t what = take(&s->in);

		if (!node)
			return;
		node->stun_only = what & 1;
		node->stun_port = (what & 2) ? -1 : (what & 4) ? 70000 : 0;
		take_address(&s->in, node->ipv4);
		take_address(&s->in, node->ipv6);
	}
}

static void set_map(struct state *s)
{
	size_t regions = take(&s->in) % 6;

	derp_map_clear(&s->map);
	for (size_t i = 0; i < regions; i++)
		take_region(s, 1 + take(&s->in) % 8);
	(void)survey_set_map(s->survey, &s->map);
}

static void pull_survey(struct state *s)
{
	struct survey_probe out;

	for (size_t guard = 0; survey_out(s->survey, s->now_us, &out);
	     guard++) {
		require(guard < 2 * SURVEY_TARGET_CAP);
		require(out.to.port != 0);
		memcpy(s->survey_txids[s->probes++ % KEPT], out.txid,
		       SURVEY_TXID_LEN);
	}
}

static void check_survey(struct state *s, int64_t current)
{
	const struct derp_map_region *home;
	struct survey_region region;
	struct survey_report report;
	int64_t id;
	size_t count = 0;

	survey_tick(s->survey, s->now_us);
	pull_survey(s);
	require(survey_next_deadline(s->survey) > s->now_us);
	require(survey_running(s->survey) ||
		survey_next_deadline(s->survey) == DEADLINE_NONE);
	while (survey_region(s->survey, count, &region))
		count++;
	require(count == s->map.region_count);
	survey_report(s->survey, &report);
	require(report.answered <= report.asked);
	id = survey_home(s->survey, current, s->now_us);
	home = derp_map_region(&s->map, id);
	require(id ? home && derp_map_relay(home) :
		     derp_map_first_home(&s->map) == 0);
	/* It does not want to leave what it has just chosen. */
	require(survey_home(s->survey, id, s->now_us) == id);
}

static void operate_survey(struct state *s, uint8_t what)
{
	struct endpoint places[PLACES];
	struct endpoint place = take_place(&s->in);
	const uint8_t *txid = s->survey_txids[take(&s->in) % KEPT];
	size_t count;

	switch (what % 7) {
	case 0:
		set_map(s);
		break;
	case 1:
		count = take_places(&s->in, places);
		survey_target_resolved(s->survey, take(&s->in) % 24, places,
				       count);
		break;
	case 2:
		(void)survey_answer(s->survey, txid, &place, s->now_us);
		break;
	case 3:
		survey_unsent(s->survey, txid);
		break;
	case 4:
		survey_https_latency(s->survey, take(&s->in) % 8,
				     take(&s->in) * US_PER_MS, s->now_us);
		break;
	default:
		survey_start(s->survey, s->now_us);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct state s = { .in = { data, len } };

	rng_seeded(&s.rng, len);
	path_init(&s.path, &s.rng);
	if (survey_new(&s.rng, &s.survey) < 0)
		return 0;
	while (s.in.len) {
		uint8_t what = take(&s.in);

		/* A few milliseconds, or once in a while many seconds. */
		s.now_us += (uint64_t)(what >> 5) * 30 * US_PER_MS;
		if (what == UINT8_MAX)
			s.now_us += take(&s.in) * US_PER_S;
		if (what & 1)
			operate_path(&s, take(&s.in));
		else
			operate_survey(&s, take(&s.in));
		check_path(&s);
		check_survey(&s, what % 9);
	}
	path_clear(&s.path);
	survey_free(s.survey);
	derp_map_clear(&s.map);
	return 0;
}
