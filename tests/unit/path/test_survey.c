#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/tailnet/path/survey.h"

#define START_US US_PER_S
#define PROBES 64

struct scene {
	struct rng rng;
	struct derp_map map;
	struct survey *survey;
	uint64_t now_us;
	struct survey_probe probes[PROBES];
	size_t count;
};

static struct endpoint place(const char *text)
{
	struct endpoint out;

	assert_true(endpoint_parse(text, &out));
	return out;
}

/* Region `id` with a STUN-only node and a relay that has no STUN. */
static struct derp_map_region *add_region(struct derp_map *map, int64_t id)
{
	struct derp_map_region *region = derp_map_add_region(map, id);
	struct derp_map_node *node = derp_map_add_node(region);

	snprintf(node->host_name, sizeof(node->host_name), "stun%d.test",
		 (int)id);
	node->stun_only = true;
	node = derp_map_add_node(region);
	snprintf(node->host_name, sizeof(node->host_name), "derp%d.test",
		 (int)id);
	node->stun_port = -1;
	return derp_map_add_region(map, id) ? NULL : region;
}

static void setup(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->now_us = START_US;
	rng_seeded(&s->rng, 5);
	for (int64_t id = 1; id <= 3; id++)
		assert_non_null(add_region(&s->map, id));
	assert_int_equal(survey_new(&s->rng, &s->survey), 0);
	assert_int_equal(survey_set_map(s->survey, &s->map), 0);
}

static void teardown(struct scene *s)
{
	survey_free(s->survey);
	derp_map_clear(&s->map);
}

static void look_up_all(struct scene *s)
{
	for (size_t i = 0; survey_target_host(s->survey, i); i++) {
		struct endpoint v4 = place("192.0.2.1:0");

		v4.address[15] = (uint8_t)(i + 1);
		survey_target_resolved(s->survey, i, &v4, 1);
	}
}

static void pull(struct scene *s)
{
	s->count = 0;
	while (survey_out(s->survey, s->now_us, &s->probes[s->count])) {
		s->count++;
		assert_true(s->count < PROBES);
	}
}

static void begin(struct scene *s)
{
	look_up_all(s);
	survey_start(s->survey, s->now_us);
	pull(s);
}

static void answer(struct scene *s, size_t probe, const char *mapped,
		   uint64_t after_us)
{
	struct endpoint endpoint = place(mapped);

	assert_true(survey_answer(s->survey, s->probes[probe].txid, &endpoint,
				  s->now_us + after_us));
}

/* One whole round, each region with its latency. */
static void round_of(struct scene *s, const uint64_t latency_us[3])
{
	begin(s);
	assert_int_equal(s->count, 3);
	for (size_t i = 0; i < 3; i++)
		if (latency_us[i])
			answer(s, i, "203.0.113.1:5000", latency_us[i]);
	s->now_us += 3 * US_PER_S;
	survey_tick(s->survey, s->now_us);
	assert_false(survey_running(s->survey));
}

static void test_only_stun_servers_are_asked(void **state)
{
	struct scene s;

	(void)state;
	setup(&s);
	assert_string_equal(survey_target_host(s.survey, 0), "stun1.test");
	assert_string_equal(survey_target_host(s.survey, 2), "stun3.test");
	assert_null(survey_target_host(s.survey, 3));
	begin(&s);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.probes[0].to.port, 3478);
	teardown(&s);
}

