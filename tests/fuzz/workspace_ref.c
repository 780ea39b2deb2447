/* Fuzzes core/rest/workspace_ref.c: names are fit for a URL's path. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/rest/workspace_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_name(const char *name, bool may_be_empty)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_";
	size_t len = strlen(name);

	assert(len < REST_NAME_CAP && (may_be_empty || len > 0));
	assert(strspn(name, letters) == len && name[0] != '-');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rest_workspace_ref ref;
	struct error error = { .code = 0 };
	char *text = strndup(len ? (const char *)data : "", len);

	if (!text)
		return 0;
	if (rest_parse_workspace(text, &ref, &error) < 0) {
		assert(error.code == ERR_MISUSE && error.message[0]);
	} else {
		check_name(ref.owner, ref.by_id);
		check_name(ref.name, ref.by_id);
		check_name(ref.agent, true);
	}
	free(text);
	return 0;
}
