/*
 * start_workspace: the starter script, one at a time, and the workspace that
 * it is given (core/script's script_workspace) over core/rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/list.h"
#include "core/host/tunneler_private.h"

#define BUILDS_LIMIT 20
#define ROOM "starter"

struct starter {
	struct script_workspace script;
	struct tunneler *tunneler;
	char id[UUID_TEXT_CAP];
	char template_id[UUID_TEXT_CAP];
	char active_version_id[UUID_TEXT_CAP];
	struct list requests;
};

struct starter_request {
	struct list link;
	struct rest_call *call;
	script_builds *builds;
	script_parameters *parameters;
	void *user;
};

static struct starter *self(struct script_workspace *workspace)
{
	return container_of(workspace, struct starter, script);
}

static void finish(struct starter_request *request)
{
	list_remove(&request->link);
	free(request);
}

static struct starter_request *begin(struct starter *starter, void *user)
{
	struct starter_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->user = user;
	list_add_tail(&starter->requests, &request->link);
	return request;
}

static void to_script_build(const struct rest_build *build,
			    struct script_build *out)
{
	uuid_to_text(&build->id, out->id);
	out->number = build->number;
	snprintf(out->status, sizeof(out->status), "%s", build->job_status);
	snprintf(out->transition, sizeof(out->transition), "%.15s",
		 build->transition);
	if (!uuid_is_nil(&build->template_version_id))
		uuid_to_text(&build->template_version_id,
			     out->template_version_id);
}

static void answer_builds(struct starter_request *request,
			  const struct rest_build *builds, size_t count,
			  const struct error *error)
{
	script_builds *done = request->builds;
	void *user = request->user;
	struct script_build *items;

	finish(request);
	if (error) {
		done(user, NULL, 0, error);
		return;
	}
	items = calloc(count ? count : 1, sizeof(*items));
	for (size_t i = 0; items && i < count; i++)
		to_script_build(&builds[i], &items[i]);
	if (items)
		done(user, items, count, NULL);
	else
		done(user, NULL, 0,
		     &(struct error){ .code = ERR_NOMEM,
				      .message = "no memory" });
	free(items);
}

static void on_build(void *user, const struct error *error,
		     const struct rest_build *build)
{
	answer_builds(user, build, 1, error);
}

static void on_builds(void *user, const struct error *error,
		      const struct rest_build *builds, size_t count)
{
	answer_builds(user, builds, count, error);
}

static void on_parameters(void *user, const struct error *error,
			  const struct rest_parameters *parameters)
{
	struct starter_request *request = user;
	script_parameters *done = request->parameters;
	void *done_user = request->user;

	finish(request);
	if (error)
		done(done_user, NULL, 0, error);
	else
		done(done_user,
		     (const struct script_parameter *)parameters->list,
		     parameters->count, NULL);
}
/* Both are a name and a value. */
_Static_assert(sizeof(struct script_parameter) ==
		       sizeof(struct rest_parameter) &&
		       offsetof(struct script_parameter, value) ==
			       offsetof(struct rest_parameter, value),
	       "the rooms' parameters have one shape");

static int workspace_build(struct script_workspace *workspace,
			   const struct script_build_request *asked,
			   script_builds *done, void *user, void **op)
{
	struct starter *starter = self(workspace);
	struct starter_request *request = begin(starter, user);
	struct uuid version;
	struct rest_build_request build = {
		.transition = asked->transition,
		.parameters = (const struct rest_parameter *)asked->parameters,
		.parameter_count = asked->parameter_count,
	};
	struct error error;
	int err;

	if (!request)
		return ERR_NOMEM;
	if (asked->template_version_id &&
	    uuid_from_text(asked->template_version_id, &version) == 0)
		build.template_version_id = &version;
	request->builds = done;
	err = rest_create_build(starter->tunneler->config.rest,
				&starter->tunneler->workspace.id, &build,
				on_build, request, &request->call, &error);
	if (err < 0)
		finish(request);
	*op = request;
	return err;
}

static int workspace_builds(struct script_workspace *workspace,
			    script_builds *done, void *user, void **op)
{
	struct starter *starter = self(workspace);
	struct starter_request *request = begin(starter, user);
	struct error error;
	int err;

	if (!request)
		return ERR_NOMEM;
	request->builds = done;
	err = rest_get_builds(starter->tunneler->config.rest,
			      &starter->tunneler->workspace.id, BUILDS_LIMIT,
			      on_builds, request, &request->call, &error);
	if (err < 0)
		finish(request);
	*op = request;
	return err;
}

static int workspace_parameters(struct script_workspace *workspace,
				script_parameters *done, void *user, void **op)
{
	struct starter *starter = self(workspace);
	struct starter_request *request = begin(starter, user);
	struct error error;
	int err;

	if (!request)
		return ERR_NOMEM;
	request->parameters = done;
	err = rest_get_build_parameters(
		starter->tunneler->config.rest,
		&starter->tunneler->workspace.latest_build.id, on_parameters,
		request, &request->call, &error);
	if (err < 0)
		finish(request);
	*op = request;
	return err;
}

static void workspace_cancel(struct script_workspace *workspace, void *op)
{
	struct starter_request *request = op;

	(void)workspace;
	rest_cancel(request->call);
	finish(request);
}

