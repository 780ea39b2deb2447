#include "core/host/replay.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/jread.h"
#include "core/fsm/fsm.h"

/* Longer than any value of an enum; a longer one is no recording of ours. */
#define WORD_CAP 64
#define TEXT_CAP 4096

struct replay {
	struct fsm fsm;
	struct fsm_config config;
	FILE *out;
};

static void note(json_t *log, enum log_level level, const char *message)
{
	json_array_append_new(log, json_pack("{s:s, s:s}", "level",
					     log_level_name(level), "message",
					     message));
}

static void note_unknown(json_t *log, const char *what, const char *word)
{
	char message[WORD_CAP + 64];

	snprintf(message, sizeof(message), "unknown %s: %s", what, word);
	note(log, LOG_WARN, message);
}

static void print_line(struct replay *replay, json_t *answer)
{
	json_dumpf(answer, replay->out, JSON_COMPACT);
	fputc('\n', replay->out);
	fflush(replay->out);	/* whoever feeds a pipe may wait for it */
	json_decref(answer);
}

static json_t *agent_json(const struct fsm *fsm)
{
	char text[UUID_TEXT_CAP];

	if (!fsm->has_agent)
		return json_null();
	uuid_to_text(&fsm->agent_id, text);
	return json_string(text);
}

static void answer_reset(struct replay *replay)
{
	const struct fsm *fsm = &replay->fsm;

	print_line(replay,
		   json_pack("{s:{s:s, s:b, s:o, s:b, s:b}}", "reset",
			     "state", fsm_state_name(fsm->state), "starter",
			     fsm->starter, "agent_id", agent_json(fsm),
			     "no_autostart", replay->config.no_autostart,
			     "no_wait_for_scripts",
			     replay->config.no_wait_for_scripts));
}

/* A mistyped option would replay something else than was meant. */
static void refuse_strange_keys(const struct jplace *body)
{
	static const char *const known[] = { "state", "starter", "agent_id",
					     "no_autostart",
					     "no_wait_for_scripts" };
	const char *key;
	json_t *value;

	if (!body->value)
		return;
	json_object_foreach(body->value, key, value) {
		size_t i = 0;

		while (i < 5 && strcmp(known[i], key) != 0)
			i++;
		if (i == 5)
			jread_refuse(body, NULL, ERR_PROTOCOL,
				     "unknown field");
	}
}

static void reset(struct replay *replay, const struct jplace *body)
{
	struct fsm fsm = { .state = FSM_INIT };
	struct fsm_config config;
	char state[WORD_CAP];

	refuse_strange_keys(body);
	if (jread_text(body, "state", JREAD_OPTIONAL, state, sizeof(state)) &&
	    !fsm_state_from_name(state, &fsm.state))
		jread_refuse(body, "state", ERR_PROTOCOL, "no such state");
	jread_bool(body, "starter", JREAD_OPTIONAL, &fsm.starter);
	fsm.has_agent = jread_uuid(body, "agent_id", JREAD_OPTIONAL,
				   &fsm.agent_id);
	jread_bool(body, "no_autostart", JREAD_OPTIONAL,
		   &config.no_autostart);
	jread_bool(body, "no_wait_for_scripts", JREAD_OPTIONAL,
		   &config.no_wait_for_scripts);
	if (jread_code(body->read))
		return;
	replay->fsm = fsm;
	replay->config = config;
	answer_reset(replay);
}

static void read_build(const struct jplace *body, struct fsm_event *event,
		       json_t *log)
{
	char transition[WORD_CAP];
	char status[WORD_CAP];

	event->build.transition = FSM_TRANSITION_UNKNOWN;
	event->build.job_status = FSM_JOB_UNKNOWN;
	jread_text(body, "transition", JREAD_REQUIRED, transition,
		   sizeof(transition));
	jread_text(body, "job_status", JREAD_REQUIRED, status, sizeof(status));
	if (!fsm_transition_from_name(transition, &event->build.transition))
		note_unknown(log, "transition", transition);
	if (!fsm_job_status_from_name(status, &event->build.job_status))
		note_unknown(log, "job_status", status);
}

static void read_agent(const struct jplace *body, struct fsm_event *event,
		       json_t *log)
{
	char lifecycle[WORD_CAP];

	event->agent.lifecycle = FSM_LIFECYCLE_UNKNOWN;
	jread_text(body, "lifecycle", JREAD_REQUIRED, lifecycle,
		   sizeof(lifecycle));
	jread_uuid(body, "id", JREAD_REQUIRED, &event->agent.id);
	if (!fsm_lifecycle_from_name(lifecycle, &event->agent.lifecycle))
		note_unknown(log, "lifecycle", lifecycle);
}

/* Whether there is one: null and "" are none (fsm.md). */
static bool read_error(const struct jplace *body, json_t *log)
{
	char text[TEXT_CAP];

	jread_text(body, "error", JREAD_OPTIONAL, text, sizeof(text));
	if (!text[0])
		return false;
	note(log, LOG_ERROR, text);
	return true;
}

