/*
 * core/simulate/handlers.h: what the REST routes answer, one function each.
 * For routes.c's table alone.
 */
#ifndef TUNNELHOST_SIMULATE_HANDLERS_H
#define TUNNELHOST_SIMULATE_HANDLERS_H

#include "core/simulate/simulate_private.h"

void handle_get_buildinfo(struct route_call *call);
void handle_get_user(struct route_call *call);
void handle_get_workspace_by_name(struct route_call *call);
void handle_get_workspaces(struct route_call *call);
void handle_get_workspace(struct route_call *call);
void handle_get_builds(struct route_call *call);
void handle_post_build(struct route_call *call);
void handle_post_usage(struct route_call *call);
void handle_get_build(struct route_call *call);
void handle_get_build_parameters(struct route_call *call);
void handle_get_rich_parameters(struct route_call *call);
void handle_get_nothing(struct route_call *call);
void handle_get_agent(struct route_call *call);
void handle_get_connection(struct route_call *call);
void handle_get_derp_map(struct route_call *call);
void handle_get_latency_check(struct route_call *call);

#endif
