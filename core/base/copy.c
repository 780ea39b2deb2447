#include "core/base/copy.h"

#include <stdlib.h>

struct direction {
	struct stream *from;
	struct stream *to;
	bool ended;
};

struct copy {
	struct loop *loop;
	struct direction ways[2];
	struct copy_result result;
	struct task work;
	copy_done *done;
	void *user;
};

/* Moves what can be moved now; 0 or the failure. */
static int pump(struct direction *way, uint64_t *count)
{
	while (!way->ended) {
		const uint8_t *data;
		ssize_t got = stream_peek(way->from, &data);
		ssize_t put;

		if (got == ERR_AGAIN)
			return 0;
		if (got < 0)
			return (int)got;
		if (got == 0) {
			way->ended = true;
			return stream_shutdown(way->to);
		}
		put = stream_write(way->to, data, (size_t)got);
		if (put == ERR_AGAIN)
			return 0;
		if (put < 0)
			return (int)put;
		stream_consume(way->from, (size_t)put);
		*count += (uint64_t)put;
	}
	return 0;
}

static void release(struct copy *copy)
{
	task_cancel(&copy->work);
	for (int i = 0; i < 2; i++) {
		copy->ways[i].from->on_change = NULL;
		copy->ways[i].from->user = NULL;
	}
	free(copy);
}

static void run(struct task *task)
{
	struct copy *copy = task->user;
	struct copy_result result;
	copy_done *done = copy->done;
	void *user = copy->user;

	for (int i = 0; i < 2 && copy->result.err == 0; i++)
		copy->result.err = pump(&copy->ways[i],
					&copy->result.bytes[i]);
	if (copy->result.err == 0 &&
	    !(copy->ways[0].ended && copy->ways[1].ended))
		return;
	result = copy->result;
	release(copy);
	done(user, &result);
}

static void changed(struct stream *stream, void *user)
{
	struct copy *copy = user;

	(void)stream;
	task_post(copy->loop, &copy->work);
}

int copy_start(struct loop *loop, struct stream *a, struct stream *b,
	       copy_done *done, void *user, struct copy **out)
{
	struct copy *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return ERR_NOMEM;
	*copy = (struct copy){
		.loop = loop,
		.ways = { { .from = a, .to = b }, { .from = b, .to = a } },
		.work = { .run = run, .user = copy },
		.done = done,
		.user = user,
	};
	a->on_change = b->on_change = changed;
	a->user = b->user = copy;
	task_post(loop, &copy->work);
	*out = copy;
	return 0;
}

void copy_cancel(struct copy *copy)
{
	release(copy);
}