static void test_answers_end_the_round(void **state)
{
	struct survey_report report;
	struct survey_region region;
	struct scene s;

	(void)state;
	setup(&s);
	begin(&s);
	answer(&s, 0, "203.0.113.1:5000", 1000);
	survey_report(s.survey, &report);
	assert_int_equal(report.mapping, SURVEY_MAPPING_UNKNOWN);
	assert_true(report.udp);
	answer(&s, 1, "203.0.113.1:5000", 2000);
	assert_true(survey_running(s.survey));
	answer(&s, 2, "203.0.113.1:5000", 3000);
	assert_false(survey_running(s.survey));
	assert_true(survey_next_deadline(s.survey) == DEADLINE_NONE);
	survey_report(s.survey, &report);
	assert_int_equal(report.mapping, SURVEY_MAPPING_EASY);
	assert_int_equal(report.rounds, 1);
	assert_int_equal(report.mapped[SURVEY_IPV4].port, 5000);
	assert_false(report.has[SURVEY_IPV6]);
	assert_true(survey_region(s.survey, 1, &region));
	assert_int_equal(region.latency_us[SURVEY_IPV4], 2000);
	teardown(&s);
}

static void test_two_ports_are_a_hard_nat(void **state)
{
	struct survey_report report;
	struct scene s;

	(void)state;
	setup(&s);
	begin(&s);
	answer(&s, 0, "203.0.113.1:5000", 1000);
	answer(&s, 1, "203.0.113.1:5001", 1000);
	answer(&s, 2, "203.0.113.1:5000", 1000);
	survey_report(s.survey, &report);
	assert_int_equal(report.mapping, SURVEY_MAPPING_HARD);
	teardown(&s);
}

static void test_silence_is_asked_again_and_ends(void **state)
{
	struct survey_report report;
	struct scene s;

	(void)state;
	setup(&s);
	begin(&s);
	assert_int_equal(survey_next_deadline(s.survey),
			 START_US + 100 * US_PER_MS);
	for (unsigned i = 0; i < 2; i++) {
		s.now_us += 100 * US_PER_MS;
		pull(&s);
		assert_int_equal(s.count, 3);
	}
	s.now_us += 100 * US_PER_MS;
	pull(&s);
	assert_int_equal(s.count, 0);
	assert_int_equal(survey_next_deadline(s.survey),
			 START_US + 3 * US_PER_S);
	s.now_us = START_US + 3 * US_PER_S;
	survey_tick(s.survey, s.now_us);
	assert_false(survey_running(s.survey));
	survey_report(s.survey, &report);
	assert_false(report.udp);
	assert_int_equal(report.asked, 9);
	teardown(&s);
}

/* The second request's answer is measured from the second request. */
static void test_latency_is_of_the_request_answered(void **state)
{
	struct survey_region region;
	struct scene s;

	(void)state;
	setup(&s);
	begin(&s);
	s.now_us += 100 * US_PER_MS;
	pull(&s);
	answer(&s, 0, "203.0.113.1:5000", 30 * US_PER_MS);
	assert_true(survey_region(s.survey, 0, &region));
	assert_int_equal(region.latency_us[SURVEY_IPV4], 30 * US_PER_MS);
	teardown(&s);
}

static void test_foreign_answers_are_nobodys(void **state)
{
	uint8_t txid[SURVEY_TXID_LEN] = { 9 };
	struct endpoint mapped = place("203.0.113.1:5000");
	struct scene s;

	(void)state;
	setup(&s);
	begin(&s);
	assert_false(survey_answer(s.survey, txid, &mapped, s.now_us));
	teardown(&s);
}

static void test_home_is_the_nearest_with_a_relay(void **state)
{
	const uint64_t latency_us[3] = { 50000, 8000, 20000 };
	struct scene s;

	(void)state;
	setup(&s);
	assert_int_equal(survey_home(s.survey, 0, s.now_us), 1);
	round_of(&s, latency_us);
	assert_int_equal(survey_home(s.survey, 0, s.now_us), 2);
	assert_int_equal(survey_home(s.survey, 1, s.now_us), 2);
	/* 12 ms and more than a third better: worth a move from 3, too. */
	assert_int_equal(survey_home(s.survey, 3, s.now_us), 2);
	teardown(&s);
}

