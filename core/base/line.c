#include "core/base/line.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "core/base/err.h"

/* Bytes of the character at `at` (RFC 3629), 0 when it is none. */
static size_t character(const uint8_t *at, size_t left)
{
	size_t len = at[0] < 0x80 ? 1 :
		     at[0] >= 0xc2 && at[0] <= 0xdf ? 2 :
		     (at[0] & 0xf0) == 0xe0 ? 3 :
		     at[0] >= 0xf0 && at[0] <= 0xf4 ? 4 : 0;

	if (len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* overlong, surrogates, beyond U+10FFFF */
	if ((at[0] == 0xe0 && at[1] < 0xa0) ||
	    (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) ||
	    (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return len;
}

/* C0, DEL, and C1 (U+0080 to U+009F), which terminals obey, too. */
static int control(const uint8_t *at, size_t len)
{
	return at[0] < 0x20 || at[0] == 0x7f ||
	       (len == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

void line_of(const char *text, size_t len, char *out, size_t cap)
{
	const uint8_t *at = (const uint8_t *)text;
	size_t used = 0;

	while (len > 0) {
		size_t step = character(at, len);
		int shown = step && !control(at, step);

		if (used + (shown ? step : 1) >= cap)
			break;
		if (shown)
			memcpy(out + used, at, step);
		else
			out[used] = ' ';
		used += shown ? step : 1;
		if (used == 1 && out[0] == ' ')
			used = 0;
		at += step ? step : 1;
		len -= step ? step : 1;
	}
	while (used && out[used - 1] == ' ')
		used--;
	out[used] = '\0';
}

int url_encode(const char *text, char *out, size_t cap)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t used = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		int plain = c < 0x80 && (isalnum(c) || strchr("-._~", c));

		if (used + 4 > cap)
			return ERR_TOO_LARGE;
		if (plain) {
			out[used++] = (char)c;
			continue;
		}
		out[used++] = '%';
		out[used++] = digits[c >> 4];
		out[used++] = digits[c & 15];
	}
	if (used >= cap)
		return ERR_TOO_LARGE;
	out[used] = '\0';
	return (int)used;
}
