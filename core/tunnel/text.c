#include "core/tunnel/text.h"

#include <string.h>

#define TOKEN_PARAMETER "resume_token="

void text_clean(const char *text, size_t len, char out[TEXT_CLEAN_CAP])
{
	size_t kept = 0;

	while (kept < len && kept < TEXT_CLEAN_CAP - 1) {
		char c = text[kept];

		out[kept++] = c >= ' ' && c <= '~' ? c : '?';
	}
	out[kept] = '\0';
}

/* In a URL the value ends at '&' or '#', in a sentence at a blank or so. */
void text_redact(char *text)
{
	char *at = text;

	while ((at = strstr(at, TOKEN_PARAMETER)) != NULL) {
		size_t len;

		at += strlen(TOKEN_PARAMETER);
		len = strcspn(at, "&# \"'<>,;)");
		memset(at, '*', len);
		at += len;
	}
}
