#include "core/io/probe.h"

#include <errno.h>
#include <unistd.h>

#include "core/io/resolve.h"

void probe_stop(struct probe *probe)
{
	task_cancel(&probe->task);
	watcher_stop(probe->loop, &probe->watcher);
	if (probe->watcher.fd >= 0)
		close(probe->watcher.fd);
	probe->watcher.fd = -1;
}

static void on_ready(struct watcher *watcher, unsigned events)
{
	struct probe *probe = watcher->user;
	int number = 0;
	socklen_t len = sizeof(number);

	(void)events;
	getsockopt(watcher->fd, SOL_SOCKET, SO_ERROR, &number, &len);
	probe_stop(probe);
	probe->done(probe->user, number);
}

static void on_task(struct task *task)
{
	struct probe *probe = task->user;

	probe_stop(probe);
	probe->done(probe->user, probe->number);
}

void probe_start(struct probe *probe, struct loop *loop,
		 const struct sockaddr *address,
		 void (*done)(void *user, int number), void *user)
{
	*probe = (struct probe){ .loop = loop, .done = done, .user = user };
	probe->task = (struct task){ .run = on_task, .user = probe };
	probe->watcher = (struct watcher){
		.ready = on_ready, .user = probe,
		.fd = socket(address->sa_family,
			     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	};
	if (probe->watcher.fd < 0 ||
	    connect(probe->watcher.fd, address, address_len(address)) < 0)
		probe->number = errno;
	if (probe->number == EINPROGRESS &&
	    watcher_set(loop, &probe->watcher, WATCH_WRITE) == 0)
		return;
	task_post(loop, &probe->task);
}
