/* Fuzzes core/io/url.c. What is accepted is fit for a request line. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct io_url url;
	struct error error;

	memcpy(text, data, len);
	text[len] = '\0';
	if (url_parse(text, &url, &error) == 0) {
		assert(url.path[0] == '/' && url.host[0]);
		assert(strpbrk(url.path, " \r\n#") == NULL);
		assert(strpbrk(url.authority, "@/ \r\n") == NULL);
		assert(url.tls || url_is_loopback(&url));
	} else {
		assert(error.message[0]);
	}
	free(text);
	return 0;
}
