/*
 * core/host/fsm_print.h: `tunnelhost fsm`, the whole table for a person or a
 * program.
 *
 * Both print what fsm_step() does, not a copy of its tables.
 */
#ifndef TUNNELHOST_HOST_FSM_PRINT_H
#define TUNNELHOST_HOST_FSM_PRINT_H

#include <stdio.h>

/*
 * A Graphviz graph: an edge for each move, labelled `event / actions`; a `*`
 * marks what depends on the configuration or on a running starter.
 */
void fsm_print_dot(FILE *out);

/*
 * {"states","events","actions","table"}; a row of the table for every state,
 * event body and flag: {"from","event","no_autostart","no_wait_for_scripts",
 * "starter","agent","to","actions"}. `agent` is what the machine knows: "none",
 * "same" or "other" than the event's (agent_update only, else "none").
 */
void fsm_print_json(FILE *out);

#endif
