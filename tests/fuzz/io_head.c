/*
 * Fuzzes core/io/head.c: the request head of the port of upgrades. No part
 * of a head is a head, and what follows it changes nothing.
 */
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
		assert(head_decode(data, (size_t)n - 1, &head) == ERR_AGAIN);
		assert(head_decode(data, (size_t)n / 2, &head) == ERR_AGAIN);
		assert(head_decode(data, (size_t)n, &head) == n);
	} else {
		assert(n == ERR_AGAIN || n == ERR_PROTOCOL ||
		       n == ERR_TOO_LARGE);
	}
	return 0;
}
