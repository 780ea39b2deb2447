/*
 * Every allocation of a tunnel's life fails once, alone, and then with all
 * that follow it: the tunnel comes up or says why not, and nothing is leaked
 * or touched after it was freed. What stands for the network and the
 * deployment has memory.
 */
#include "core/tunnel/tunnel.h"

#include "tests/unit/tunnel/world.h"

#define MOST_ALLOCATIONS 20000

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *old, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *old, size_t len);

static unsigned counter, fail_at;	/* fail_at 0: none */
static bool fail_on, armed;
static unsigned failed;

static bool fails(void)
{
	if (!armed || world_has_memory)
		return false;
	counter++;
	if (!fail_at || (fail_on ? counter < fail_at : counter != fail_at))
		return false;
	failed++;
	return true;
}

void *__wrap_malloc(size_t len)
{
	return fails() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t count, size_t len)
{
	return fails() ? NULL : __real_calloc(count, len);
}

void *__wrap_realloc(void *old, size_t len)
{
	return fails() ? NULL : __real_realloc(old, len);
}

struct life {
	struct world world;
	struct test_agent agent;
	struct echo *echo;
	struct tunnel *tunnel;
	struct tunnel_dial *dial;
	struct pump pump;
	bool made, up, ended, dialed, pinged;
};

static void on_up(void *user)
{
	((struct life *)user)->up = true;
}

static void on_end(void *user, const struct error *error)
{
	(void)error;
	((struct life *)user)->ended = true;
}

static const struct tunnel_events events = {
	.on_up = on_up,
	.on_end = on_end,
};

static void on_dialed(void *user, struct stream *stream,
		      const struct error *error)
{
	struct life *life = user;

	(void)error;
	life->dialed = true;
	if (stream)
		pump_start(&life->pump, stream, 50000, 3);
}

static void on_pinged(void *user, const struct tunnel_ping *ping,
		      const struct error *error)
{
	(void)ping;
	(void)error;
	((struct life *)user)->pinged = true;
}

/* The loop's heap shall not be what fails: it may abort(). */
static void grow_heap(struct world *world)
{
	static struct timer timers[256];

	for (size_t i = 0; i < 256; i++) {
		timers[i].fire = (void (*)(struct timer *))abort;
		timer_set(world->loop, &timers[i], DEADLINE_NONE - 2);
	}
	for (size_t i = 0; i < 256; i++)
		timer_stop(world->loop, &timers[i]);
}

static void begin(struct life *life)
{
	memset(life, 0, sizeof(*life));
	world_init(&life->world, 23);
	grow_heap(&life->world);
	agent_init(&life->agent, &life->world, 1);
	world_run(&life->world, US_PER_S);
	agent_announce(&life->agent);
	life->echo = echo_new(&life->agent.member, 80);
}

static void use(struct life *life)
{
	virtual_loop_run(&life->world.v, life->world.v.now_us + 25 * US_PER_S,
			 &life->up);
	if (!life->up || life->ended)
		return;
	if (tunnel_ping(life->tunnel, US_PER_S, on_pinged, life) < 0)
		life->pinged = true;
	if (tunnel_dial(life->tunnel, 80, 5 * US_PER_S, on_dialed, life,
			&life->dial) < 0)
		life->dialed = true;
	world_run(&life->world, 2 * US_PER_S);
	world_cut_coordinate(&life->world);
	site_cut(&life->world.sites[1]);
	world_run(&life->world, 10 * US_PER_S);
	assert_true(life->dialed && life->pinged);
	if (life->pump.stream) {
		assert_false(life->pump.wrong);
		stream_close(life->pump.stream, !life->pump.done);
	}
}

static void live(struct life *life)
{
	struct tunnel_config config = {
		.loop = life->world.loop,
		.network = life->world.network,
		.rng = &life->world.rng,
		.log = &life->world.log,
		.url = "https://coder.test",
		.agent_id = life->world.agent_id,
		.derp_map = &life->world.map,
		.timeout_us = 20 * US_PER_S,
		.events = &events,
		.user = life,
	};
	struct error error;

	if (tunnel_new(&config, &life->tunnel, &error) < 0)
		return;
	life->made = true;
	use(life);
	tunnel_close(life->tunnel);
	world_run(&life->world, 4 * US_PER_S);
	assert_true(life->ended);
	tunnel_free(life->tunnel);
}

static void finish(struct life *life)
{
	world_run(&life->world, 5 * US_PER_S);
	echo_free(life->echo);
	agent_clear(&life->agent);
	world_clear(&life->world);
}

/* How many allocations there were. */
static unsigned run(unsigned at, bool on)
{
	static struct life life;

	begin(&life);
	counter = failed = 0;
	fail_at = at;
	fail_on = on;
	armed = true;
	live(&life);
	armed = false;
	if (getenv("SHOW"))
		fprintf(stderr, "%u: up %d pump %zu failure %d\n", at, life.up,
			life.pump.read, life.pump.failure);
	finish(&life);
	/* One miss costs time, not the tunnel. */
	if (!on && life.made)
		assert_true(life.up);
	if (!at)
		assert_true(life.up && life.pump.done && !life.pump.failure);
	return counter;
}

static void each_alone(void **state)
{
	unsigned count = run(0, false);

	(void)state;
	assert_in_range(count, 50, MOST_ALLOCATIONS);
	for (unsigned at = 1; at <= count; at++) {
		run(at, false);
		if (failed != 1)
			fail_msg("allocation %u did not fail", at);
	}
}

static void all_from_each(void **state)
{
	unsigned count = run(0, false);

	(void)state;
	for (unsigned at = 1; at <= count; at++)
		run(at, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_alone),
		cmocka_unit_test(all_from_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
