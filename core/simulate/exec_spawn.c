#include "core/simulate/exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TTY_NAME_CAP 64
/* PATH, HOME, USER, SHELL, LANG, TERM and the end. */
#define OWN_VARIABLES 7

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "FPE", SIGFPE },
	{ "HUP", SIGHUP },   { "ILL", SIGILL },   { "INT", SIGINT },
	{ "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "QUIT", SIGQUIT },
	{ "SEGV", SIGSEGV }, { "TERM", SIGTERM }, { "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
};

int exec_signal_number(const char *name)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!strcmp(signals[i].name, name))
			return signals[i].number;
	return 0;
}

const char *exec_signal_name(int number)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return NULL;
}

int exec_set_size(int master, int rows, int columns)
{
	struct winsize size = {
		.ws_row = (unsigned short)rows,
		.ws_col = (unsigned short)columns,
	};

	return ioctl(master, TIOCSWINSZ, &size) < 0 ? err_from_errno(errno) : 0;
}

/* --- environment --- */

struct environment {
	char *all[SSHD_ENV_CAP + OWN_VARIABLES];
	char own[OWN_VARIABLES][256];
	size_t len;
};

static void add_own(struct environment *env, const char *name,
		    const char *value)
{
	char *slot = env->own[env->len];

	snprintf(slot, sizeof(env->own[0]), "%s=%s", name, value);
	env->all[env->len++] = slot;
}

static void inherit(struct environment *env, const char *name,
		    const char *otherwise)
{
	const char *value = getenv(name);

	add_own(env, name, value ? value : otherwise);
}

/* The channel's variables come last, and libc's getenv() finds the first:
 * so ours that are also the channel's are left out. */
static bool asked_for(const struct sshd_request *request, const char *own)
{
	size_t len = (size_t)(strchr(own, '=') - own) + 1;

	for (size_t i = 0; i < request->env_count; i++)
		if (!strncmp(request->env[i], own, len))
			return true;
	return false;
}

static void build_environment(struct environment *env,
			      const struct sshd_request *request)
{
	size_t kept = 0;

	*env = (struct environment){ .len = 0 };
	inherit(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	inherit(env, "HOME", "/");
	inherit(env, "LANG", "C.UTF-8");
	add_own(env, "SHELL", "/bin/sh");
	add_own(env, "USER", request->user);
	if (request->pty)
		add_own(env, "TERM", request->term);
	for (size_t i = 0; i < env->len; i++)
		if (!asked_for(request, env->all[i]))
			env->all[kept++] = env->all[i];
	for (size_t i = 0; i < request->env_count; i++)
		env->all[kept++] = (char *)(uintptr_t)request->env[i];
	env->all[kept] = NULL;
	env->len = kept;
}

/* --- descriptors --- */

struct wiring {
	int child[3];	/* become 0, 1, 2; -1: the terminal */
	char tty[TTY_NAME_CAP];
};

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static void close_child(struct exec_child *child)
{
	if (child->out_fd == child->in_fd)
		child->out_fd = -1;
	close_all((int[]){ child->in_fd, child->out_fd, child->err_fd,
			   child->pidfd }, 4);
}

/* A socket for the input, since writing to it cannot raise SIGPIPE. */
static int wire_pipes(struct exec_child *child, struct wiring *wiring)
{
	int in[2], out[2] = { -1, -1 }, err[2] = { -1, -1 };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0)
		return err_from_errno(errno);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
		int number = errno;

		close_all(in, 2);
		close_all(out, 2);
		return err_from_errno(number);
	}
	shutdown(in[0], SHUT_RD);
	child->out_fd = in[0];
	child->in_fd = out[0];
	child->err_fd = err[0];
	wiring->child[0] = in[1];
	wiring->child[1] = out[1];
	wiring->child[2] = err[1];
	return 0;
}

static int wire_terminal(const struct sshd_request *request,
			 struct exec_child *child, struct wiring *wiring)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int number;

	if (master < 0)
		return err_from_errno(errno);
	if (grantpt(master) < 0 || unlockpt(master) < 0 ||
	    ptsname_r(master, wiring->tty, sizeof(wiring->tty)) != 0) {
		number = errno;
		close(master);
		return err_from_errno(number);
	}
	exec_set_size(master, request->rows, request->columns);
	child->in_fd = child->out_fd = master;
	/* Held open till the child has its own, or reading would give EIO. */
	wiring->child[0] = open(wiring->tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return 0;
}

/* --- the child --- */

static int add_descriptors(posix_spawn_file_actions_t *actions,
			   const struct wiring *wiring, bool pty)
{
	int failed = 0;

	/* The leader of a new session gets the first terminal it opens. */
	if (pty) {
		failed = posix_spawn_file_actions_addopen(
			actions, 0, wiring->tty, O_RDWR, 0);
		failed |= posix_spawn_file_actions_adddup2(actions, 0, 1);
		failed |= posix_spawn_file_actions_adddup2(actions, 0, 2);
	}
	for (int i = 0; i < 3 && !pty; i++)
		failed |= posix_spawn_file_actions_adddup2(
			actions, wiring->child[i], i);
	failed |= posix_spawn_file_actions_addclosefrom_np(actions, 3);
	return failed;
}

static void set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all;
	sigset_t none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
						     POSIX_SPAWN_SETSIGDEF |
						     POSIX_SPAWN_SETSIGMASK);
}

/* 0 or an errno. */
static int spawn(pid_t *pid, const struct wiring *wiring, bool pty,
		 char *const argv[], char *const env[])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int failed;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return ENOMEM;
	posix_spawnattr_init(&attributes);
	set_attributes(&attributes);
	failed = add_descriptors(&actions, wiring, pty);
	if (!failed)
		failed = posix_spawn(pid, argv[0], &actions, &attributes,
				     argv, env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return failed;
}

static void fill_arguments(const struct sshd_request *request, char *argv[4])
{
	switch (request->kind) {
	case SSHD_EXEC:
		argv[0] = (char *)(uintptr_t)"/bin/sh";
		argv[1] = (char *)(uintptr_t)"-c";
		argv[2] = (char *)(uintptr_t)request->command;
		break;
	case SSHD_SHELL:
		argv[0] = (char *)(uintptr_t)"/bin/sh";
		argv[1] = request->pty ? (char *)(uintptr_t)"-i" : NULL;
		break;
	case SSHD_SUBSYSTEM:
		argv[0] = (char *)(uintptr_t)EXEC_SFTP_SERVER;
		break;
	}
}

static int open_pidfd(struct exec_child *child)
{
	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd >= 0)
		return 0;
	kill(-child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	return ERR_INTERNAL;
}

int exec_spawn(const struct sshd_request *request, struct exec_child *child)
{
	struct wiring wiring = { .child = { -1, -1, -1 } };
	struct environment env;
	char *argv[4] = { NULL };
	int err;

	*child = (struct exec_child){ -1, -1, -1, -1, -1 };
	err = request->pty ? wire_terminal(request, child, &wiring) :
			     wire_pipes(child, &wiring);
	if (err < 0)
		return err;
	build_environment(&env, request);
	fill_arguments(request, argv);
	err = spawn(&child->pid, &wiring, request->pty, argv, env.all);
	close_all(wiring.child, 3);
	err = err ? err_from_errno(err) : open_pidfd(child);
	if (err < 0)
		close_child(child);
	return err;
}
