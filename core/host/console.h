/*
 * core/host/console.h: what we say to the person, all of it on stderr.
 *
 * Log lines (text or JSON), errors (`tunnelhost: WHAT: WHY`), and progress:
 * on a terminal one line that says which state, why and for how long, else
 * a plain line for what lasts a second. Never blocks: everything goes
 * through io's bounded writer.
 */
#ifndef TUNNELHOST_HOST_CONSOLE_H
#define TUNNELHOST_HOST_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/loop.h"

struct io;

enum console_format {
	CONSOLE_TEXT,
	CONSOLE_JSON,
};

struct console {
	struct log log;
	struct io *io;			/* NULL: straight to stderr */
	int log_fd;			/* --log-file, or -1 */
	enum console_format format;
	bool quiet;			/* no progress */
	bool terminal;
	bool color;
	/* The line of progress. */
	struct loop *loop;
	struct timer tick;
	bool shown;			/* the line is on the screen */
	char what[160];
	uint64_t since_us;
};

void console_init(struct console *console, enum log_level level,
		  enum console_format format, bool quiet);
/* 0, or why the file cannot be written. */
int console_open_file(struct console *console, const char *path,
		      struct error *error);
/* From here on through the loop; NULL: back to plain writes. */
void console_attach(struct console *console, struct io *io);
void console_clear(struct console *console);

/* `tunnelhost: WHAT: WHY` and, when not NULL, a line with a hint. */
void console_error(struct console *console, const char *what, const char *why,
		   const char *hint);
/* The new line of progress; NULL ends it. */
void console_progress(struct console *console, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same for what ends soon as a rule: nothing for a second. */
void console_progress_later(struct console *console, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Raw text to stderr, above the line of progress. */
void console_write(struct console *console, const char *text, size_t len);

#endif
