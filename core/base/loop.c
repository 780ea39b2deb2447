#include "core/base/loop.h"

#include <assert.h>
#include <stdlib.h>

/* A turn ends after this many rounds, so that I/O gets its share. */
#define ROUNDS_PER_TURN 64

void loop_init(struct loop *loop, const struct loop_ops *ops)
{
	*loop = (struct loop){ .ops = ops };
	list_init(&loop->tasks);
}

void loop_clear(struct loop *loop)
{
	heap_clear(&loop->timers);
	while (list_pop(&loop->tasks))
		;
}

uint64_t loop_now_us(struct loop *loop)
{
	return loop->ops->now_us(loop);
}

int64_t loop_wall_us(struct loop *loop)
{
	return loop->ops->wall_us(loop);
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t deadline_us)
{
	assert(timer->fire);
	/* A lost deadline is a hang: without memory for it nothing works. */
	if (heap_set(&loop->timers, &timer->node, deadline_us) < 0)
		abort();
	if (heap_first(&loop->timers) == &timer->node)
		loop->ops->wake(loop);
}

void timer_stop(struct loop *loop, struct timer *timer)
{
	heap_remove(&loop->timers, &timer->node);
}

void task_post(struct loop *loop, struct task *task)
{
	assert(task->run);
	if (list_linked(&task->link))
		return;
	list_add_tail(&loop->tasks, &task->link);
	loop->ops->wake(loop);
}

void task_cancel(struct task *task)
{
	list_remove(&task->link);
}

int watcher_set(struct loop *loop, struct watcher *watcher, unsigned events)
{
	assert(watcher->ready && events);
	return loop->ops->watch(loop, watcher, events);
}

void watcher_stop(struct loop *loop, struct watcher *watcher)
{
	if (watcher->backend)
		loop->ops->unwatch(loop, watcher);
}

static void fire_due_timers(struct loop *loop, uint64_t now_us)
{
	while (heap_next_deadline(&loop->timers) <= now_us) {
		struct heap_node *node = heap_first(&loop->timers);
		struct timer *timer = container_of(node, struct timer, node);

		heap_remove(&loop->timers, node);
		timer->fire(timer);
	}
}

/* Only those posted before this call, so that a task that posts itself
 * again does not keep the timers waiting. */
static void run_posted_tasks(struct loop *loop)
{
	struct list batch;
	struct list *link;

	if (list_empty(&loop->tasks))
		return;
	batch = loop->tasks;
	batch.next->prev = &batch;
	batch.prev->next = &batch;
	list_init(&loop->tasks);
	while ((link = list_pop(&batch)) != NULL) {
		struct task *task = container_of(link, struct task, link);

		task->run(task);
	}
}

uint64_t loop_run_due(struct loop *loop)
{
	for (int round = 0; round < ROUNDS_PER_TURN; round++) {
		fire_due_timers(loop, loop_now_us(loop));
		if (list_empty(&loop->tasks))
			return heap_next_deadline(&loop->timers);
		run_posted_tasks(loop);
	}
	return list_empty(&loop->tasks) ? heap_next_deadline(&loop->timers) :
					  loop_now_us(loop);
}
