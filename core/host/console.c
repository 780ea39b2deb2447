#include "core/host/console.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/io/io.h"

#define LINE_CAP 2048
#define TICK_US (1 * US_PER_S)
#define ERASE_LINE "\r\x1b[K"

static void write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t put = write(fd, text, len);

		if (put <= 0)
			return;
		text += put;
		len -= (size_t)put;
	}
}

static void put(struct console *console, const char *text, size_t len)
{
	if (console->io)
		(void)io_writer_write(io_stderr(console->io), text, len);
	else
		write_all(STDERR_FILENO, text, len);
}

/* A line that wraps could not be erased. */
static int columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
		return size.ws_col;
	return 80;
}

static void draw_progress(struct console *console)
{
	uint64_t seconds = (loop_now_us(console->loop) - console->since_us) /
			   US_PER_S;
	char time[32] = "";
	char line[256];
	int room;
	int len;

	if (seconds > 0)
		snprintf(time, sizeof(time), " (%llu s)",
			 (unsigned long long)seconds);
	room = columns() - 2 - (int)strlen(time);
	len = snprintf(line, sizeof(line), ERASE_LINE "%.*s\u2026%s", room,
		       console->what, time);
	put(console, line, (size_t)len);
	console->shown = true;
}

static void print_progress(struct console *console)
{
	char line[256];
	int len = snprintf(line, sizeof(line), "tunnelhost: %s\n",
			   console->what);

	put(console, line, (size_t)len);
}

static void erase_progress(struct console *console)
{
	if (console->shown)
		put(console, ERASE_LINE, strlen(ERASE_LINE));
	console->shown = false;
}

void console_write(struct console *console, const char *text, size_t len)
{
	bool shown = console->shown;

	erase_progress(console);
	put(console, text, len);
	if (shown)
		draw_progress(console);
}

static void tick(struct timer *timer)
{
	struct console *console = timer->user;

	if (!console->what[0])
		return;
	if (!console->terminal) {
		print_progress(console);
		return;
	}
	draw_progress(console);
	timer_set(console->loop, timer, loop_now_us(console->loop) + TICK_US);
}

static size_t format_json(enum log_level level, const char *room,
			  const char *message, char *line)
{
	struct timespec at;
	json_t *entry;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &at);
	entry = json_pack("{s:f,s:s,s:s,s:s}", "time",
			  (double)at.tv_sec + (double)at.tv_nsec / 1e9,
			  "level", log_level_name(level), "room", room,
			  "message", message);
	if (!entry)
		return 0;
	len = json_dumpb(entry, line, LINE_CAP - 1,
			 JSON_COMPACT | JSON_REAL_PRECISION(16));
	json_decref(entry);
	if (len >= LINE_CAP - 1)
		return 0;
	line[len++] = '\n';
	return len;
}

static size_t format_text(enum log_level level, const char *room,
			  const char *message, char *line)
{
	int len = snprintf(line, LINE_CAP, "tunnelhost: %s: %s: %s\n",
			   log_level_name(level), room, message);

	return len < LINE_CAP ? (size_t)len : LINE_CAP - 1;
}

static void write_log(struct log *log, enum log_level level, const char *room,
		      const char *message)
{
	struct console *console = log->user;
	char line[LINE_CAP];
	size_t len = console->format == CONSOLE_JSON ?
			     format_json(level, room, message, line) :
			     format_text(level, room, message, line);

	if (console->log_fd >= 0)
		write_all(console->log_fd, line, len);
	else
		console_write(console, line, len);
}

void console_init(struct console *console, enum log_level level,
		  enum console_format format, bool quiet)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	*console = (struct console){
		.log = { .level = level, .write = write_log, .user = console },
		.log_fd = -1,
		.format = format,
		.quiet = quiet,
		.terminal = isatty(STDERR_FILENO) && term &&
			    strcmp(term, "dumb") != 0,
		.tick = { .fire = tick, .user = console },
	};
	console->color = console->terminal && !(no_color && *no_color);
}

int console_open_file(struct console *console, const char *path,
		      struct error *error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
			    O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set(error, ERR_DENIED,
				 "%s cannot be opened for writing: %m", path);
	console->log_fd = fd;
	return 0;
}

void console_attach(struct console *console, struct io *io)
{
	if (!io)
		console_progress(console, NULL);
	console->io = io;
	console->loop = io ? io_loop(io) : NULL;
}

void console_clear(struct console *console)
{
	console_progress(console, NULL);
	if (console->log_fd >= 0)
		close(console->log_fd);
	console->log_fd = -1;
}

void console_error(struct console *console, const char *what, const char *why,
		   const char *hint)
{
	const char *red = console->color ? "\x1b[31m" : "";
	const char *plain = console->color ? "\x1b[0m" : "";
	char text[LINE_CAP];
	int len;

	console_progress(console, NULL);
	len = snprintf(text, sizeof(text), "%stunnelhost:%s %s%s%s\n%s%s", red,
		       plain, what, why && *why ? ": " : "", why ? why : "",
		       hint ? hint : "", hint ? "\n" : "");
	if (len >= LINE_CAP)
		len = LINE_CAP - 1;
	put(console, text, (size_t)len);
}

static void end_progress(struct console *console)
{
	erase_progress(console);
	if (console->loop)
		timer_stop(console->loop, &console->tick);
	console->what[0] = '\0';
}

static void begin_progress(struct console *console, const char *format,
			   va_list args, bool now)
{
	if (console->quiet || !console->loop)
		return;
	(void)vsnprintf(console->what, sizeof(console->what), format, args);
	console->since_us = loop_now_us(console->loop);
	timer_set(console->loop, &console->tick, console->since_us + TICK_US);
	if (console->terminal && now)
		draw_progress(console);
	else
		erase_progress(console);
}

void console_progress(struct console *console, const char *format, ...)
{
	va_list args;

	if (!format) {
		end_progress(console);
		return;
	}
	va_start(args, format);
	begin_progress(console, format, args, true);
	va_end(args);
}

void console_progress_later(struct console *console, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	begin_progress(console, format, args, false);
	va_end(args);
}
