#include "core/script/pattern.h"

#include <ctype.h>
#include <string.h>

#define STEPS_PER_LOOK 4096

static const char *match(struct pattern *m, const char *s, const char *p);

static const char *wrong(struct pattern *m, const char *why)
{
	if (!m->error)
		m->error = why;
	return NULL;
}

/* Counts a step; true when nothing more may be done. */
static bool stop(struct pattern *m)
{
	if (++m->steps % STEPS_PER_LOOK == 0 && m->overspent(m->user))
		m->spent = true;
	return m->spent || m->error;
}

static bool in_class(int c, int class)
{
	bool is;

	switch (tolower(class)) {
	case 'a': is = isalpha(c); break;
	case 'c': is = iscntrl(c); break;
	case 'd': is = isdigit(c); break;
	case 'g': is = isgraph(c); break;
	case 'l': is = islower(c); break;
	case 'p': is = ispunct(c); break;
	case 's': is = isspace(c); break;
	case 'u': is = isupper(c); break;
	case 'w': is = isalnum(c); break;
	case 'x': is = isxdigit(c); break;
	default: return class == c;
	}
	return isupper(class) ? !is : is;
}

/* Behind the single-character item at p; NULL when it is malformed. */
static const char *item_end(struct pattern *m, const char *p)
{
	if (*p == '%')
		return p + 1 < m->end ? p + 2
			: wrong(m, "malformed pattern (ends with '%')");
	if (*p != '[')
		return p + 1;
	p++;
	if (p < m->end && *p == '^')
		p++;
	do {	/* a ']' right at the start stands for itself */
		if (p >= m->end)
			return wrong(m, "malformed pattern (missing ']')");
		p += *p == '%' ? 2 : 1;
	} while (p >= m->end || *p != ']');
	return p + 1;
}

/* `set` is at '[', `last` at its ']'. */
static bool in_set(int c, const char *set, const char *last)
{
	bool found = true;

	set++;
	if (*set == '^') {
		found = false;
		set++;
	}
	for (; set < last; set++) {
		if (*set == '%') {
			set++;
			if (in_class(c, (unsigned char)*set))
				return found;
		} else if (set[1] == '-' && set + 2 < last) {
			if ((unsigned char)set[0] <= c &&
			    c <= (unsigned char)set[2])
				return found;
			set += 2;
		} else if ((unsigned char)*set == c) {
			return found;
		}
	}
	return !found;
}

static bool single(const struct pattern *m, const char *s, const char *p,
		   const char *end)
{
	int c;

	if (s >= m->source_end)
		return false;
	c = (unsigned char)*s;
	switch (*p) {
	case '.':
		return true;
	case '%':
		return in_class(c, (unsigned char)p[1]);
	case '[':
		return in_set(c, p, end - 1);
	default:
		return (unsigned char)*p == c;
	}
}

static const char *greedy(struct pattern *m, const char *s, const char *p,
			  const char *end)
{
	const char *at = s;

	while (single(m, at, p, end)) {
		at++;
		if (stop(m))
			return NULL;
	}
	for (; at >= s; at--) {
		const char *found = match(m, at, end + 1);

		if (found || m->error || m->spent)
			return found;
	}
	return NULL;
}

static const char *lazy(struct pattern *m, const char *s, const char *p,
			const char *end)
{
	for (;;) {
		const char *found = match(m, s, end + 1);

		if (found || m->error || m->spent)
			return found;
		if (!single(m, s, p, end))
			return NULL;
		s++;
	}
}

static const char *open_capture(struct pattern *m, const char *s,
				const char *p, enum pattern_capture_kind kind)
{
	const char *found;

	if (m->level >= PATTERN_CAPTURE_CAP)
		return wrong(m, "too many captures");
	m->captures[m->level++] = (struct pattern_capture){
		.start = s,
		.kind = kind,
	};
	found = match(m, s, p);
	if (!found)
		m->level--;
	return found;
}

static const char *close_capture(struct pattern *m, const char *s,
				 const char *p)
{
	struct pattern_capture *capture = NULL;
	const char *found;

	for (int i = m->level - 1; i >= 0 && !capture; i--)
		if (m->captures[i].kind == PATTERN_CAPTURE_OPEN)
			capture = &m->captures[i];
	if (!capture)
		return wrong(m, "invalid pattern capture");
	capture->kind = PATTERN_CAPTURE_CLOSED;
	capture->len = (size_t)(s - capture->start);
	found = match(m, s, p);
	if (!found)
		capture->kind = PATTERN_CAPTURE_OPEN;
	return found;
}