static void workspace_log(struct script_workspace *workspace, const char *line)
{
	struct tunneler *tunneler = self(workspace)->tunneler;

	tunneler->config.on_note(tunneler->config.user, "starter", line);
}

static const struct script_workspace_ops ops = {
	.build = workspace_build,
	.builds = workspace_builds,
	.build_parameters = workspace_parameters,
	.cancel = workspace_cancel,
	.log = workspace_log,
};

static struct starter *new_starter(struct tunneler *tunneler)
{
	const struct rest_workspace *workspace = &tunneler->workspace;
	struct starter *starter = calloc(1, sizeof(*starter));

	if (!starter)
		return NULL;
	starter->tunneler = tunneler;
	list_init(&starter->requests);
	uuid_to_text(&workspace->id, starter->id);
	uuid_to_text(&workspace->template_id, starter->template_id);
	uuid_to_text(&workspace->template_active_version_id,
		     starter->active_version_id);
	starter->script = (struct script_workspace){
		.ops = &ops,
		.id = starter->id,
		.name = workspace->name,
		.owner = workspace->owner,
		.template_id = starter->template_id,
		.active_version_id =
			uuid_is_nil(&workspace->template_active_version_id) ?
				NULL : starter->active_version_id,
		.interactive = tunneler->config.interactive,
		.overrides = tunneler->config.overrides,
		.override_count = tunneler->config.override_count,
	};
	to_script_build(&workspace->latest_build,
			&starter->script.latest_build);
	return starter;
}

static void post_starter(struct tunneler *tunneler, bool failed)
{
	const struct fsm_event event = { .kind = FSM_STARTER_UPDATE,
					 .starter = { .failed = failed } };

	tunneler_post(tunneler, &event);
}

static void free_starter(struct tunneler *tunneler)
{
	struct starter *starter = tunneler->starter;
	struct list *link;

	tunneler->starter = NULL;
	if (!starter)
		return;
	while (!list_empty(&starter->requests)) {
		link = starter->requests.next;
		workspace_cancel(&starter->script,
				 container_of(link, struct starter_request,
					      link));
	}
	free(starter);
}

static void run_starter(struct tunneler *tunneler);
static void cannot_begin(struct tunneler *tunneler);

static void starter_failed(struct tunneler *tunneler,
			   const struct script_result *result)
{
	if (result->traceback)
		tunneler->config.on_note(tunneler->config.user, NULL,
					 result->traceback);
	log_at(tunneler->config.log,
	       tunneler->starter_again ? LOG_ERROR : LOG_INFO, ROOM,
	       "failed to start workspace: %s", result->error.message);
	if (!tunneler->starter_again)
		tunneler_blame(tunneler, REASON_BUILD_FAILED,
			       result->status == 1 ? 69 : result->status,
			       "failed to start workspace", &result->error);
}

/*
 * With another start asked for meanwhile, this one's outcome is only logged:
 * the event that it owes comes without an error.
 */
static void on_started(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;
	bool again = tunneler->starter_again;

	free_starter(tunneler);
	if (tunneler->exited) {
		log_info(tunneler->config.log, ROOM, "context expired before "
			 "sending signal after failed workspace start");
		return;
	}
	if (!result->ok)
		starter_failed(tunneler, result);
	tunneler->starter_again = false;
	post_starter(tunneler, !result->ok && !again);
	if (again)
		run_starter(tunneler);
	else if (result->ok)
		tunneler_expect_build(tunneler);
}

static int call_starter(struct tunneler *tunneler)
{
	return script_start_workspace(tunneler->config.starter,
				      &tunneler->starter->script, on_started,
				      tunneler);
}

static void on_loaded(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;

	if (!result->ok || tunneler->exited)
		on_started(tunneler, result);
	else if (call_starter(tunneler) < 0)
		cannot_begin(tunneler);
}

/* Loaded on its first use: most workspaces run already. */
static int load_starter(struct tunneler *tunneler)
{
	return tunneler->config.load_starter(tunneler->config.user, on_loaded,
					     tunneler,
					     &tunneler->config.starter);
}

static void cannot_begin(struct tunneler *tunneler)
{
	free_starter(tunneler);
	post_starter(tunneler, true);
}

static void run_starter(struct tunneler *tunneler)
{
	int err = ERR_NOMEM;

	log_info(tunneler->config.log, ROOM, "starting workspace");
	tunneler->starter = new_starter(tunneler);
	if (tunneler->starter)
		err = tunneler->config.starter ? call_starter(tunneler) :
						 load_starter(tunneler);
	if (err < 0)
		cannot_begin(tunneler);
}

void tunneler_start_workspace(struct tunneler *tunneler)
{
	if (tunneler->starter)
		tunneler->starter_again = true;
	else
		run_starter(tunneler);
}

static void on_cancelled(void *user, const struct script_result *result)
{
	(void)user;
	(void)result;
}

/* The script may look at its workspace until it has ended. */
void tunneler_cancel_starter(struct tunneler *tunneler)
{
	if (tunneler->starter && tunneler->config.starter)
		(void)script_cancel_tasks(tunneler->config.starter,
					  SCRIPT_TREE_LOAD, on_cancelled,
					  tunneler);
}

void tunneler_free_starter(struct tunneler *tunneler)
{
	free_starter(tunneler);
}
