/*
 * core/rest/workspace_ref.h: how a person names a workspace (cli.md).
 */
#ifndef TUNNELHOST_REST_WORKSPACE_REF_H
#define TUNNELHOST_REST_WORKSPACE_REF_H

#include <stdbool.h>

#include "core/base/err.h"
#include "core/base/id.h"

#define REST_NAME_CAP 65	/* with the NUL */

struct rest_workspace_ref {
	bool by_id;
	struct uuid id;			/* when by_id */
	char owner[REST_NAME_CAP];	/* "me" when none was named */
	char name[REST_NAME_CAP];
	char agent[REST_NAME_CAP];	/* "" when none was named */
};

/*
 * `name`, `name.agent`, `owner/name`, `owner/name.agent`, `owner/name--agent`,
 * `owner--name`, `owner--name.agent`, `owner--name--agent`, and `UUID` or
 * `UUID.agent`. 0, or ERR_MISUSE with what is wrong.
 */
int rest_parse_workspace(const char *text, struct rest_workspace_ref *out,
			 struct error *error);

#endif