static void test_home_stays_for_little_gain(void **state)
{
	const uint64_t close_us[3] = { 15000, 8000, 0 };
	const uint64_t far_us[3] = { 100000, 75000, 0 };
	struct scene s;

	(void)state;
	setup(&s);
	round_of(&s, close_us);		/* 7 ms: too little */
	assert_int_equal(survey_home(s.survey, 1, s.now_us), 1);
	teardown(&s);
	setup(&s);
	round_of(&s, far_us);		/* a quarter: too little */
	assert_int_equal(survey_home(s.survey, 1, s.now_us), 1);
	teardown(&s);
}

static void test_regions_to_avoid_come_last(void **state)
{
	const uint64_t latency_us[3] = { 50000, 1000, 40000 };
	struct scene s;

	(void)state;
	setup(&s);
	s.map.regions[1].avoid = true;
	assert_int_equal(survey_set_map(s.survey, &s.map), 0);
	round_of(&s, latency_us);
	assert_int_equal(survey_home(s.survey, 0, s.now_us), 3);
	assert_int_equal(survey_home(s.survey, 2, s.now_us), 3);
	teardown(&s);
}

static void test_a_region_that_goes_is_home_no_more(void **state)
{
	const uint64_t latency_us[3] = { 5000, 50000, 60000 };
	struct derp_map smaller = { .region_count = 0 };
	struct scene s;

	(void)state;
	setup(&s);
	round_of(&s, latency_us);
	assert_int_equal(survey_home(s.survey, 1, s.now_us), 1);
	assert_non_null(add_region(&smaller, 2));
	assert_int_equal(survey_set_map(s.survey, &smaller), 0);
	assert_int_equal(survey_home(s.survey, 1, s.now_us), 2);
	derp_map_clear(&smaller);
	assert_int_equal(survey_set_map(s.survey, &smaller), 0);
	assert_int_equal(survey_home(s.survey, 2, s.now_us), 0);
	teardown(&s);
}

static void test_https_counts_where_udp_is_barred(void **state)
{
	struct scene s;

	(void)state;
	setup(&s);
	survey_https_latency(s.survey, 3, 20000, s.now_us);
	assert_int_equal(survey_home(s.survey, 0, s.now_us), 3);
	teardown(&s);
}

static void test_a_late_lookup_is_asked(void **state)
{
	struct endpoint v4 = place("192.0.2.9:0");
	struct scene s;

	(void)state;
	setup(&s);
	survey_target_resolved(s.survey, 0, &v4, 1);
	survey_start(s.survey, s.now_us);
	pull(&s);
	assert_int_equal(s.count, 1);
	answer(&s, 0, "203.0.113.1:5000", 1000);
	assert_true(survey_running(s.survey));
	survey_target_resolved(s.survey, 1, &v4, 1);
	survey_target_resolved(s.survey, 2, NULL, 0);
	pull(&s);
	assert_int_equal(s.count, 1);
	answer(&s, 0, "203.0.113.1:5000", 1000);
	assert_false(survey_running(s.survey));
	teardown(&s);
}

/* No route for IPv6, one IPv4 server: nothing is waited for. */
static void test_what_cannot_be_sent_is_not_waited_for(void **state)
{
	struct endpoint both[2] = { place("192.0.2.1:0"),
				    place("[2001:db8::1]:0") };
	struct scene s;

	(void)state;
	setup(&s);
	for (size_t i = 0; i < 3; i++)
		survey_target_resolved(s.survey, i, both, i == 0 ? 2 : 0);
	survey_start(s.survey, s.now_us);
	pull(&s);
	assert_int_equal(s.count, 2);
	survey_unsent(s.survey, s.probes[1].txid);
	assert_true(survey_running(s.survey));
	answer(&s, 0, "203.0.113.1:5000", 1000);
	assert_false(survey_running(s.survey));
	teardown(&s);
}