static void read_event(const struct jplace *body, struct fsm_event *event,
		       json_t *log)
{
	switch (event->kind) {
	case FSM_BUILD_UPDATE:
		read_build(body, event, log);
		break;
	case FSM_AGENT_UPDATE:
		read_agent(body, event, log);
		break;
	case FSM_STARTER_UPDATE:
		event->starter.failed = read_error(body, log);
		break;
	case FSM_TAILNET_UPDATE:
		jread_bool(body, "up", JREAD_REQUIRED, &event->tailnet.up);
		read_error(body, log);
		break;
	case FSM_APP_UPDATE:
		jread_bool(body, "up", JREAD_REQUIRED, &event->app.up);
		read_error(body, log);
		break;
	case FSM_SHUTDOWN_SIGNAL:
	case FSM_ABORT:
	case FSM_EVENT_COUNT:
		break;
	}
}

static void answer_step(struct replay *replay, const struct fsm_step *step,
			json_t *log)
{
	json_t *actions = json_array();
	json_t *answer;

	for (size_t i = 0; i < step->action_count; i++) {
		const char *name = fsm_action_name(step->actions[i]);

		json_array_append_new(actions, json_string(name));
	}
	for (size_t i = 0; i < step->log_count; i++)
		note(log, step->logs[i].level, step->logs[i].message);
	answer = json_pack("{s:s, s:s, s:o}", "from",
			   fsm_state_name(step->from), "to",
			   fsm_state_name(step->to), "actions", actions);
	if (json_array_size(log))
		json_object_set(answer, "log", log);
	print_line(replay, answer);
}

static void feed(struct replay *replay, enum fsm_event_kind kind,
		 const struct jplace *body)
{
	struct fsm_event event = { .kind = kind };
	json_t *log = json_array();
	struct fsm_step step;

	read_event(body, &event, log);
	if (!jread_code(body->read)) {
		fsm_step(&replay->fsm, &replay->config, &event, &step);
		answer_step(replay, &step, log);
	}
	json_decref(log);
}

/* A line is an object with one member: the event's name and its body. */
static void dispatch(struct replay *replay, const struct jplace *line)
{
	enum fsm_event_kind kind;
	struct jplace body;
	const char *name;

	if (!line->value)
		return;
	if (json_object_size(line->value) != 1) {
		jread_refuse(line, NULL, ERR_PROTOCOL,
			     "expected one event, not %zu",
			     json_object_size(line->value));
		return;
	}
	name = json_object_iter_key(json_object_iter(line->value));
	body = jread_object(line, name, JREAD_REQUIRED);
	if (strcmp(name, "reset") == 0)
		reset(replay, &body);
	else if (fsm_event_from_name(name, &kind))
		feed(replay, kind, &body);
	else
		jread_refuse(line, NULL, ERR_PROTOCOL, "no such event");
}

static int replay_line(struct replay *replay, const struct buf *line,
		       struct error *error)
{
	struct jread read = { .error = error };
	struct jplace root;
	json_t *value;
	int code = jread_parse(buf_data(line), line->len, REPLAY_LINE_CAP,
			       &value, error);

	if (code < 0)
		return code;
	root = jread_root(&read, value);
	dispatch(replay, &root);
	json_decref(value);
	return jread_code(&read);
}

static bool blank(const struct buf *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (!memchr(" \t\r", buf_data(line)[i], 3))
			return false;
	return true;
}

/* 1 and a line without its newline; 0 at the end; a negative enum err. */
static int read_line(FILE *in, struct buf *line, struct error *error)
{
	int c;

	buf_consume(line, line->len);
	while ((c = getc_unlocked(in)) != EOF && c != '\n') {
		char byte = (char)c;
		int code = buf_append(line, &byte, 1);

		if (code == ERR_LIMIT)
			return error_set(error, ERR_TOO_LARGE,
					 "longer than %u bytes",
					 REPLAY_LINE_CAP);
		if (code < 0)
			return error_set(error, code, "out of memory");
	}
	if (ferror(in))
		return error_set(error, ERR_INTERNAL, "cannot be read");
	return c != EOF || line->len > 0;
}

int replay_run(FILE *in, FILE *out, FILE *err_out)
{
	struct replay replay = { .out = out };
	struct error error;
	struct buf line;
	size_t number = 0;
	int code;

	buf_init(&line, REPLAY_LINE_CAP);
	do {
		number++;
		code = read_line(in, &line, &error);
		if (code > 0 && !blank(&line)) {
			int bad = replay_line(&replay, &line, &error);

			code = bad < 0 ? bad : code;
		}
	} while (code > 0);
	buf_clear(&line);
	if (code == 0)
		return 0;
	fprintf(err_out, "tunnelhost: replay: line %zu: %s\n", number,
		error.message);
	return REPLAY_EXIT_BAD_INPUT;
}
