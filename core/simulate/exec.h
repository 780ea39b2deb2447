/*
 * core/simulate/exec.h: serves SSH requests by child processes.
 *
 * `exec` runs the command with /bin/sh -c, `shell` an interactive /bin/sh,
 * the subsystem `sftp` the sftp-server of OpenSSH where it is installed.
 * With a pty the child leads a session on a new terminal; without one it
 * reads a socket and writes pipes. Each child leads a process group, which
 * is killed when its channel goes. The child is watched by a pidfd: no
 * SIGCHLD, nobody else's children are reaped.
 */
#ifndef TUNNELHOST_SIMULATE_EXEC_H
#define TUNNELHOST_SIMULATE_EXEC_H

#include "core/base/loop.h"
#include "core/simulate/sshd.h"

/*
 * How long after the child's end its output may be kept open by others
 * (`sleep 100 &`) before the channel exits anyway.
 */
#define EXEC_LINGER_MS 2000

/*
 * Fills `handler`, whose state is one a channel. For a script that decides
 * by itself what to serve, its members can be called one by one.
 */
void exec_handler_init(struct sshd_handler *handler, struct loop *loop);

#endif