/* Its region has answered by IPv4: IPv6 gets a second try, not 3 s. */
static void test_enough_regions_end_the_round(void **state)
{
	struct endpoint both[2] = { place("192.0.2.1:0"),
				    place("[2001:db8::1]:0") };
	struct survey_report report;
	struct scene s;

	(void)state;
	setup(&s);
	for (size_t i = 0; i < 3; i++) {
		both[0].address[15] = (uint8_t)i;
		survey_target_resolved(s.survey, i, both, 2);
	}
	survey_start(s.survey, s.now_us);
	pull(&s);
	assert_int_equal(s.count, 6);
	answer(&s, 0, "203.0.113.1:5000", 10000);
	answer(&s, 2, "203.0.113.1:5000", 20000);
	s.now_us = START_US + 400 * US_PER_MS;
	survey_tick(s.survey, s.now_us);
	assert_true(survey_running(s.survey));
	answer(&s, 4, "203.0.113.1:5000", 0);
	s.now_us += 2 * 400 * US_PER_MS + 100 * US_PER_MS;
	survey_tick(s.survey, s.now_us);
	assert_true(survey_running(s.survey));
	assert_true(survey_next_deadline(s.survey) <=
		    s.now_us + 50 * US_PER_MS);
	survey_tick(s.survey, s.now_us + 50 * US_PER_MS);
	assert_false(survey_running(s.survey));
	survey_report(s.survey, &report);
	assert_int_equal(report.mapping, SURVEY_MAPPING_EASY);
	teardown(&s);
}

static void test_nobody_to_ask_ends_at_once(void **state)
{
	struct scene s;

	(void)state;
	setup(&s);
	for (size_t i = 0; i < 3; i++)
		survey_target_resolved(s.survey, i, NULL, 0);
	survey_start(s.survey, s.now_us);
	pull(&s);
	assert_true(survey_next_deadline(s.survey) <= s.now_us);
	survey_tick(s.survey, s.now_us);
	assert_false(survey_running(s.survey));
	teardown(&s);
}

static void test_a_lookup_that_fails_forgets_nothing(void **state)
{
	struct endpoint v4 = place("192.0.2.9:0");
	struct scene s;

	(void)state;
	setup(&s);
	look_up_all(&s);
	survey_target_resolved(s.survey, 1, NULL, 0);
	survey_target_resolved(s.survey, 3, &v4, 1);	/* of an old map */
	survey_start(s.survey, s.now_us);
	pull(&s);
	assert_int_equal(s.count, 3);
	teardown(&s);
}

static void test_addresses_of_the_map_have_precedence(void **state)
{
	struct endpoint v4 = place("192.0.2.9:0");
	struct endpoint want = place("198.51.100.7:3478");
	struct derp_map_node *node;
	struct scene s;

	(void)state;
	setup(&s);
	node = &s.map.regions[0].nodes[0];
	snprintf(node->ipv4, sizeof(node->ipv4), "198.51.100.7");
	snprintf(node->ipv6, sizeof(node->ipv6), "none");
	node = &s.map.regions[1].nodes[0];
	snprintf(node->ipv4, sizeof(node->ipv4), "2001:db8::1");
	snprintf(node->ipv6, sizeof(node->ipv6), "2001:db8::1");
	assert_int_equal(survey_set_map(s.survey, &s.map), 0);
	survey_target_resolved(s.survey, 0, &v4, 1);
	survey_target_resolved(s.survey, 2, NULL, 0);
	survey_start(s.survey, s.now_us);
	pull(&s);
	assert_int_equal(s.count, 2);
	assert_true(endpoint_equal(&s.probes[0].to, &want));
	want = place("[2001:db8::1]:3478");
	assert_true(endpoint_equal(&s.probes[1].to, &want));
	teardown(&s);
}

