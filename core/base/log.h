/*
 * core/base/log.h: where a room says what happened.
 *
 * A `struct log` is a level and a sink. Rooms log through it and never to a
 * descriptor; the host owns the sink. A NULL log is silent. A function
 * either logs or returns an error, never both.
 */
#ifndef TUNNELHOST_BASE_LOG_H
#define TUNNELHOST_BASE_LOG_H

enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
	LOG_CRITICAL,
	LOG_LEVEL_COUNT,
};

struct log {
	enum log_level level;	/* less than this is dropped */
	/* `room` is a static string; `message` is one line, borrowed. */
	void (*write)(struct log *log, enum log_level level, const char *room,
		      const char *message);
	void *user;
};

const char *log_level_name(enum log_level level);

void log_at(struct log *log, enum log_level level, const char *room,
	    const char *format, ...) __attribute__((format(printf, 4, 5)));

#define log_debug(log, room, ...) log_at(log, LOG_DEBUG, room, __VA_ARGS__)
#define log_info(log, room, ...) log_at(log, LOG_INFO, room, __VA_ARGS__)
#define log_warn(log, room, ...) log_at(log, LOG_WARN, room, __VA_ARGS__)
#define log_error(log, room, ...) log_at(log, LOG_ERROR, room, __VA_ARGS__)
#define log_critical(log, room, ...) \
	log_at(log, LOG_CRITICAL, room, __VA_ARGS__)

#endif
