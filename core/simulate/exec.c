#include "core/simulate/exec.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/conn/fd_pump.h"
#include "core/simulate/exec_spawn.h"

struct exec_run {
	struct loop *loop;
	struct sshd_channel *channel;
	struct exec_child child;	/* descriptors: the pumps' */
	struct fd_pump *pumps[2];	/* NULL: none */
	int unfinished;			/* pumps that still have output */
	struct watcher death;
	struct timer linger;
	bool dead;
	siginfo_t end;
};

static void report(struct exec_run *run)
{
	const char *name = exec_signal_name(run->end.si_status);

	timer_stop(run->loop, &run->linger);
	if (run->end.si_code == CLD_EXITED)
		sshd_channel_exit(run->channel, run->end.si_status);
	else if (name)
		sshd_channel_exit_signal(run->channel, name);
	else
		sshd_channel_exit(run->channel, 128 + run->end.si_status);
}

static void output_ended(void *user)
{
	struct exec_run *run = user;

	run->unfinished--;
	if (run->dead && run->unfinished == 0)
		report(run);
}

static void linger_over(struct timer *timer)
{
	report(timer->user);
}

static void died(struct watcher *watcher, unsigned events)
{
	struct exec_run *run = watcher->user;

	(void)events;
	if (waitid(P_PIDFD, (id_t)watcher->fd, &run->end,
		   WEXITED | WNOHANG | WNOWAIT) < 0 || run->end.si_pid == 0)
		return;
	run->dead = true;
	watcher_stop(run->loop, watcher);
	if (run->unfinished == 0)
		report(run);
	else
		timer_set(run->loop, &run->linger,
			  loop_now_us(run->loop) + EXEC_LINGER_MS * US_PER_MS);
}

/*
 * Only here is a dead child reaped: till then nobody else can get its
 * number, nor that of its group. SIGKILL cannot be refused: the wait is short.
 */
static void kill_and_reap(struct exec_run *run)
{
	siginfo_t end;

	kill(-run->child.pid, SIGKILL);
	waitid(P_PIDFD, (id_t)run->child.pidfd, &end, WEXITED);
}

static void on_close(void *user)
{
	struct exec_run *run = user;

	watcher_stop(run->loop, &run->death);
	timer_stop(run->loop, &run->linger);
	for (int i = 0; i < 2; i++)
		fd_pump_free(run->pumps[i]);
	kill_and_reap(run);
	close(run->child.pidfd);
	free(run);
}

static int start_pumps(struct exec_run *run)
{
	struct exec_child *child = &run->child;
	int err_fd = child->err_fd;
	int err = fd_pump_new(run->loop, sshd_channel_stream(run->channel),
			      child->in_fd, child->out_fd, output_ended, run,
			      &run->pumps[0]);

	if (err_fd < 0)
		return err;
	if (err < 0) {
		close(err_fd);
		return err;
	}
	return fd_pump_new(run->loop, sshd_channel_stderr(run->channel),
			   err_fd, -1, output_ended, run, &run->pumps[1]);
}

static int start(void *context, struct sshd_channel *channel,
		 const struct sshd_request *request, void **out)
{
	struct exec_run *run = calloc(1, sizeof(*run));
	int err = run ? exec_spawn(request, &run->child) : ERR_NOMEM;

	if (err < 0) {
		free(run);
		return err;
	}
	run->loop = context;
	run->channel = channel;
	run->unfinished = run->child.err_fd < 0 ? 1 : 2;
	run->linger = (struct timer){ .fire = linger_over, .user = run };
	run->death = (struct watcher){ .fd = run->child.pidfd, .ready = died,
				       .user = run };
	err = start_pumps(run);
	if (err == 0)
		err = watcher_set(run->loop, &run->death, WATCH_READ);
	if (err < 0)
		on_close(run);
	else
		*out = run;
	return err;
}

static void on_signal(void *user, const char *name)
{
	struct exec_run *run = user;
	int number = exec_signal_number(name);

	if (number && !run->dead)
		kill(-run->child.pid, number);
}

static void on_resize(void *user, int rows, int columns)
{
	struct exec_run *run = user;

	if (run->child.err_fd < 0)
		exec_set_size(run->child.in_fd, rows, columns);
}

static bool accepts(void *context, enum sshd_kind kind, const char *name)
{
	(void)context;
	if (kind != SSHD_SUBSYSTEM)
		return true;
	return !strcmp(name, "sftp") && access(EXEC_SFTP_SERVER, X_OK) == 0;
}

void exec_handler_init(struct sshd_handler *handler, struct loop *loop)
{
	*handler = (struct sshd_handler){
		.accepts = accepts,
		.start = start,
		.on_signal = on_signal,
		.on_resize = on_resize,
		.on_close = on_close,
		.context = loop,
	};
}
