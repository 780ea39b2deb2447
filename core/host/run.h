/*
 * core/host/run.h: one script, with a tunnel or without (`tunnelhost run`,
 * and every command that is an application).
 *
 * Loads the script and checks its arguments before anything connects, signs
 * in, finds the workspace, runs the tunneler, turns signals into its graceful
 * end, and gives the exit status of docs/cli.md.
 */
#ifndef TUNNELHOST_HOST_RUN_H
#define TUNNELHOST_HOST_RUN_H

#include "core/host/console.h"
#include "core/host/options.h"

/* Returns the exit status; what there was to say has been said. */
int run_command(const struct options *options, struct console *console);

#endif
