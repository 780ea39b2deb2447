/* Whatever stands in a recording is answered or refused. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/host/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static FILE *sink;
	FILE *in;
	int status;

	if (!sink)
		sink = fopen("/dev/null", "w");
	in = len ? fmemopen((void *)(uintptr_t)data, len, "r") : NULL;
	if (!in || !sink)
		return 0;
	status = replay_run(in, sink, sink);
	if (status != 0 && status != REPLAY_EXIT_BAD_INPUT)
		abort();
	fclose(in);
	return 0;
}
