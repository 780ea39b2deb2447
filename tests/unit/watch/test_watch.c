#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/virtual_loop.h"
#include "core/watch/watch.h"
#include "tests/support/fake_network.h"

#define ID "22222222-2222-2222-2222-222222222222"
#define BUILD                                                        \
	"{\"error\":null,\"build_update\":{\"transition\":\"start\"," \
	"\"job_status\":\"succeeded\"}}\n"
#define AGENT                                                      \
	"{\"error\":null,\"agent_update\":{\"lifecycle\":\"ready\"," \
	"\"id\":\"" ID "\"}}\n"
#define TOKEN "marker-token-that-no-one-may-see"

struct fixture {
	struct virtual_loop v;
	struct fake_network fake;
	struct rng rng;
	struct log log;
	struct watch_config config;
	struct watch *watch;
	unsigned events;
	unsigned fatals;
	enum fsm_event_kind last;
	bool free_in_callback;
	struct error fatal;
	char logged[8192];
};

static void keep_log(struct log *log, enum log_level level, const char *room,
		     const char *message)
{
	struct fixture *f = log->user;
	size_t used = strlen(f->logged);

	(void)room;
	snprintf(f->logged + used, sizeof(f->logged) - used, "%s %s\n",
		 log_level_name(level), message);
}

static void free_if_asked(struct fixture *f)
{
	if (!f->free_in_callback)
		return;
	watch_free(f->watch);
	f->watch = NULL;
}

static void on_event(void *user, const struct fsm_event *event)
{
	struct fixture *f = user;

	f->events++;
	f->last = event->kind;
	free_if_asked(f);
}

static void on_fatal(void *user, const struct error *error)
{
	struct fixture *f = user;

	f->fatals++;
	f->fatal = *error;
	free_if_asked(f);
}

static const struct watch_handlers handlers = { on_event, on_fatal };
static const struct http_header extra[] = { { "X-Extra", "yes" } };

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .events = 0 };
	virtual_loop_init(&f.v);
	fake_network_init(&f.fake);
	rng_seeded(&f.rng, 1);
	f.log = (struct log){ LOG_DEBUG, keep_log, &f };
	f.config = (struct watch_config){
		.network = &f.fake.network,
		.loop = &f.v.loop,
		.rng = &f.rng,
		.log = &f.log,
		.url = "https://coder.example/",
		.token = TOKEN,
		.headers = extra,
		.header_count = 1,
		.workspace_id = { { 0x11 } },
		.handlers = &handlers,
		.user = &f,
	};
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	watch_free(f->watch);
	assert_null(f->fake.channel);
	assert_null(strstr(f->logged, TOKEN));
	assert_null(strstr(f->fatal.message, TOKEN));
	virtual_loop_clear(&f->v);
	return 0;
}

static void run_for(struct fixture *f, uint64_t us)
{
	virtual_loop_run(&f->v, f->v.now_us + us, NULL);
}

static void start(struct fixture *f)
{
	assert_int_equal(watch_new(&f->config, &f->watch, NULL), 0);
	assert_int_equal(f->fake.dials, 0);
	run_for(f, 1);
	assert_int_equal(f->fake.dials, 1);
}

static void test_request(void **state)
{
	struct fixture *f = *state;

	f->config.agent_name = "main & more";
	start(f);
	assert_string_equal(f->fake.url,
			    "https://coder.example/api/v2/workspaces/"
			    "11000000-0000-0000-0000-000000000000/"
			    "agent-connection-watch?agent_name=main%20%26%20"
			    "more");
	assert_string_equal(f->fake.headers,
			    "Coder-Session-Token: " TOKEN "\n"
			    "X-Extra: yes\n");
	assert_int_equal(f->fake.kind, CHANNEL_TEXT);
	assert_int_equal(f->fake.message_cap, 1 << 20);
}

static void test_events_and_redial(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_null(strstr(f->fake.url, "agent_name"));
	assert_false(watch_is_open(f->watch));
	fake_open(&f->fake);
	assert_true(watch_is_open(f->watch));
	fake_message(&f->fake, BUILD);
	assert_int_equal(f->last, FSM_BUILD_UPDATE);
	fake_message(&f->fake, AGENT);
	assert_int_equal(f->last, FSM_AGENT_UPDATE);
	fake_message(&f->fake, "{\"error\":null,\"job_log\":{}}");
	assert_int_equal(f->events, 2);
	fake_end(&f->fake, ERR_RESET, "connection reset");
	assert_false(watch_is_open(f->watch));
	assert_non_null(strstr(f->logged,
			       "warn watch closed: connection reset; again"));
	run_for(f, 250 * US_PER_MS);
	assert_int_equal(f->fake.dials, 2);
	assert_int_equal(f->fatals, 0);
}

static void test_strange_values_are_logged(void **state)
{
	struct fixture *f = *state;

	start(f);
	fake_open(&f->fake);
	fake_message(&f->fake, "{\"build_update\":{\"transition\":\"melt\","
			       "\"job_status\":\"running\"}}");
	assert_int_equal(f->events, 1);
	assert_non_null(
		strstr(f->logged, "warn unknown value: transition melt\n"));
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;

	start(f);
	fake_refuse(&f->fake, 503, "<html>\r\nbusy");
	assert_non_null(strstr(f->logged, "HTTP 503: <html>  busy; again"));
	run_for(f, 250 * US_PER_MS);
	fake_refuse(&f->fake, 401,
		    "{\"message\":\"You are signed out.\",\"detail\":"
		    "\"API key is invalid.\"}");
	assert_int_equal(f->fatals, 1);
	assert_int_equal(f->fatal.code, ERR_UNAUTHORIZED);
	assert_string_equal(f->fatal.message,
			    "HTTP 401: You are signed out: API key is "
			    "invalid");
	run_for(f, 1000 * US_PER_S);
	assert_int_equal(f->fake.dials, 2);
}

