/*
 * 10,000 random sequences of 200 events. Two kinds: any event at any time
 * (structure only), and a model of the host that owes one completion an
 * action, where every connection must end up shut down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/fsm/fsm.h"

#define SEQUENCES 10000
#define EVENTS 200

/* What the host still has to post back. */
struct host {
	unsigned starters;
	bool dialing;
	bool connected;
	bool app_starting;
	bool app_up;
	bool closing;
	bool tailnet_closing;
	bool cancelled;
};

static struct fsm_event watch_event(struct rng *rng)
{
	struct fsm_event event = { .kind = FSM_BUILD_UPDATE };

	if (rng_below(rng, 2)) {
		/* Mostly what keeps a workspace going. */
		event.build.transition = (enum fsm_transition)(
			rng_below(rng, 12) ? rng_below(rng, 2) :
					     rng_below(rng, 4));
		event.build.job_status = (enum fsm_job_status)(
			rng_below(rng, 12) ? rng_below(rng, 3) :
					     rng_below(rng, FSM_JOB_COUNT));
		return event;
	}
	event = (struct fsm_event){ .kind = FSM_AGENT_UPDATE };
	event.agent.lifecycle =
		(enum fsm_lifecycle)rng_below(rng, FSM_LIFECYCLE_COUNT);
	event.agent.id.bytes[0] = (uint8_t)(rng_below(rng, 8) == 0);
	return event;
}

static struct fsm_event any_event(struct rng *rng)
{
	struct fsm_event event = { .kind = FSM_SHUTDOWN_SIGNAL };

	switch (rng_below(rng, 40)) {
	case 0:
		return event;
	case 1:
		event.kind = FSM_ABORT;
		return event;
	case 2:
	case 3:
		event.kind = FSM_STARTER_UPDATE;
		event.starter.failed = rng_below(rng, 2);
		return event;
	case 4:
	case 5:
	case 6:
	case 7:
		event.kind = FSM_TAILNET_UPDATE;
		event.tailnet.up = rng_below(rng, 3) != 0;
		return event;
	case 8:
	case 9:
	case 10:
	case 11:
		event.kind = FSM_APP_UPDATE;
		event.app.up = rng_below(rng, 3) != 0;
		return event;
	}
	return watch_event(rng);
}

/* A completion that is owed, if there is one; as the host would post it. */
static bool completion(struct host *host, struct rng *rng,
		       struct fsm_event *event)
{
	bool fails = rng_below(rng, 4) == 0;

	*event = (struct fsm_event){ .kind = FSM_APP_UPDATE };
	if (host->app_starting) {
		host->app_starting = false;
		host->app_up = !fails;
		event->app.up = !fails;
		return true;
	}
	if (host->closing) {
		host->closing = false;
		host->app_up = false;
		return true;
	}
	*event = (struct fsm_event){ .kind = FSM_TAILNET_UPDATE };
	if (host->dialing) {
		host->dialing = false;
		host->connected = !fails;
		event->tailnet.up = !fails;
		return true;
	}
	if (host->tailnet_closing) {
		host->tailnet_closing = false;
		host->connected = false;
		return true;
	}
	*event = (struct fsm_event){ .kind = FSM_STARTER_UPDATE };
	if (host->starters) {
		host->starters--;
		event->starter.failed = fails && !host->starters;
		return true;
	}
	return false;
}

static void carry_out(struct host *host, enum fsm_action action)
{
	switch (action) {
	case FSM_START_WORKSPACE:
		host->starters++;
		break;
	case FSM_CONNECT_TAILNET:
		assert_false(host->dialing || host->connected);
		host->dialing = true;
		break;
	case FSM_START_APP:
		assert_true(host->connected);
		assert_false(host->app_starting || host->app_up);
		host->app_starting = true;
		break;
	case FSM_CLOSE_APP:
		assert_true(host->app_up && host->connected);
		assert_false(host->closing || host->tailnet_closing);
		host->closing = true;
		break;
	case FSM_SHUTDOWN_TAILNET_CONN:
		assert_true(host->connected);
		/* close_app comes before shutdown_tailnet */
		assert_false(host->app_up || host->app_starting);
		assert_false(host->tailnet_closing);
		host->tailnet_closing = true;
		break;
	case FSM_CANCEL:
		assert_false(host->cancelled);
		host->cancelled = true;
		break;
	case FSM_NO_ACTION:
	case FSM_ACTION_COUNT:
		fail_msg("action %d", action);
	}
}

