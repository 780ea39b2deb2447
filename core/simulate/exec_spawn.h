/*
 * core/simulate/exec_spawn.h: starts one child process for an SSH request.
 */
#ifndef TUNNELHOST_SIMULATE_EXEC_SPAWN_H
#define TUNNELHOST_SIMULATE_EXEC_SPAWN_H

#include <sys/types.h>

#include "core/simulate/sshd.h"

#define EXEC_SFTP_SERVER "/usr/lib/openssh/sftp-server"

/* -1: none. With a pty in_fd is out_fd, its master, and err_fd none. */
struct exec_child {
	pid_t pid;	/* leads its process group */
	int pidfd;
	int in_fd;	/* the child's output */
	int out_fd;	/* the child's input */
	int err_fd;
};

/* 0 or a negative enum err. The caller owns the descriptors and the child. */
int exec_spawn(const struct sshd_request *request, struct exec_child *child);
int exec_set_size(int master, int rows, int columns);

/* "TERM" ↔ SIGTERM; 0 and NULL for those that RFC 4254 6.10 lacks. */
int exec_signal_number(const char *name);
const char *exec_signal_name(int number);

#endif
