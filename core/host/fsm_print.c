#include "core/host/fsm_print.h"

#include <stdbool.h>
#include <stddef.h>

#include "core/fsm/fsm.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define FLAG_COMBINATIONS 8

enum known_agent {
	AGENT_NONE,
	AGENT_SAME,
	AGENT_OTHER,
	AGENT_COUNT,
};

static const char *const agent_names[] = { "none", "same", "other" };
static const struct uuid event_agent = { { 1 } };
static const struct uuid other_agent = { { 2 } };

struct variant {
	struct fsm_event event;
	enum known_agent agent;
};

static struct fsm_step try_step(enum fsm_state from,
				const struct variant *variant, unsigned flags)
{
	struct fsm fsm = {
		.state = from,
		.starter = (flags & 4) != 0,
		.has_agent = variant->agent != AGENT_NONE,
		.agent_id = variant->agent == AGENT_OTHER ? other_agent :
							    event_agent,
	};
	struct fsm_config config = { (flags & 1) != 0, (flags & 2) != 0 };
	struct fsm_step step;

	fsm_step(&fsm, &config, &variant->event, &step);
	return step;
}

/* What a person tells apart; the JSON has every value. */
static const struct {
	const char *label;
	struct variant variant;
} shown[] = {
#define BUILD(t, s)                                                         \
	{ { .kind = FSM_BUILD_UPDATE,                                       \
	    .build = { FSM_TRANSITION_##t, FSM_JOB_##s } }, AGENT_SAME }
#define AGENT(l, whose)                                                     \
	{ { .kind = FSM_AGENT_UPDATE,                                       \
	    .agent = { FSM_LIFECYCLE_##l, { { 1 } } } }, whose }
	{ "shutdown_signal", { { .kind = FSM_SHUTDOWN_SIGNAL }, AGENT_SAME } },
	{ "abort", { { .kind = FSM_ABORT }, AGENT_SAME } },
	{ "build starting", BUILD(START, RUNNING) },
	{ "build started", BUILD(START, SUCCEEDED) },
	{ "build stopping", BUILD(STOP, RUNNING) },
	{ "build stopped", BUILD(STOP, SUCCEEDED) },
	{ "build deletes or is unhealthy", BUILD(DELETE, RUNNING) },
	{ "agent ready or start_error", AGENT(READY, AGENT_SAME) },
	{ "agent starting or start_timeout", AGENT(STARTING, AGENT_SAME) },
	{ "another agent", AGENT(CREATED, AGENT_OTHER) },
	{ "starter failed", { { .kind = FSM_STARTER_UPDATE,
				.starter = { true } }, AGENT_SAME } },
	{ "tailnet up", { { .kind = FSM_TAILNET_UPDATE,
			    .tailnet = { true } }, AGENT_SAME } },
	{ "tailnet down", { { .kind = FSM_TAILNET_UPDATE }, AGENT_SAME } },
	{ "app up", { { .kind = FSM_APP_UPDATE, .app = { true } },
		      AGENT_SAME } },
	{ "app down", { { .kind = FSM_APP_UPDATE }, AGENT_SAME } },
};

static bool same_outcome(const struct fsm_step *a, const struct fsm_step *b)
{
	return a->to == b->to && a->action_count == b->action_count &&
	       (!a->action_count || a->actions[0] == b->actions[0]);
}

static bool moves(const struct fsm_step *step)
{
	return step->from != step->to || step->action_count > 0;
}

static void print_edge(FILE *out, const char *label,
		       const struct fsm_step *step, bool depends)
{
	fprintf(out, "\t%s -> %s [label=\"%s%s", fsm_state_name(step->from),
		fsm_state_name(step->to), label, depends ? "*" : "");
	for (size_t i = 0; i < step->action_count; i++)
		fprintf(out, "%s%s", i ? ", " : " / ",
			fsm_action_name(step->actions[i]));
	fprintf(out, "\"];\n");
}

/* Each outcome once, though several combinations of flags lead to it. */
static void print_edges(FILE *out, const char *label, enum fsm_state from,
			const struct variant *variant)
{
	struct fsm_step steps[FLAG_COMBINATIONS];
	bool depends = false;

	for (unsigned flags = 0; flags < FLAG_COMBINATIONS; flags++) {
		steps[flags] = try_step(from, variant, flags);
		depends |= !same_outcome(&steps[flags], &steps[0]);
	}
	for (unsigned flags = 0; flags < FLAG_COMBINATIONS; flags++) {
		unsigned first = 0;

		while (!same_outcome(&steps[first], &steps[flags]))
			first++;
		if (first == flags && moves(&steps[flags]))
			print_edge(out, label, &steps[flags], depends);
	}
}

void fsm_print_dot(FILE *out)
{
	fprintf(out, "digraph tunnel {\n\tnode [shape=box];\n");
	for (int s = 0; s < FSM_STATE_COUNT; s++)
		fprintf(out, "\t%s;\n", fsm_state_name((enum fsm_state)s));
	for (int s = 0; s < FSM_STATE_COUNT; s++)
		for (size_t v = 0; v < LENGTH(shown); v++)
			print_edges(out, shown[v].label, (enum fsm_state)s,
				    &shown[v].variant);
	fprintf(out, "}\n");
}

static const char *boolean(bool value)
{
	return value ? "true" : "false";
}

static void print_event(FILE *out, const struct fsm_event *event)
{
	char id[UUID_TEXT_CAP];

	fprintf(out, "{\"%s\":{", fsm_event_name(event->kind));
	switch (event->kind) {
	case FSM_BUILD_UPDATE:
		fprintf(out, "\"transition\":\"%s\",\"job_status\":\"%s\"",
			fsm_transition_name(event->build.transition),
			fsm_job_status_name(event->build.job_status));
		break;
	case FSM_AGENT_UPDATE:
		uuid_to_text(&event->agent.id, id);
		fprintf(out, "\"lifecycle\":\"%s\",\"id\":\"%s\"",
			fsm_lifecycle_name(event->agent.lifecycle), id);
		break;
	case FSM_STARTER_UPDATE:
		if (event->starter.failed)
			fprintf(out, "\"error\":\"failed\"");
		break;
	case FSM_TAILNET_UPDATE:
		fprintf(out, "\"up\":%s", boolean(event->tailnet.up));
		break;
	case FSM_APP_UPDATE:
		fprintf(out, "\"up\":%s", boolean(event->app.up));
		break;
	case FSM_SHUTDOWN_SIGNAL:
	case FSM_ABORT:
	case FSM_EVENT_COUNT:
		break;
	}
	fprintf(out, "}}");
}

struct table {
	FILE *out;
	bool begun;
};

static void print_row(struct table *table, enum fsm_state from,
		      const struct variant *variant, unsigned flags)
{
	struct fsm_step step = try_step(from, variant, flags);
	FILE *out = table->out;

	fprintf(out, "%s\n{\"from\":\"%s\",\"event\":", table->begun ? "," : "",
		fsm_state_name(from));
	table->begun = true;
	print_event(out, &variant->event);
	fprintf(out,
		",\"no_autostart\":%s,\"no_wait_for_scripts\":%s,"
		"\"starter\":%s,\"agent\":\"%s\",\"to\":\"%s\",\"actions\":[",
		boolean(flags & 1), boolean(flags & 2), boolean(flags & 4),
		agent_names[variant->agent], fsm_state_name(step.to));
	for (size_t i = 0; i < step.action_count; i++)
		fprintf(out, "%s\"%s\"", i ? "," : "",
			fsm_action_name(step.actions[i]));
	fprintf(out, "]}");
}

static void print_rows(struct table *table, const struct variant *variant)
{
	for (int s = 0; s < FSM_STATE_COUNT; s++)
		for (unsigned flags = 0; flags < FLAG_COMBINATIONS; flags++)
			print_row(table, (enum fsm_state)s, variant, flags);
}

static void print_builds(struct table *table)
{
	for (int t = 0; t < FSM_TRANSITION_COUNT; t++)
		for (int s = 0; s < FSM_JOB_COUNT; s++) {
			struct variant variant = {
				.event = { .kind = FSM_BUILD_UPDATE } };

			variant.event.build.transition =
				(enum fsm_transition)t;
			variant.event.build.job_status =
				(enum fsm_job_status)s;
			print_rows(table, &variant);
		}
}

static void print_agents(struct table *table)
{
	for (int l = 0; l < FSM_LIFECYCLE_COUNT; l++)
		for (int a = 0; a < AGENT_COUNT; a++) {
			struct variant variant = {
				.event = { .kind = FSM_AGENT_UPDATE },
				.agent = (enum known_agent)a };

			variant.event.agent.lifecycle = (enum fsm_lifecycle)l;
			variant.event.agent.id = event_agent;
			print_rows(table, &variant);
		}
}

static void print_simple(struct table *table)
{
	struct variant variant = { .event = { .kind = FSM_SHUTDOWN_SIGNAL } };

	print_rows(table, &variant);
	variant.event.kind = FSM_ABORT;
	print_rows(table, &variant);
	for (int flag = 0; flag < 2; flag++) {
		variant.event.kind = FSM_STARTER_UPDATE;
		variant.event.starter.failed = flag;
		print_rows(table, &variant);
		variant.event.kind = FSM_TAILNET_UPDATE;
		variant.event.tailnet.up = flag;
		print_rows(table, &variant);
		variant.event.kind = FSM_APP_UPDATE;
		variant.event.app.up = flag;
		print_rows(table, &variant);
	}
}

void fsm_print_json(FILE *out)
{
	struct table table = { .out = out };

	fprintf(out, "{\"states\":[");
	for (int s = 0; s < FSM_STATE_COUNT; s++)
		fprintf(out, "%s\"%s\"", s ? "," : "",
			fsm_state_name((enum fsm_state)s));
	fprintf(out, "],\"events\":[");
	for (int e = 0; e < FSM_EVENT_COUNT; e++)
		fprintf(out, "%s\"%s\"", e ? "," : "",
			fsm_event_name((enum fsm_event_kind)e));
	fprintf(out, "],\"actions\":[");
	for (int a = FSM_NO_ACTION + 1; a < FSM_ACTION_COUNT; a++)
		fprintf(out, "%s\"%s\"", a > 1 ? "," : "",
			fsm_action_name((enum fsm_action)a));
	fprintf(out, "],\"table\":[");
	print_simple(&table);
	print_builds(&table);
	print_agents(&table);
	fprintf(out, "\n]}\n");
}