static void check_structure(const struct fsm_step *step,
			    const struct fsm *before, const struct fsm *after)
{
	bool cancels = false;
	bool starts = false;

	assert_int_equal(step->from, before->state);
	assert_int_equal(step->to, after->state);
	assert_true(step->to < FSM_STATE_COUNT);
	for (size_t i = 0; i < step->action_count; i++) {
		cancels |= step->actions[i] == FSM_CANCEL;
		starts |= step->actions[i] == FSM_START_WORKSPACE;
	}
	if (step->from == FSM_EXIT) {
		assert_int_equal(step->to, FSM_EXIT);
		assert_int_equal(step->action_count, 0);
	}
	assert_int_equal(cancels, step->from != FSM_EXIT &&
					  step->to == FSM_EXIT);
	if (starts)
		assert_true(after->starter);
	/* D7: none is asked for while one is known to run there */
	if (before->state == FSM_WAIT_FOR_WORKSPACE_STARTED && before->starter)
		assert_false(starts);
}

static void one_step(struct fsm *fsm, const struct fsm_config *config,
		     const struct fsm_event *event, struct host *host)
{
	struct fsm before = *fsm;
	struct fsm_step step;

	fsm_step(fsm, config, event, &step);
	check_structure(&step, &before, fsm);
	for (size_t i = 0; host && i < step.action_count; i++)
		carry_out(host, step.actions[i]);
}

static struct fsm_config random_config(struct rng *rng)
{
	return (struct fsm_config){ rng_below(rng, 4) == 0,
				    rng_below(rng, 2) == 0 };
}

static void test_any_event_at_any_time(void **state)
{
	size_t exits = 0;

	(void)state;
	for (uint64_t seed = 0; seed < SEQUENCES; seed++) {
		struct fsm fsm = { .state = FSM_INIT };
		struct fsm_config config;
		struct rng rng;

		rng_seeded(&rng, seed);
		config = random_config(&rng);
		fsm.state = (enum fsm_state)rng_below(&rng, FSM_STATE_COUNT);
		for (int i = 0; i < EVENTS; i++) {
			struct fsm_event event = any_event(&rng);

			one_step(&fsm, &config, &event, NULL);
		}
		exits += fsm.state == FSM_EXIT;
	}
	assert_true(exits > SEQUENCES / 2);
}

/* Something of the world, or of the host when it owes something. */
static struct fsm_event host_event(struct host *host, struct rng *rng,
				   const struct fsm *fsm)
{
	struct fsm_event event;

	if (rng_below(rng, 3) == 0 && completion(host, rng, &event))
		return event;
	if (host->app_up && !host->closing && rng_below(rng, 30) == 0) {
		host->app_up = false;	/* the job has returned by itself */
		return (struct fsm_event){ .kind = FSM_APP_UPDATE };
	}
	if (rng_below(rng, 60) == 0)
		return (struct fsm_event){ .kind = FSM_SHUTDOWN_SIGNAL };
	/* D3: lost, but the connection is still there to be shut down */
	if ((fsm->state == FSM_TAILNET_UP ||
	     fsm->state == FSM_APPLICATION_UP) && rng_below(rng, 40) == 0)
		return (struct fsm_event){ .kind = FSM_TAILNET_UPDATE };
	return watch_event(rng);
}

static bool host_sequence(uint64_t seed)
{
	struct fsm fsm = { .state = FSM_INIT };
	struct fsm_event event = { .kind = FSM_SHUTDOWN_SIGNAL };
	struct host host = { 0 };
	struct fsm_config config;
	bool was_connected = false;
	struct rng rng;

	rng_seeded(&rng, seed);
	config = random_config(&rng);
	for (int i = 0; i < EVENTS; i++) {
		event = host_event(&host, &rng, &fsm);
		one_step(&fsm, &config, &event, &host);
		was_connected |= host.connected;
	}
	event = (struct fsm_event){ .kind = FSM_SHUTDOWN_SIGNAL };
	one_step(&fsm, &config, &event, &host);
	while (completion(&host, &rng, &event))
		one_step(&fsm, &config, &event, &host);
	if (fsm.state != FSM_EXIT || host.connected || host.app_up ||
	    !host.cancelled)
		fail_msg("seed %llu ends in %s%s%s", (unsigned long long)seed,
			 fsm_state_name(fsm.state),
			 host.connected ? ", connected" : "",
			 host.app_up ? ", application up" : "");
	return was_connected;
}

static void test_every_connection_ends_closed(void **state)
{
	size_t connected = 0;

	(void)state;
	for (uint64_t seed = 0; seed < SEQUENCES; seed++)
		connected += host_sequence(seed);
	assert_true(connected > SEQUENCES / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_event_at_any_time),
		cmocka_unit_test(test_every_connection_ends_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
