/* Fuzzes lua/tunnel/options.lua: an application's words, one a line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/pipe.h"
#include "core/base/virtual_loop.h"
#include "core/script/script.h"

#define WORD_CAP 64

static const char app[] =
	"return { options = {"
	" { 'host', required = true, check = function(v)"
	"   if #v > 9 then return nil, 'too long' end return v end },"
	" { 'ports', type = 'integer', min = 1, max = 65535,"
	"   repeatable = true },"
	" { '--times', type = 'integer', default = 3, min = 0 },"
	" { '--every', type = 'number', min = 0 },"
	" { '--kind', choices = { 'a', 'b' } },"
	" { '--loud', type = 'boolean' },"
	" { '--header', repeatable = true },"
	"}, start = function() end }";

struct bench {
	struct virtual_loop v;
	struct rng rng;
	struct log log;
	struct stream *stdio[2];
	struct stream *diagnostics[2];
	struct script *script;
};

struct outcome {
	bool done;
	bool ok;
	int status;
};

static void on_done(void *user, const struct script_result *result)
{
	struct outcome *outcome = user;

	*outcome = (struct outcome){ true, result->ok, result->status };
}

static void run(struct bench *bench, const struct outcome *outcome)
{
	virtual_loop_run(&bench->v, UINT64_MAX, &outcome->done);
	assert(outcome->done);
}

static void write_log(struct log *log, enum log_level level, const char *room,
		      const char *message)
{
	(void)log;
	(void)level;
	(void)room;
	(void)message;
}

/* One for all inputs: what parse() makes must not pile up in it. */
static struct bench *bench_of_all(void)
{
	static struct bench bench;
	struct outcome outcome = { .done = false };
	struct script_config config = {
		.loop = &bench.v.loop, .rng = &bench.rng, .log = &bench.log,
		.lua_path = TH_SOURCE_DIR "/lua",
	};

	if (bench.script)
		return &bench;
	virtual_loop_init(&bench.v);
	rng_seeded(&bench.rng, 1);
	bench.log.write = write_log;
	if (pipe_new(&bench.v.loop, 4096, bench.stdio) < 0 ||
	    pipe_new(&bench.v.loop, 4096, bench.diagnostics) < 0)
		abort();
	config.stdio = bench.stdio[0];
	config.diagnostics = bench.diagnostics[0];
	if (script_new(&config, &bench.script, NULL) < 0 ||
	    script_load_app_source(bench.script, app, strlen(app), "=app",
				   on_done, &outcome) < 0)
		abort();
	run(&bench, &outcome);
	assert(outcome.ok);
	return &bench;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bench *bench = bench_of_all();
	struct outcome outcome = { .done = false };
	char *text = strndup(len ? (const char *)data : "", len);
	char *argv[WORD_CAP];
	char *rest = text;
	int argc = 0;

	if (!text)
		return 0;
	while (rest && *rest && argc < WORD_CAP)
		argv[argc++] = strsep(&rest, "\n");
	if (script_parse_args(bench->script, "app", argc, argv, on_done,
			      &outcome) == 0) {
		run(bench, &outcome);
		assert(outcome.ok || outcome.status == SCRIPT_STATUS_USAGE);
	}
	free(text);
	return 0;
}
