/* The header fields of a request, checked and ready to be sent. */
#include <string.h>

#include "core/base/buf.h"
#include "core/io/dial.h"

#define HEADERS_CAP 8192

static bool clean(const char *text)
{
	return strpbrk(text, "\r\n") == NULL;
}

static int add_headers(const struct dial_request *request, struct buf *out)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < request->header_count; i++) {
		const struct http_header *header = &request->headers[i];

		if (!*header->name || !clean(header->name) ||
		    !clean(header->value))
			return ERR_MISUSE;
		err = buf_printf(out, "%s: %s\r\n", header->name,
				 header->value);
	}
	if (err == 0 && request->kind == DIAL_UPGRADE)
		err = buf_printf(out, "Upgrade: %s\r\nConnection: Upgrade\r\n",
				 request->protocol);
	if (err == 0 && request->kind == DIAL_HTTP &&
	    (request->body_len || strcmp(request->method, "GET") != 0))
		err = buf_printf(out, "Content-Length: %zu\r\n", request->body_len);
	return err == 0 ? buf_append(out, "", 1) : err;
}

static bool known_method(const char *method)
{
	static const char *const methods[] = {
		"GET", "POST", "OPTIONS", "HEAD", "PUT", "PATCH", "DELETE",
	};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(method, methods[i]) == 0)
			return true;
	return false;
}

int dial_headers(const struct dial_request *request, char **out,
		 struct error *error)
{
	struct buf headers;
	int err;

	if (!known_method(request->method))
		return error_set(error, ERR_MISUSE, "unknown method %.20s",
				 request->method);
	if (request->protocol && !clean(request->protocol))
		return error_set(error, ERR_MISUSE, "bad protocol");
	buf_init(&headers, HEADERS_CAP);
	err = add_headers(request, &headers);
	if (err < 0) {
		buf_clear(&headers);
		return error_set(error, err == ERR_LIMIT ? ERR_TOO_LARGE : err,
				 "request headers are malformed or exceed "
				 "%d bytes", HEADERS_CAP);
	}
	*out = (char *)headers.storage;	/* nothing was consumed of it */
	return 0;
}
