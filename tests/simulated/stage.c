#include "tests/simulated/stage.h"

#include <unistd.h>

static void say(struct stage *stage, const char *text, size_t len)
{
	if (stage->said_len + len >= STAGE_SAID_CAP)
		return;
	memcpy(stage->said + stage->said_len, text, len);
	stage->said_len += len;
	stage->said[stage->said_len] = '\0';
}

static void note_state(struct stage *stage, const char *message)
{
	const char *from = strchr(message, ',');
	const char *arrow = from ? strstr(from, " -> ") : NULL;

	if (!arrow || strncmp(from + 2, arrow + 4, strlen(arrow + 4)) == 0)
		return;
	snprintf(stage->path + strlen(stage->path),
		 sizeof(stage->path) - strlen(stage->path), " %s", arrow + 4);
	if (stage->wanted && strcmp(stage->wanted, arrow + 4) == 0)
		stage->reached = true;
}

static void write_log(struct log *log, enum log_level level, const char *room,
		      const char *message)
{
	struct stage *stage = log->user;
	char line[1024];
	int len = snprintf(line, sizeof(line), "%s %s: %s\n",
			   log_level_name(level), room, message);

	if (getenv("WORLD_LOG"))
		fprintf(stderr, "%10.6f %s",
			(double)stage->world.v.now_us / 1e6, line);
	say(stage, line, len < (int)sizeof(line) ? (size_t)len :
						   sizeof(line) - 1);
	if (strcmp(room, "fsm") == 0 &&
	    strncmp(message, "handled event", 13) == 0)
		note_state(stage, message);
}

/* --- what the scripts write ---------------------------------------- */

static ssize_t output_peek(struct stream *stream, const uint8_t **data)
{
	(void)stream;
	*data = NULL;
	return 0;
}

static void output_consume(struct stream *stream, size_t len)
{
	(void)stream;
	(void)len;
}

static ssize_t output_write(struct stream *stream, const void *data,
			    size_t len)
{
	say(container_of(stream, struct stage, output), data, len);
	return (ssize_t)len;
}

static size_t output_unsent(const struct stream *stream)
{
	(void)stream;
	return 0;
}

static int output_shutdown(struct stream *stream)
{
	(void)stream;
	return 0;
}

static void output_close(struct stream *stream, bool abort)
{
	(void)stream;
	(void)abort;
}

static void output_address(const struct stream *stream, bool peer,
			   char out[STREAM_ADDRESS_CAP])
{
	(void)stream;
	(void)peer;
	snprintf(out, STREAM_ADDRESS_CAP, "stdout");
}

static const struct stream_ops output_ops = {
	.peek = output_peek,
	.consume = output_consume,
	.write = output_write,
	.unsent = output_unsent,
	.shutdown = output_shutdown,
	.close = output_close,
	.address = output_address,
};

/* --- scripts -------------------------------------------------------- */

static void on_loaded(void *user, const struct script_result *result)
{
	struct stage *stage = user;

	if (!result->ok)
		fail_msg("%s", result->error.message);
	stage->loaded = true;
}

static struct script *new_script(struct stage *stage)
{
	const struct script_config config = {
		.loop = &stage->world.v.loop,
		.rng = &stage->world.rng,
		.log = &stage->log,
		.stdio = &stage->output,
		.diagnostics = &stage->output,
		.lua_path = TH_SOURCE_DIR "/lua",
	};
	struct script *script;
	struct error error;

	assert_int_equal(script_new(&config, &script, &error), 0);
	return script;
}

static void load_app(struct stage *stage, const char *source)
{
	static char *const none[] = { NULL };

	stage->app = new_script(stage);
	stage->loaded = false;
	assert_int_equal(script_load_app_source(stage->app, source,
						strlen(source), "=app",
						on_loaded, stage), 0);
	assert_true(world_run(&stage->world, US_PER_S, &stage->loaded));
	stage->loaded = false;
	assert_int_equal(script_parse_args(stage->app, "app", 0, none,
					   on_loaded, stage), 0);
	assert_true(world_run(&stage->world, US_PER_S, &stage->loaded));
}

static void load_starter(struct stage *stage, const char *source)
{
	char path[] = "/tmp/tunnelhost-starter-XXXXXX";
	int fd = source ? mkstemp(path) : -1;

	if (source)
		assert_int_equal(write(fd, source, strlen(source)),
				 strlen(source));
	stage->starter = new_script(stage);
	stage->loaded = false;
	assert_int_equal(script_load_starter(stage->starter, source ? path :
					     TH_SOURCE_DIR
					     "/lua/starters/api.lua",
					     on_loaded, stage), 0);
	assert_true(world_run(&stage->world, US_PER_S, &stage->loaded));
	if (source) {
		close(fd);
		unlink(path);
	}
}

