/* Fuzzes core/io/head.c: the request head of the port of upgrades. */
#include <assert.h>

#include "core/io/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct request_head head;
	ssize_t n = head_decode(data, len, &head);

	if (n > 0) {
		assert((size_t)n <= len && n <= HEAD_CAP);
		assert(head.method[0] && head.strings.path[0] == '/');
	} else {
		assert(n == ERR_AGAIN || n == ERR_PROTOCOL ||
		       n == ERR_TOO_LARGE);
	}
	return 0;
}