static void test_the_round_before_is_reported_meanwhile(void **state)
{
	const uint64_t latency_us[3] = { 1000, 2000, 3000 };
	struct survey_report report;
	struct survey_region region;
	struct scene s;

	(void)state;
	setup(&s);
	round_of(&s, latency_us);
	begin(&s);
	survey_report(s.survey, &report);
	assert_true(report.has[SURVEY_IPV4]);
	assert_int_equal(report.mapping, SURVEY_MAPPING_EASY);
	assert_true(survey_region(s.survey, 1, &region));
	assert_int_equal(region.latency_us[SURVEY_IPV4], 2000);
	answer(&s, 0, "203.0.113.9:6000", 1000);
	survey_report(s.survey, &report);
	assert_int_equal(report.mapped[SURVEY_IPV4].port, 6000);
	/* Another network. */
	assert_int_equal(survey_set_map(s.survey, &s.map), 0);
	survey_report(s.survey, &report);
	assert_false(report.has[SURVEY_IPV4]);
	teardown(&s);
}

static void test_nonsense_answers_say_nothing(void **state)
{
	struct survey_report report;
	struct scene s;

	(void)state;
	setup(&s);
	begin(&s);
	answer(&s, 0, "[2001:db8::1]:5000", 1000);
	answer(&s, 1, "203.0.113.1:0", 1000);
	survey_report(s.survey, &report);
	assert_false(report.udp);
	assert_false(report.has[SURVEY_IPV4]);
	teardown(&s);
}

/* The first home is a guess: it goes once another is known to answer. */
static void test_a_home_that_never_answered_goes(void **state)
{
	const uint64_t second_us[3] = { 0, 40000, 60000 };
	const uint64_t none_us[3] = { 0, 0, 50000 };
	struct scene s;

	(void)state;
	setup(&s);
	round_of(&s, second_us);
	assert_int_equal(survey_home(s.survey, 1, s.now_us), 2);
	/* But one that answered once stays. */
	round_of(&s, none_us);
	assert_int_equal(survey_home(s.survey, 2, s.now_us), 2);
	teardown(&s);
}

/* 1,000 s of jitter: a home is not left for a lucky round. */
static void test_jitter_moves_no_home(void **state)
{
	struct scene s;
	struct rng fate;
	int64_t home = 1;
	size_t moves = 0;

	(void)state;
	setup(&s);
	rng_seeded(&fate, 77);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t latency_us[3];

		for (size_t k = 0; k < 3; k++)
			latency_us[k] = 30000 + rng_below(&fate, 8000);
		round_of(&s, latency_us);
		moves += survey_home(s.survey, home, s.now_us) != home;
		home = survey_home(s.survey, home, s.now_us);
		s.now_us += 25 * US_PER_S;
	}
	assert_int_equal(moves, 0);
	teardown(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_stun_servers_are_asked),
		cmocka_unit_test(test_answers_end_the_round),
		cmocka_unit_test(test_two_ports_are_a_hard_nat),
		cmocka_unit_test(test_silence_is_asked_again_and_ends),
		cmocka_unit_test(test_latency_is_of_the_request_answered),
		cmocka_unit_test(test_foreign_answers_are_nobodys),
		cmocka_unit_test(test_home_is_the_nearest_with_a_relay),
		cmocka_unit_test(test_home_stays_for_little_gain),
		cmocka_unit_test(test_regions_to_avoid_come_last),
		cmocka_unit_test(test_a_region_that_goes_is_home_no_more),
		cmocka_unit_test(test_https_counts_where_udp_is_barred),
		cmocka_unit_test(test_a_late_lookup_is_asked),
		cmocka_unit_test(test_what_cannot_be_sent_is_not_waited_for),
		cmocka_unit_test(test_enough_regions_end_the_round),
		cmocka_unit_test(test_nobody_to_ask_ends_at_once),
		cmocka_unit_test(test_a_lookup_that_fails_forgets_nothing),
		cmocka_unit_test(test_addresses_of_the_map_have_precedence),
		cmocka_unit_test(test_the_round_before_is_reported_meanwhile),
		cmocka_unit_test(test_nonsense_answers_say_nothing),
		cmocka_unit_test(test_a_home_that_never_answered_goes),
		cmocka_unit_test(test_jitter_moves_no_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