/* %bxy with p at x. */
static const char *balanced(struct pattern *m, const char *s, const char *p)
{
	int open = 1;

	if (p + 1 >= m->end)
		return wrong(m, "missing arguments to '%b'");
	if (s >= m->source_end || *s != *p)
		return NULL;
	for (s++; s < m->source_end; s++) {
		if (stop(m))
			return NULL;
		if (*s == p[1]) {
			if (--open == 0)
				return s + 1;
		} else if (*s == *p) {
			open++;
		}
	}
	return NULL;
}

/* %f with p behind it; the end of its set when it matches. */
static const char *frontier(struct pattern *m, const char *s, const char *p)
{
	const char *end;
	int before = s == m->source ? 0 : (unsigned char)s[-1];
	int after = s == m->source_end ? 0 : (unsigned char)*s;

	if (p >= m->end || *p != '[')
		return wrong(m, "missing '[' after '%f' in pattern");
	end = item_end(m, p);
	if (!end || in_set(before, p, end - 1) || !in_set(after, p, end - 1))
		return NULL;
	return end;
}

/* %1 … %9: behind a repetition of the capture at s. */
static const char *repeated(struct pattern *m, const char *s, char digit)
{
	int at = digit - '1';
	const struct pattern_capture *capture;

	if (at < 0 || at >= m->level ||
	    m->captures[at].kind == PATTERN_CAPTURE_OPEN)
		return wrong(m, "invalid capture index");
	capture = &m->captures[at];
	if ((size_t)(m->source_end - s) < capture->len ||
	    memcmp(capture->start, s, capture->len) != 0)
		return NULL;
	return s + capture->len;
}

/*
 * %b, %f and %0 … %9: moves *s and *p behind a match; 1 matched, 0 not, -1
 * none of these items.
 */
static int special(struct pattern *m, const char **s, const char **p)
{
	const char *at = *p;

	if (*at != '%' || at + 1 >= m->end)
		return -1;
	if (at[1] == 'b') {
		*s = balanced(m, *s, at + 2);
		*p = at + 4;
		return *s != NULL;
	}
	if (at[1] == 'f') {
		*p = frontier(m, *s, at + 2);
		return *p != NULL;
	}
	if (!isdigit((unsigned char)at[1]))
		return -1;
	*s = repeated(m, *s, at[1]);
	*p = at + 2;
	return *s != NULL;
}

/* An item with its suffix; true when *out is the answer. */
static bool item(struct pattern *m, const char **s, const char **p,
		 const char **out)
{
	const char *end = item_end(m, *p);
	bool here;

	*out = NULL;
	if (!end)
		return true;
	here = single(m, *s, *p, end);
	switch (end < m->end ? *end : '\0') {
	case '?':
		if (here && (*out = match(m, *s + 1, end + 1)))
			return true;
		*p = end + 1;
		return false;
	case '*':
		*out = greedy(m, *s, *p, end);
		return true;
	case '+':
		*out = here ? greedy(m, *s + 1, *p, end) : NULL;
		return true;
	case '-':
		*out = lazy(m, *s, *p, end);
		return true;
	default:
		*s += 1;
		*p = end;
		return !here;
	}
}

static const char *walk(struct pattern *m, const char *s, const char *p)
{
	const char *out;

	while (p < m->end) {
		int matched;

		if (stop(m))
			return NULL;
		if (*p == '(')
			return p + 1 < m->end && p[1] == ')'
				? open_capture(m, s, p + 2,
					       PATTERN_CAPTURE_POSITION)
				: open_capture(m, s, p + 1,
					       PATTERN_CAPTURE_OPEN);
		if (*p == ')')
			return close_capture(m, s, p + 1);
		if (*p == '$' && p + 1 == m->end)
			return s == m->source_end ? s : NULL;
		matched = special(m, &s, &p);
		if (matched == 0)
			return NULL;
		if (matched < 0 && item(m, &s, &p, &out))
			return out;
	}
	return s;
}

static const char *match(struct pattern *m, const char *s, const char *p)
{
	const char *found;

	if (m->depth == PATTERN_DEPTH_CAP)
		return wrong(m, "pattern too complex");
	m->depth++;
	found = walk(m, s, p);
	m->depth--;
	return found;
}

const char *pattern_match(struct pattern *m, const char *s, const char *p)
{
	m->level = 0;
	return match(m, s, p);
}
