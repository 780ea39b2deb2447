/*
 * tests/unit/simulate/ssh_pair.h: an SSH client and a server on one virtual
 * loop, joined by a pipe in memory. Children of the server run in real
 * time, so that the loop is turned again and again and its clock follows
 * the real one.
 */
#ifndef TESTS_SSH_PAIR_H
#define TESTS_SSH_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/pipe.h"
#include "core/base/virtual_loop.h"
#include "core/conn/sshc.h"
#include "core/simulate/exec.h"
#include "core/simulate/sshd.h"

#define PIPE_CAP (256u * 1024)
#define PATIENCE_S 20

struct pair {
	struct virtual_loop v;
	struct sshd_handler handler;
	struct sshd *sshd;
	struct sshc *sshc;
	bool ready;
	int end_count;
	struct error end;
};

/* One command and what came of it. */
struct client {
	struct sshc_channel *channel;
	struct stream *out;
	struct stream *err;
	uint8_t *text;
	size_t text_len;
	char err_text[4096];
	size_t err_len;
	bool keep;		/* store stdout in text */
	bool reading;
	bool out_ended;
	bool err_ended;
	int opened;
	int failed;
	int exited;
	bool over;		/* failed, or exited and all was read */
	int status;
	char signal[32];
	struct error error;
};

static inline double real_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline void spin_for(struct pair *p, const bool *done, double seconds)
{
	double start = real_s();
	uint64_t base = p->v.now_us;

	while (!(done && *done) && real_s() - start < seconds) {
		uint64_t now = (uint64_t)((real_s() - start) * 1e6);

		virtual_loop_run(&p->v, base + now, done);
		if (!(done && *done))
			usleep(200);
	}
}

static inline void spin_until(struct pair *p, const bool *done)
{
	spin_for(p, done, PATIENCE_S);
	assert_true(*done);
}

static inline void pair_on_ready(void *user)
{
	((struct pair *)user)->ready = true;
}

static inline void pair_on_end(void *user, const struct error *error)
{
	struct pair *p = user;

	p->end_count++;
	p->end = *error;
}

static const struct sshc_events pair_events = { pair_on_ready, pair_on_end };

static inline void pair_join(struct pair *p)
{
	struct stream *ends[2];

	p->ready = false;
	p->end_count = 0;
	assert_int_equal(pipe_new(&p->v.loop, PIPE_CAP, ends), 0);
	assert_int_equal(sshd_accept(p->sshd, ends[1]), 0);
	assert_int_equal(sshc_open(&p->v.loop, ends[0], NULL, &pair_events, p,
				   &p->sshc), 0);
}

static inline void pair_open_with(struct pair *p,
				  const struct sshd_handler *handler)
{
	memset(p, 0, sizeof(*p));
	virtual_loop_init(&p->v);
	exec_handler_init(&p->handler, &p->v.loop);
	assert_int_equal(sshd_new(&p->v.loop, NULL,
				  handler ? handler : &p->handler, &p->sshd),
			 0);
	pair_join(p);
}

static inline void pair_open(struct pair *p)
{
	pair_open_with(p, NULL);
}

static inline void pair_close(struct pair *p)
{
	if (p->sshc)
		sshc_close(p->sshc);
	if (p->sshd)
		sshd_free(p->sshd);
	virtual_loop_clear(&p->v);
}

static inline void client_check_over(struct client *c)
{
	c->over = c->failed || (c->exited && c->out_ended && c->err_ended);
}

static inline void client_read_out(struct client *c)
{
	const uint8_t *data;
	ssize_t got;

	while (c->reading && !c->out_ended &&
	       (got = stream_peek(c->out, &data)) != ERR_AGAIN) {
		if (got <= 0) {
			c->out_ended = true;
			break;
		}
		if (c->keep) {
			c->text = realloc(c->text, c->text_len + (size_t)got);
			memcpy(c->text + c->text_len, data, (size_t)got);
		}
		c->text_len += (size_t)got;
		stream_consume(c->out, (size_t)got);
	}
}

static inline void client_read_err(struct client *c)
{
	const uint8_t *data;
	ssize_t got;

	while (!c->err_ended && (got = stream_peek(c->err, &data)) !=
					ERR_AGAIN) {
		size_t room = sizeof(c->err_text) - 1 - c->err_len;
		size_t len = (size_t)got < room ? (size_t)got : room;

		if (got <= 0) {
			c->err_ended = true;
			break;
		}
		memcpy(c->err_text + c->err_len, data, len);
		c->err_len += len;
		stream_consume(c->err, (size_t)got);
	}
}

static inline void client_changed(struct stream *stream, void *user)
{
	struct client *c = user;

	if (stream == c->out)
		client_read_out(c);
	else
		client_read_err(c);
	client_check_over(c);
}

static inline void client_on_open(void *user)
{
	((struct client *)user)->opened++;
}

static inline void client_on_failed(void *user, const struct error *error)
{
	struct client *c = user;

	c->failed++;
	c->error = *error;
	client_check_over(c);
}

static inline void client_on_exit(void *user, int status, const char *signal)
{
	struct client *c = user;

	c->exited++;
	c->status = status;
	strncpy(c->signal, signal, sizeof(c->signal) - 1);
	client_check_over(c);
}

static const struct sshc_channel_events client_events = {
	client_on_open, client_on_failed, client_on_exit
};

static inline void client_request(struct pair *p, struct client *c,
				  const struct sshc_request *request)
{
	memset(c, 0, sizeof(*c));
	c->keep = c->reading = true;
	assert_int_equal(sshc_channel_open(p->sshc, request, &client_events, c,
					   &c->channel), 0);
	c->out = sshc_channel_stream(c->channel);
	c->err = sshc_channel_stderr(c->channel);
	c->out->on_change = c->err->on_change = client_changed;
	c->out->user = c->err->user = c;
}

static inline void client_exec(struct pair *p, struct client *c,
			       const char *command)
{
	client_request(p, c, &(struct sshc_request){ .kind = SSHC_EXEC,
						     .command = command });
}

/* Closes the channel too. */
static inline void client_clear(struct client *c)
{
	if (c->channel)
		sshc_channel_close(c->channel);
	c->channel = NULL;
	free(c->text);
	c->text = NULL;
}

static inline void client_expect(struct client *c, const char *text,
				 int status)
{
	assert_int_equal(c->failed, 0);
	assert_int_equal(c->opened, 1);
	assert_int_equal(c->exited, 1);
	assert_int_equal(c->text_len, strlen(text));
	assert_memory_equal(c->text ? c->text : (uint8_t *)"", text,
			    strlen(text));
	assert_int_equal(c->status, status);
}

#endif
