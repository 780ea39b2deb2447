/* core/script/pattern.c: a pattern, a NUL, then the subject. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/script/pattern.h"

#define LOOKS 16	/* at the budget, then it is spent */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool overspent(void *user)
{
	return ++*(int *)user > LOOKS;
}

static void check(const struct pattern *m, const char *s, const char *end)
{
	if (end < s || end > m->source_end)
		abort();
	for (int i = 0; i < m->level; i++) {
		const struct pattern_capture *c = &m->captures[i];

		if (c->start < m->source || c->start > m->source_end)
			abort();
		if (c->kind == PATTERN_CAPTURE_CLOSED &&
		    c->len > (size_t)(m->source_end - c->start))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	size_t p_len = nul ? (size_t)(nul - data) : size;
	size_t s_len = nul ? size - p_len - 1 : 0;
	int looks = 0;
	struct pattern m = { .overspent = overspent, .user = &looks };
	/* Lua's strings end with a NUL that is not part of them. */
	char *p = calloc(p_len + 1, 1);
	char *s = calloc(s_len + 1, 1);

	if (p_len)
		memcpy(p, data, p_len);
	if (s_len)
		memcpy(s, nul + 1, s_len);
	m.source = s;
	m.source_end = s + s_len;
	m.end = p + p_len;
	for (const char *at = s; at <= m.source_end; at++) {
		const char *end = pattern_match(&m, at, p);

		if (m.error || m.spent)
			break;
		if (end)
			check(&m, at, end);
	}
	free(p);
	free(s);
	return 0;
}
