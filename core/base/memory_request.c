#include "core/base/memory_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/err.h"
#include "core/base/id.h"

enum { METHOD, PATH, QUERY, PROTOCOL, TOKEN };

/* In place; a bad escape stays as it is. */
static void percent_decode(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		if (*at == '%' && at[1] && at[2] &&
		    hex_decode(at + 1, 2, to, 1) == 0)
			at += 2;
		else
			*to = *at;
		to++;
	}
	*to = '\0';
}

static const char *path_of(const char *url)
{
	const char *scheme = strstr(url, "://");

	if (!scheme || (strncmp(url, "http://", 7) != 0 &&
			strncmp(url, "https://", 8) != 0))
		return NULL;
	return scheme + 3 + strcspn(scheme + 3, "/?");
}

static const char *token_of(const struct http_header *headers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, "Coder-Session-Token") == 0)
			return headers[i].value;
	return "";
}

static int copy_strings(struct memory_request *request, const char *method,
			const char *path, const char *protocol,
			const char *token)
{
	size_t path_len = strcspn(path, "?");
	const char *query = path[path_len] ? path + path_len + 1 : "";

	request->strings[METHOD] = strdup(method);
	request->strings[PATH] = path_len ? strndup(path, path_len) :
					    strdup("/");
	request->strings[QUERY] = strdup(query);
	request->strings[PROTOCOL] = strdup(protocol ? protocol : "");
	request->strings[TOKEN] = strdup(token);
	for (int i = 0; i <= TOKEN; i++)
		if (!request->strings[i])
			return ERR_NOMEM;
	percent_decode(request->strings[PATH]);
	return 0;
}

static int copy_body(struct memory_request *request, const void *body,
		     size_t len)
{
	if (len == 0)
		return 0;
	request->body = malloc(len);
	if (!request->body)
		return ERR_NOMEM;
	memcpy(request->body, body, len);
	return 0;
}

int memory_request_init(struct memory_request *request,
			enum exchange_kind kind, const char *method,
			const char *url, const char *protocol,
			const struct http_header *headers, size_t header_count,
			const void *body, size_t body_len)
{
	const char *path = path_of(url);

	*request = (struct memory_request){ .body = NULL };
	if (!path)
		return ERR_MISUSE;
	if (copy_strings(request, method, path, protocol,
			 token_of(headers, header_count)) < 0 ||
	    copy_body(request, body, body_len) < 0) {
		memory_request_clear(request);
		return ERR_NOMEM;
	}
	request->view = (struct server_request){
		.kind = kind,
		.method = request->strings[METHOD],
		.path = request->strings[PATH],
		.query = request->strings[QUERY],
		.protocol = request->strings[PROTOCOL],
		.token = request->strings[TOKEN],
		.body = request->body,
		.body_len = body_len,
	};
	return 0;
}

void memory_request_clear(struct memory_request *request)
{
	for (int i = 0; i <= TOKEN; i++)
		free(request->strings[i]);
	free(request->body);
	*request = (struct memory_request){ .body = NULL };
}

int memory_answer_set(struct memory_answer *answer, int status,
		      const char *content_type, const void *body, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (!copy)
		return ERR_NOMEM;
	if (len)
		memcpy(copy, body, len);
	free(answer->body);
	answer->body = copy;
	answer->body_len = len;
	answer->status = status;
	snprintf(answer->content_type, sizeof(answer->content_type), "%s",
		 content_type ? content_type : "application/json");
	return 0;
}

void memory_answer_clear(struct memory_answer *answer)
{
	free(answer->body);
	*answer = (struct memory_answer){ .status = 0 };
}
