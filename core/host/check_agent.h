/* core/host/check_agent.h: whether it is clear which agent is meant. */
#ifndef TUNNELHOST_HOST_CHECK_AGENT_H
#define TUNNELHOST_HOST_CHECK_AGENT_H

#include "core/rest/rest.h"

/*
 * 0, also while the workspace has no agents yet; or ERR_NOT_FOUND with the
 * names to choose from. The watch would say so too, but without the names.
 */
int check_agent(const struct rest_workspace *workspace, const char *name,
		struct error *error);

#endif
