#include "core/host/check_agent.h"

#include <stdio.h>
#include <string.h>

int check_agent(const struct rest_workspace *workspace, const char *name,
		struct error *error)
{
	char names[512] = "";

	if (workspace->agent_count == 0 ||
	    strcmp(workspace->latest_build.transition, "start") != 0 ||
	    strcmp(workspace->latest_build.job_status, "succeeded") != 0)
		return 0;
	for (size_t i = 0; i < workspace->agent_count; i++) {
		size_t used = strlen(names);

		if (strcmp(workspace->agents[i].name, name) == 0)
			return 0;
		snprintf(names + used, sizeof(names) - used, "%s%s",
			 i ? ", " : "", workspace->agents[i].name);
	}
	if (*name)
		return error_set(error, ERR_NOT_FOUND,
				 "workspace %s has no agent '%s'; it has %s",
				 workspace->name, name, names);
	if (workspace->agent_count > 1)
		return error_set(error, ERR_NOT_FOUND,
				 "workspace %s has more than one agent: name "
				 "one as %s.AGENT, of %s", workspace->name,
				 workspace->name, names);
	return 0;
}
