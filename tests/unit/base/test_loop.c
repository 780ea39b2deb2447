#include "tests/unit/base/test.h"

#include <string.h>
#include <unistd.h>
#include <sys/socket.h>

#include "core/base/virtual_loop.h"

struct trace {
	struct virtual_loop *v;
	char text[64];
	struct timer again;
	struct task task;
	int count;
};

static void note(struct trace *trace, char c)
{
	size_t len = strlen(trace->text);

	trace->text[len] = c;
}

static void fire_a(struct timer *timer)
{
	note(timer->user, 'a');
}

static void fire_b(struct timer *timer)
{
	note(timer->user, 'b');
}

static void timers_fire_in_order_and_stop(void **state)
{
	struct virtual_loop v;
	struct trace trace = { .v = &v };
	struct timer a = { .fire = fire_a, .user = &trace };
	struct timer b = { .fire = fire_b, .user = &trace };
	struct timer stopped = { .fire = fire_b, .user = &trace };

	(void)state;
	virtual_loop_init(&v);
	timer_set(&v.loop, &a, 50);
	timer_set(&v.loop, &b, 20);
	timer_set(&v.loop, &stopped, 10);
	timer_stop(&v.loop, &stopped);
	virtual_loop_run(&v, 30, NULL);
	assert_string_equal(trace.text, "b");
	assert_int_equal(v.now_us, 30);
	virtual_loop_run(&v, DEADLINE_NONE, NULL);
	assert_string_equal(trace.text, "ba");
	assert_int_equal(v.now_us, 50);
	assert_false(timer_active(&a));
	virtual_loop_clear(&v);
}

static void run_again(struct task *task)
{
	struct trace *trace = task->user;

	note(trace, 't');
	if (++trace->count < 3)
		task_post(&trace->v->loop, task);
}

static void a_task_may_post_itself_and_timers_get_their_turn(void **state)
{
	struct virtual_loop v;
	struct trace trace = { .v = &v };
	struct timer a = { .fire = fire_a, .user = &trace };

	(void)state;
	virtual_loop_init(&v);
	trace.task = (struct task){ .run = run_again, .user = &trace };
	task_post(&v.loop, &trace.task);
	task_post(&v.loop, &trace.task);
	timer_set(&v.loop, &a, 1);
	virtual_loop_run(&v, DEADLINE_NONE, NULL);
	assert_string_equal(trace.text, "ttta");
	virtual_loop_clear(&v);
}

static void ready(struct watcher *watcher, unsigned events)
{
	struct trace *trace = watcher->user;
	char c;

	if (events & WATCH_READ && read(watcher->fd, &c, 1) == 1)
		note(trace, c);
	if (++trace->count == 2)
		watcher_stop(&trace->v->loop, watcher);
}

static void watchers_are_polled_before_time_moves(void **state)
{
	struct virtual_loop v;
	struct trace trace = { .v = &v };
	struct timer a = { .fire = fire_a, .user = &trace };
	struct watcher watcher = { .ready = ready, .user = &trace };
	int pair[2];

	(void)state;
	virtual_loop_init(&v);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	watcher.fd = pair[0];
	assert_int_equal(write(pair[1], "xyz", 3), 3);
	assert_int_equal(watcher_set(&v.loop, &watcher, WATCH_READ), 0);
	timer_set(&v.loop, &a, 1);
	virtual_loop_run(&v, DEADLINE_NONE, NULL);
	assert_string_equal(trace.text, "xya");
	close(pair[0]);
	close(pair[1]);
	virtual_loop_clear(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_and_stop),
		cmocka_unit_test(
			a_task_may_post_itself_and_timers_get_their_turn),
		cmocka_unit_test(watchers_are_polled_before_time_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
