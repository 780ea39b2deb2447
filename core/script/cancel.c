#include <stdlib.h>

#include "core/script/app.h"
#include "core/script/handle.h"
#include "core/script/task.h"

/* The end of a tree of tasks: cancelled, waited for, then dropped. */
#define DROP_AFTER_US (SCRIPT_GRACE_US + 500 * US_PER_MS)

struct cancellation {
	struct list link;
	struct script *script;
	enum script_tree tree;
	struct timer timer;
	struct task finish;
	script_done *done;
	void *user;
};

static void free_cancellation(struct cancellation *self)
{
	list_remove(&self->link);
	timer_stop(self->script->config.loop, &self->timer);
	task_cancel(&self->finish);
	free(self);
}

void script_cancellations_clear(struct script *script)
{
	while (!list_empty(&script->cancellations))
		free_cancellation(container_of(script->cancellations.next,
					       struct cancellation, link));
}

static void drop_rest(struct timer *timer)
{
	struct cancellation *self = timer->user;
	struct script *script = self->script;
	struct list *tasks = script_tree_tasks(script, self->tree);

	while (!list_empty(tasks))
		script_task_drop(container_of(tasks->next, struct script_task,
					      link));
	task_post(script->config.loop, &self->finish);
}

static void finish(struct task *task)
{
	struct cancellation *self = task->user;
	const struct script_result result = { .ok = true };
	script_done *done = self->done;
	void *user = self->user;

	script_handles_end(self->script, self->tree);
	free_cancellation(self);
	if (done)
		done(user, &result);
}

void script_tree_changed(struct script *script, enum script_tree tree)
{
	if (!list_empty(script_tree_tasks(script, tree)))
		return;
	list_each(at, next, &script->cancellations) {
		struct cancellation *self =
			container_of(at, struct cancellation, link);

		if (self->tree == tree)
			task_post(script->config.loop, &self->finish);
	}
}

int script_cancel_tasks(struct script *script, enum script_tree tree,
			script_done *done, void *user)
{
	struct cancellation *self = calloc(1, sizeof(*self));
	struct loop *loop = script->config.loop;

	if (!self)
		return ERR_NOMEM;
	self->script = script;
	self->tree = tree;
	self->done = done;
	self->user = user;
	self->timer = (struct timer){ .fire = drop_rest, .user = self };
	self->finish = (struct task){ .run = finish, .user = self };
	list_add_tail(&script->cancellations, &self->link);
	list_each(at, next, script_tree_tasks(script, tree))
		script_task_cancel(container_of(at, struct script_task, link));
	timer_set(loop, &self->timer, loop_now_us(loop) + DROP_AFTER_US);
	script_tree_changed(script, tree);
	return 0;
}
