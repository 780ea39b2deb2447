#include "fixture.h"

#include <stdio.h>
#include <string.h>

static void write_log(struct log *log, enum log_level level, const char *room,
		      const char *message)
{
	struct fixture *f = log->user;
	size_t used = strlen(f->logged);

	snprintf(f->logged + used, sizeof(f->logged) - used, "%s %s: %s\n",
		 log_level_name(level), room, message);
}

void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	virtual_loop_init(&f->v);
	f->v.wall_us = 1700000000 * (int64_t)1000000;
	rng_seeded(&f->rng, 1);
	f->log = (struct log){ .level = LOG_DEBUG, .write = write_log,
			       .user = f };
	assert_int_equal(pipe_new(&f->v.loop, 1 << 20, f->stdio), 0);
	assert_int_equal(pipe_new(&f->v.loop, 1 << 20, f->diagnostics), 0);
	f->config = (struct script_config){
		.loop = &f->v.loop,
		.rng = &f->rng,
		.log = &f->log,
		.stdio = f->stdio[0],
		.diagnostics = f->diagnostics[0],
		.lua_path = TH_SOURCE_DIR "/lua",
	};
}

void fixture_open(struct fixture *f)
{
	struct error error = { 0 };

	if (script_new(&f->config, &f->script, &error) < 0)
		fail_msg("script_new: %s", error.message);
}

void fixture_clear(struct fixture *f)
{
	if (f->script)
		script_free(f->script);
	for (int i = 0; i < 2; i++) {
		stream_close(f->stdio[i], false);
		stream_close(f->diagnostics[i], false);
	}
	virtual_loop_clear(&f->v);
}

void outcome_set(void *user, const struct script_result *result)
{
	struct outcome *out = user;

	out->done = true;
	out->ok = result->ok;
	out->status = result->status;
	out->error = result->error;
	out->verdict = result->verdict;
	out->delay_us = result->delay_us;
	snprintf(out->traceback, sizeof(out->traceback), "%s",
		 result->traceback ? result->traceback : "");
	snprintf(out->text, sizeof(out->text), "%s",
		 result->text ? result->text : "");
}

void fixture_load(struct fixture *f, const char *source, struct outcome *out)
{
	memset(out, 0, sizeof(*out));
	if (!f->script)
		fixture_open(f);
	assert_int_equal(script_load_app_source(f->script, source,
						strlen(source), "=app",
						outcome_set, out), 0);
	virtual_loop_run(&f->v, FOREVER, &out->done);
	assert_true(out->done);
}

void fixture_start(struct fixture *f, struct script_conn *conn,
		   struct outcome *out)
{
	memset(out, 0, sizeof(*out));
	assert_int_equal(script_call_start(f->script, conn, 1, outcome_set,
					   out), 0);
	virtual_loop_run(&f->v, FOREVER, &out->done);
	assert_true(out->done);
}

void fixture_run(struct fixture *f, const char *source, struct outcome *out)
{
	fixture_load(f, source, out);
	if (!out->ok)
		fail_msg("load: %s\n%s", out->error.message, out->traceback);
	fixture_start(f, NULL, out);
}

const char *fixture_stdout(struct fixture *f)
{
	static char text[65536];
	const uint8_t *data;
	ssize_t got = stream_peek(f->stdio[1], &data);

	if (got <= 0)
		return "";
	if (got >= (ssize_t)sizeof(text))
		got = sizeof(text) - 1;
	memcpy(text, data, (size_t)got);
	text[got] = '\0';
	stream_consume(f->stdio[1], (size_t)got);
	return text;
}
