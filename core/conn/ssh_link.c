#include "core/conn/ssh_link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conn/ssh_lane.h"

#define ROUNDS_PER_TURN 32
#define SOCKET_BUFFER (512 * 1024)

static void end_link(struct ssh_link *link)
{
	link->over = true;
	watcher_stop(link->loop, &link->watcher);
	task_cancel(&link->work);
	list_each(at, safe, &link->lanes)
		ssh_lane_fail(container_of(at, struct ssh_lane, entry),
			      link->error.code);
	link->ended(link);
}

/* libssh's sentences may hold the peer's bytes: one printable line only. */
static void copy_printable(char *out, size_t cap, const char *from)
{
	size_t len = 0;

	for (; from && *from && len + 1 < cap; from++)
		out[len++] = *from >= ' ' && *from != 0x7f ? *from : ' ';
	out[len] = '\0';
}

static void describe_end(struct ssh_link *link)
{
	char text[256];
	int failure = fd_pump_failure(link->pump);

	copy_printable(text, sizeof(text), ssh_get_error(link->session));
	if (link->error.code)
		return;
	if (failure < 0)
		error_set(&link->error, failure, "SSH connection lost: %s",
			  err_name(failure));
	else if (strstr(text, "SSH_MSG_DISCONNECT"))
		error_set(&link->error, ERR_CLOSED, "SSH: %s", text);
	else if (strstr(text, "Socket error: disconnected"))
		error_set(&link->error, ERR_CLOSED,
			  "the other side closed the SSH connection");
	else
		error_set(&link->error, ERR_PROTOCOL, "SSH: %s", text);
}

static bool libssh_is_over(const struct ssh_link *link)
{
	int status = ssh_get_status(link->session);

	return !ssh_is_connected(link->session) ||
	       status & (SSH_CLOSED | SSH_CLOSED_ERROR);
}

/*
 * A client's libssh makes its descriptor blocking when it believes that it
 * has connected, right before it sends its banner, and never again.
 */
static void stay_nonblocking(struct ssh_link *link)
{
	int flags;

	if (link->settled)
		return;
	flags = fcntl(link->watcher.fd, F_GETFL);
	if (!(flags & O_NONBLOCK))
		fcntl(link->watcher.fd, F_SETFL, flags | O_NONBLOCK);
	link->settled = ssh_get_clientbanner(link->session) != NULL;
}

/* So that in each round another lane finds the socket empty. */
static void rotate(struct list *lanes)
{
	struct list *first = list_pop(lanes);

	if (first)
		list_add_tail(lanes, first);
}

static bool step_all(struct ssh_link *link)
{
	bool busy = link->step && link->step(link);
	bool overrun = false;

	rotate(&link->lanes);
	list_each(at, safe, &link->lanes) {
		struct ssh_lane *lane = container_of(at, struct ssh_lane,
						     entry);

		busy |= ssh_lane_work(lane);
		overrun |= ssh_lane_overrun(lane);
	}
	fd_pump_pause(link->pump, overrun);
	return busy;
}

static void watch(struct ssh_link *link)
{
	int flags = ssh_get_poll_flags(link->session);
	unsigned events = WATCH_READ |
			  (flags & SSH_WRITE_PENDING ? WATCH_WRITE : 0u);

	if (watcher_set(link->loop, &link->watcher, events) < 0) {
		ssh_link_fail(link, ERR_NOMEM, "out of memory");
		end_link(link);
	}
}

static void turn(struct ssh_link *link)
{
	int round;

	for (round = 0; round < ROUNDS_PER_TURN; round++) {
		int polled = ssh_event_dopoll(link->event, 0);
		bool busy;

		stay_nonblocking(link);
		busy = !libssh_is_over(link) && step_all(link);
		if (link->error.code || libssh_is_over(link)) {
			describe_end(link);
			end_link(link);
			return;
		}
		if (polled != SSH_OK && !busy)
			break;
	}
	if (round == ROUNDS_PER_TURN)
		task_post(link->loop, &link->work);
	watch(link);
}

static void ready(struct watcher *watcher, unsigned events)
{
	(void)events;
	turn(watcher->user);
}

static void run_work(struct task *task)
{
	turn(task->user);
}

int ssh_link_init(struct ssh_link *link, struct loop *loop,
		  struct stream *stream)
{
	int fds[2];
	int err;

	*link = (struct ssh_link){
		.loop = loop,
		.stream = stream,
		.watcher = { .fd = -1, .ready = ready, .user = link },
		.work = { .run = run_work, .user = link },
		.session_fd = -1,
	};
	list_init(&link->lanes);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fds) < 0) {
		err = err_from_errno(errno);
		stream_close(stream, true);
		return err;
	}
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF,
			   &(int){ SOCKET_BUFFER }, sizeof(int));
	link->session_fd = fds[1];
	err = fd_pump_new(loop, stream, fds[0], fds[0], NULL, NULL,
			  &link->pump);
	if (err == 0) {
		link->watcher.fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
		if (link->watcher.fd < 0)
			err = err_from_errno(errno);
	}
	if (err < 0)
		ssh_link_clear(link);
	return err;
}

int ssh_link_start(struct ssh_link *link)
{
	link->event = ssh_event_new();
	if (!link->event ||
	    ssh_event_add_session(link->event, link->session) != SSH_OK)
		return ERR_NOMEM;
	task_post(link->loop, &link->work);
	return 0;
}

static void free_session(struct ssh_link *link)
{
	/* Gives the poll handle back to the session: first. */
	if (link->event)
		ssh_event_free(link->event);
	if (link->session)
		ssh_free(link->session);
	if (link->session_fd >= 0)
		close(link->session_fd);
}

void ssh_link_clear(struct ssh_link *link)
{
	watcher_stop(link->loop, &link->watcher);
	task_cancel(&link->work);
	free_session(link);
	if (link->watcher.fd >= 0)
		close(link->watcher.fd);
	if (link->pump) {
		fd_pump_drain(link->pump);
		fd_pump_free(link->pump);
	}
	stream_close(link->stream, !link->pump);
	*link = (struct ssh_link){ .loop = link->loop, .over = true };
	list_init(&link->lanes);
}

void ssh_link_wake(struct ssh_link *link)
{
	if (!link->over)
		task_post(link->loop, &link->work);
}

bool ssh_link_may_send(const struct ssh_link *link)
{
	return !(ssh_get_poll_flags(link->session) & SSH_WRITE_PENDING);
}

void ssh_link_fail(struct ssh_link *link, int code, const char *message)
{
	if (!link->error.code)
		error_set(&link->error, code, "SSH: %s", message);
}
