#include "core/watch/decode.h"

#include <stdio.h>
#include <string.h>

#include "core/base/jread.h"

/* Longer than any value that is known; a longer one is cut, and unknown. */
#define WORD_CAP 48

static void note_strange(struct watch_message *out, const char *what,
			 const char *word)
{
	size_t used = strlen(out->strange);

	snprintf(out->strange + used, sizeof(out->strange) - used, "%s%s %s",
		 used ? ", " : "", what, word);
}

static void read_build(const struct jplace *body, struct watch_message *out)
{
	struct fsm_event *event = &out->build;
	char transition[WORD_CAP];
	char status[WORD_CAP];

	*event = (struct fsm_event){ .kind = FSM_BUILD_UPDATE };
	event->build.transition = FSM_TRANSITION_UNKNOWN;
	event->build.job_status = FSM_JOB_UNKNOWN;
	jread_line(body, "transition", JREAD_REQUIRED, transition,
		   sizeof(transition));
	jread_line(body, "job_status", JREAD_REQUIRED, status, sizeof(status));
	if (!fsm_transition_from_name(transition, &event->build.transition))
		note_strange(out, "transition", transition);
	if (!fsm_job_status_from_name(status, &event->build.job_status))
		note_strange(out, "job_status", status);
	out->has_build = true;
}

static void read_agent(const struct jplace *body, struct watch_message *out)
{
	struct fsm_event *event = &out->agent;
	char lifecycle[WORD_CAP];

	*event = (struct fsm_event){ .kind = FSM_AGENT_UPDATE };
	event->agent.lifecycle = FSM_LIFECYCLE_UNKNOWN;
	jread_line(body, "lifecycle", JREAD_REQUIRED, lifecycle,
		   sizeof(lifecycle));
	jread_uuid(body, "id", JREAD_REQUIRED, &event->agent.id);
	if (!fsm_lifecycle_from_name(lifecycle, &event->agent.lifecycle))
		note_strange(out, "lifecycle", lifecycle);
	out->has_agent = true;
}

static void read_error(const struct jplace *body, struct watch_message *out)
{
	struct watch_error *error = &out->error;
	int64_t code;

	jread_integer(body, "code", JREAD_OPTIONAL, INT32_MIN, INT32_MAX,
		      &code);
	error->code = (int)code;
	if (!jread_bool(body, "retryable", JREAD_OPTIONAL, &error->retryable))
		error->retryable = true;
	jread_line(body, "message", JREAD_OPTIONAL, error->message,
		   sizeof(error->message));
	jread_line(body, "details", JREAD_OPTIONAL, error->details,
		   sizeof(error->details));
	out->has_error = true;
}

static void read_frame(const struct jplace *frame, struct watch_message *out)
{
	struct jplace error = jread_object(frame, "error", JREAD_OPTIONAL);
	struct jplace build = jread_object(frame, "build_update",
					   JREAD_OPTIONAL);
	struct jplace agent = jread_object(frame, "agent_update",
					   JREAD_OPTIONAL);

	if (error.value)
		read_error(&error, out);
	if (build.value)
		read_build(&build, out);
	if (agent.value)
		read_agent(&agent, out);
}

int watch_decode(const void *data, size_t len, struct watch_message *out,
		 struct error *error)
{
	struct jread read = { .error = error };
	struct jplace frame;
	json_t *value;
	int code = jread_parse(data, len, WATCH_MESSAGE_CAP, &value, error);

	*out = (struct watch_message){ .has_build = false };
	if (code < 0)
		return code;
	frame = jread_root(&read, value);
	read_frame(&frame, out);
	json_decref(value);
	return jread_code(&read);
}
