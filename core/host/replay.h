/*
 * core/host/replay.h: `tunnelhost replay`, recorded events through the state
 * machine (fsm.md, "tunnelhost replay").
 *
 * JSON Lines in, JSON Lines out, one answer a line. `reset` starts a new
 * machine and is answered with all its fields; an event is answered with
 * {"from","to","actions"} and, where the host would log, "log":
 * [{"level","message"}]. Empty lines are skipped.
 */
#ifndef TUNNELHOST_HOST_REPLAY_H
#define TUNNELHOST_HOST_REPLAY_H

#include <stdio.h>

#define REPLAY_LINE_CAP (1u << 20)
#define REPLAY_EXIT_BAD_INPUT 65

/*
 * Returns the exit status: 0, or REPLAY_EXIT_BAD_INPUT at the first line
 * that is no event, with a message on `err_out` that names line and field.
 * What was answered before stands.
 */
int replay_run(FILE *in, FILE *out, FILE *err_out);

#endif
