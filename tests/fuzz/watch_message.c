#include <stdint.h>
#include <stdlib.h>

#include "core/watch/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct watch_message message;
	struct error error = { .code = 0 };
	int code = watch_decode(data, len, &message, &error);

	if (code < 0 && error.code != code)
		abort();
	if (code == 0 && message.has_build &&
	    message.build.kind != FSM_BUILD_UPDATE)
		abort();
	return 0;
}