/* --- the tunneler ---------------------------------------------------- */

static void on_found(void *user, const struct error *error,
		     const struct rest_workspace *workspace)
{
	struct stage *stage = user;

	assert_null(error);
	stage->found = *workspace;
	stage->loaded = true;
}

static void find_workspace(struct stage *stage)
{
	struct rest_workspace_ref ref;
	struct rest_call *call;
	struct error error;

	stage->rest = (struct rest){
		.network = stage->world.network,
		.url = WORLD_URL,
		.token = stage->world.token,
	};
	assert_int_equal(rest_parse_workspace("workspace", &ref, &error), 0);
	stage->loaded = false;
	assert_int_equal(rest_get_workspace(&stage->rest, &ref, on_found,
					    stage, &call, &error), 0);
	assert_true(world_run(&stage->world, US_PER_S, &stage->loaded));
}

static void on_progress(void *user, const char *line)
{
	(void)user;
	(void)line;
}

static void on_note(void *user, const char *source, const char *line)
{
	struct stage *stage = user;

	say(stage, source ? "note " : "traceback ", source ? 5 : 10);
	say(stage, line, strlen(line));
	say(stage, "\n", 1);
}

static void on_exit_tunnel(void *user, const struct reason *reason)
{
	struct stage *stage = user;

	stage->exits++;
	stage->exited = true;
	stage->reason = *reason;
	stage->exit_us = stage->world.v.now_us;
}

void stage_init(struct stage *stage, const struct stage_config *config)
{
	const struct world_config world = { .seed = 77,
					    .latency_us = US_PER_MS };

	memset(stage, 0, sizeof(*stage));
	stage->said = calloc(1, STAGE_SAID_CAP);
	stage->log = (struct log){ .level = LOG_DEBUG,
				   .write = write_log,
				   .user = stage };
	stage->output.ops = &output_ops;
	world_init(&stage->world, &world);
	assert_int_equal(simulation_add_workspace(stage->world.sim,
						  &config->workspace,
						  &stage->workspace), 0);
	load_app(stage, config->app);
	load_starter(stage, config->starter);
	find_workspace(stage);
}

void stage_begin(struct stage *stage, const struct stage_config *from)
{
	const struct tunneler_config config = {
		.loop = &stage->world.v.loop,
		.network = stage->world.network,
		.rng = &stage->world.rng,
		.log = &stage->log,
		.rest = &stage->rest,
		.headers = &stage->world.header,
		.header_count = 1,
		.workspace = &stage->found,
		.agent_name = "",
		.fsm = { .no_autostart = from->no_autostart,
			 .no_wait_for_scripts = !from->wait_for_scripts },
		.timeout_us = from->timeout_us ? from->timeout_us :
						 600 * US_PER_S,
		.shutdown_timeout_us = 5 * US_PER_S,
		.app = &stage->tunneled.app,
		.starter = stage->starter,
		.on_progress = on_progress,
		.on_note = on_note,
		.on_exit = on_exit_tunnel,
		.user = stage,
	};
	struct error error;

	app_script_init(&stage->tunneled, stage->app);
	stage->began_us = stage->world.v.now_us;
	assert_int_equal(tunneler_new(&config, &stage->tunneler, &error), 0);
}

void stage_open(struct stage *stage, const struct stage_config *config)
{
	stage_init(stage, config);
	stage_begin(stage, config);
}

enum fsm_state stage_state(const struct stage *stage)
{
	return tunneler_fsm(stage->tunneler)->state;
}

void stage_until(struct stage *stage, enum fsm_state state)
{
	stage->wanted = fsm_state_name(state);
	stage->reached = stage_state(stage) == state;
	if (!stage->reached && !world_run(&stage->world, 700 * US_PER_S,
					  &stage->reached))
		fail_msg("never in %s:%s\n%s", stage->wanted, stage->path,
			 stage->said);
}

void stage_for(struct stage *stage, uint64_t us)
{
	(void)world_run(&stage->world, us, NULL);
}

void stage_end(struct stage *stage, uint64_t within_us)
{
	if (!world_run(&stage->world, within_us, &stage->exited))
		fail_msg("no exit:%s\n%s", stage->path, stage->said);
	stage_for(stage, 10 * US_PER_S);
	assert_int_equal(stage->exits, 1);
	assert_int_equal(stage_state(stage), FSM_EXIT);
}

void stage_clear(struct stage *stage)
{
	tunneler_stop(stage->tunneler);
	script_free(stage->app);
	script_free(stage->starter);
	tunneler_free(stage->tunneler);
	world_clear(&stage->world);
	free(stage->said);
}

unsigned stage_said(const struct stage *stage, const char *text)
{
	unsigned count = 0;

	for (const char *at = stage->said; (at = strstr(at, text)) != NULL;
	     at++)
		count++;
	return count;
}
