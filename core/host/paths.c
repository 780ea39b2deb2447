#include "core/host/paths.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const candidates[] = {
	"../share/tunnelhost/lua",
	"../../lua",
};

int paths_find_lua(char out[PATHS_CAP], struct error *error)
{
	char program[PATHS_CAP], probe[PATHS_CAP], found[PATHS_CAP];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	const char *directory;

	if (len < 0)
		return error_set(error, ERR_NOT_FOUND,
				 "/proc/self/exe cannot be read: %m");
	program[len] = '\0';
	directory = dirname(program);
	for (size_t i = 0; i < sizeof(candidates) / sizeof(*candidates); i++) {
		int need = snprintf(probe, sizeof(probe),
				    "%s/%s/starters/api.lua", directory,
				    candidates[i]);

		if (need >= (int)sizeof(probe) || !realpath(probe, found))
			continue;
		strcpy(out, dirname(dirname(found)));
		return 0;
	}
	return error_set(error, ERR_NOT_FOUND,
			 "neither %s nor %s is there beside %s; is the "
			 "installation whole?",
			 candidates[0], candidates[1], directory);
}
