/*
 * core/host/simulate_command.h: `tunnelhost simulate`, the embedded
 * deployment for a person to point any client at. Prints what to export, or
 * one line of JSON, and serves until a signal comes or stdin ends.
 */
#ifndef TUNNELHOST_HOST_SIMULATE_COMMAND_H
#define TUNNELHOST_HOST_SIMULATE_COMMAND_H

#include "core/host/console.h"
#include "core/host/options.h"

int simulate_command(const struct options *options, struct console *console);

#endif