static void test_error_frames(void **state)
{
	struct fixture *f = *state;

	start(f);
	fake_open(&f->fake);
	fake_message(&f->fake, "{\"error\":{\"code\":4,\"retryable\":true,"
			       "\"message\":\"shutting down\"}}");
	assert_null(f->fake.channel);
	assert_int_equal(f->fake.close_code, 1000);
	run_for(f, 250 * US_PER_MS);
	assert_int_equal(f->fake.dials, 2);
	fake_open(&f->fake);
	fake_message(&f->fake, "{\"error\":{\"code\":2,\"retryable\":false,"
			       "\"message\":\"target agent not found by "
			       "name\"}}");
	assert_int_equal(f->fatals, 1);
	assert_int_equal(f->fatal.code, ERR_NOT_FOUND);
	assert_string_equal(f->fatal.message,
			    "workspace agent connection watch error: target "
			    "agent not found by name");
}

static void test_rubbish_is_dialled_again(void **state)
{
	struct fixture *f = *state;

	start(f);
	fake_open(&f->fake);
	fake_message(&f->fake, "{\"agent_update\":{\"id\":5}}");
	assert_int_equal(f->fake.close_code, 1002);
	assert_int_equal(f->events, 0);
	assert_non_null(strstr(f->logged, "watch message: agent_update."
					  "lifecycle: missing; again"));
	run_for(f, 250 * US_PER_MS);
	assert_int_equal(f->fake.dials, 2);
}

static void test_budget(void **state)
{
	struct fixture *f = *state;

	start(f);
	while (!f->fatals && f->v.now_us < 400 * US_PER_S) {
		if (f->fake.channel)
			fake_end(&f->fake, ERR_UNREACHABLE, "no route");
		if (!f->fatals)
			run_for(f, US_PER_S);
	}
	assert_int_equal(f->fatals, 1);
	assert_int_equal(f->fatal.code, ERR_UNREACHABLE);
	assert_string_equal(f->fatal.message,
			    "no watch for 300 s: no route");
	assert_true(f->v.now_us >= 299 * US_PER_S &&
		    f->v.now_us <= 303 * US_PER_S);
}

static void test_established(void **state)
{
	struct fixture *f = *state;

	start(f);
	fake_open(&f->fake);
	watch_set_established(f->watch, true);
	for (int i = 0; i < 50; i++) {
		fake_refuse(&f->fake, 404, "");
		run_for(f, 60 * US_PER_S);
		assert_non_null(f->fake.channel);
	}
	fake_refuse(&f->fake, 403, "{\"message\":\"Forbidden.\"}");
	run_for(f, 1000 * US_PER_S);
	assert_null(f->fake.channel);
	assert_int_equal(f->fatals, 0);
	assert_non_null(strstr(f->logged, "HTTP 403: Forbidden; the tunnel "
					  "goes on without it"));
}

static void test_bad_request(void **state)
{
	struct fixture *f = *state;

	f->fake.refuse_with = ERR_NOMEM;
	start(f);
	assert_int_equal(f->fatals, 0);
	f->fake.refuse_with = ERR_DENIED;
	run_for(f, US_PER_S);
	assert_int_equal(f->fatals, 1);
	assert_string_equal(f->fatal.message, "refused here");
}

static void test_caps(void **state)
{
	struct fixture *f = *state;
	char name[1024];
	struct error error;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	f->config.agent_name = name;
	assert_int_equal(watch_new(&f->config, &f->watch, &error),
			 ERR_TOO_LARGE);
	f->config.agent_name = NULL;
	f->config.header_count = WATCH_HEADERS_CAP + 1;
	assert_int_equal(watch_new(&f->config, &f->watch, &error),
			 ERR_TOO_LARGE);
	assert_string_equal(error.message, "33 headers, more than 32");
}

static void test_freed_in_callbacks(void **state)
{
	struct fixture *f = *state;

	f->free_in_callback = true;
	start(f);
	fake_open(&f->fake);
	fake_message(&f->fake,
		     "{\"build_update\":{\"transition\":\"start\","
		     "\"job_status\":\"running\"},\"agent_update\":{"
		     "\"lifecycle\":\"off\",\"id\":\"" ID "\"}}");
	assert_null(f->watch);
	assert_int_equal(f->events, 1);
	f->fake.dials = 0;
	start(f);
	fake_refuse(&f->fake, 400, "");
	assert_null(f->watch);
	assert_int_equal(f->fatals, 1);
	f->fake.dials = 0;
	start(f);	/* and while it dials, by tear_down */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_request),
		TEST(test_events_and_redial),
		TEST(test_strange_values_are_logged),
		TEST(test_refusals),
		TEST(test_error_frames),
		TEST(test_rubbish_is_dialled_again),
		TEST(test_budget),
		TEST(test_established),
		TEST(test_bad_request),
		TEST(test_caps),
		TEST(test_freed_in_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
