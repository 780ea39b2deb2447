#include <stdlib.h>
#include <string.h>

#include "core/base/jread.h"
#include "core/rest/answers.h"

static void read_build(const struct jplace *at, struct rest_build *out)
{
	struct jplace job = jread_object(at, "job", JREAD_REQUIRED);

	jread_uuid(at, "id", JREAD_REQUIRED, &out->id);
	jread_integer(at, "build_number", JREAD_OPTIONAL, 0, INT64_MAX,
		      &out->number);
	jread_line(at, "transition", JREAD_REQUIRED, out->transition,
		   sizeof(out->transition));
	jread_line(at, "status", JREAD_OPTIONAL, out->status,
		   sizeof(out->status));
	jread_uuid(at, "template_version_id", JREAD_OPTIONAL,
		   &out->template_version_id);
	jread_line(&job, "status", JREAD_REQUIRED, out->job_status,
		   sizeof(out->job_status));
	jread_line(&job, "error", JREAD_OPTIONAL, out->job_error,
		   sizeof(out->job_error));
}

static void read_agent(const struct jplace *at, struct rest_agent *out)
{
	char behavior[REST_WORD_CAP];

	*out = (struct rest_agent){ .blocking_scripts = false };
	jread_uuid(at, "id", JREAD_REQUIRED, &out->id);
	jread_text(at, "name", JREAD_REQUIRED, out->name, sizeof(out->name));
	jread_line(at, "lifecycle_state", JREAD_OPTIONAL,
		   out->lifecycle_state, sizeof(out->lifecycle_state));
	jread_line(at, "status", JREAD_OPTIONAL, out->status,
		   sizeof(out->status));
	jread_line(at, "startup_script_behavior", JREAD_OPTIONAL, behavior,
		   sizeof(behavior));
	out->blocking_scripts = strcmp(behavior, "blocking") == 0;
}

static void read_resource(const struct jplace *at, struct rest_workspace *out)
{
	struct jplace agents = jread_list(at, "agents", JREAD_OPTIONAL,
					  REST_AGENTS_CAP);

	for (size_t i = 0; i < jread_count(&agents); i++) {
		struct jplace agent = jread_item(&agents, i);

		if (out->agent_count == REST_AGENTS_CAP) {
			jread_refuse(at, "agents", ERR_TOO_LARGE,
				     "more than %d agents in all",
				     REST_AGENTS_CAP);
			return;
		}
		read_agent(&agent, &out->agents[out->agent_count++]);
	}
}

static void read_workspace(const struct jplace *at,
			   struct rest_workspace *out)
{
	struct jplace build = jread_object(at, "latest_build",
					   JREAD_REQUIRED);
	struct jplace resources;

	jread_uuid(at, "id", JREAD_REQUIRED, &out->id);
	jread_text(at, "name", JREAD_REQUIRED, out->name, sizeof(out->name));
	jread_text(at, "owner_name", JREAD_REQUIRED, out->owner,
		   sizeof(out->owner));
	jread_uuid(at, "template_id", JREAD_OPTIONAL, &out->template_id);
	jread_uuid(at, "template_active_version_id", JREAD_OPTIONAL,
		   &out->template_active_version_id);
	jread_bool(at, "outdated", JREAD_OPTIONAL, &out->outdated);
	read_build(&build, &out->latest_build);
	resources = jread_list(&build, "resources", JREAD_OPTIONAL,
			       REST_RESOURCES_CAP);
	for (size_t i = 0; i < jread_count(&resources); i++) {
		struct jplace resource = jread_item(&resources, i);

		read_resource(&resource, out);
	}
}

int rest_decode_workspace(const void *data, size_t len,
			  struct rest_workspace *out, struct error *error)
{
	struct jread read = { .error = error };
	struct jplace root;
	json_t *value;
	int code = jread_parse(data, len, REST_ANSWER_CAP, &value, error);

	*out = (struct rest_workspace){ .agent_count = 0 };
	if (code < 0)
		return code;
	root = jread_root(&read, value);
	read_workspace(&root, out);
	json_decref(value);
	return jread_code(&read);
}

int rest_decode_build(const void *data, size_t len, struct rest_build *out,
		      struct error *error)
{
	struct jread read = { .error = error };
	struct jplace root;
	json_t *value;
	int code = jread_parse(data, len, REST_ANSWER_CAP, &value, error);

	*out = (struct rest_build){ .number = 0 };
	if (code < 0)
		return code;
	root = jread_root(&read, value);
	read_build(&root, out);
	json_decref(value);
	return jread_code(&read);
}

int rest_decode_builds(const void *data, size_t len, struct rest_build *out,
		       size_t *count, struct error *error)
{
	struct jread read = { .error = error };
	struct jplace list;
	json_t *value;
	int code = jread_parse(data, len, REST_ANSWER_CAP, &value, error);

	*count = 0;
	if (code < 0)
		return code;
	list = jread_root_list(&read, value, REST_BUILDS_CAP);
	for (size_t i = 0; i < jread_count(&list); i++) {
		struct jplace build = jread_item(&list, i);

		out[i] = (struct rest_build){ .number = 0 };
		read_build(&build, &out[i]);
	}
	*count = jread_count(&list);
	json_decref(value);
	return jread_code(&read);
}

/* Copies both strings to *at and moves it on. */
static void keep(struct rest_parameter *out, const char *name,
		 const char *value, char **at)
{
	size_t name_len = strlen(name) + 1;
	size_t value_len = strlen(value) + 1;

	out->name = memcpy(*at, name, name_len);
	out->value = memcpy(*at + name_len, value, value_len);
	*at += name_len + value_len;
}

/* The strings together are shorter than the JSON that they stood in. */
static int read_parameters(const struct jplace *list, size_t len,
			   struct rest_parameters *out)
{
	char *at = malloc(len + 1);

	out->storage = at;
	out->list = calloc(jread_count(list) + 1, sizeof(out->list[0]));
	if (!at || !out->list)
		return ERR_NOMEM;
	for (size_t i = 0; i < jread_count(list); i++) {
		struct jplace item = jread_item(list, i);
		const char *name = jread_string(&item, "name",
						JREAD_REQUIRED);
		const char *value = jread_string(&item, "value",
						 JREAD_REQUIRED);

		if (!name || !value)
			return jread_code(list->read);
		keep(&out->list[out->count++], name, value, &at);
	}
	return 0;
}

int rest_decode_parameters(const void *data, size_t len,
			   struct rest_parameters *out, struct error *error)
{
	struct jread read = { .error = error };
	struct jplace list;
	json_t *value;
	int code = jread_parse(data, len, REST_ANSWER_CAP, &value, error);

	*out = (struct rest_parameters){ .count = 0 };
	if (code < 0)
		return code;
	list = jread_root_list(&read, value, REST_PARAMETERS_CAP);
	code = read_parameters(&list, len, out);
	if (code == ERR_NOMEM)
		error_set(error, code, "out of memory");
	else
		code = jread_code(&read);
	json_decref(value);
	if (code < 0)
		rest_parameters_clear(out);
	return code;
}

void rest_parameters_clear(struct rest_parameters *parameters)
{
	free(parameters->list);
	free(parameters->storage);
	*parameters = (struct rest_parameters){ .count = 0 };
}

static json_t *parameters_json(const struct rest_build_request *request)
{
	json_t *list = json_array();

	for (size_t i = 0; i < request->parameter_count; i++) {
		const struct rest_parameter *p = &request->parameters[i];

		if (json_array_append_new(list,
					  json_pack("{s:s, s:s}", "name",
						    p->name, "value",
						    p->value)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int rest_encode_build(const struct rest_build_request *request, char **out,
		      struct error *error)
{
	json_t *body = json_pack("{s:s}", "transition", request->transition);
	char id[UUID_TEXT_CAP];
	int bad = 0;

	if (body && request->template_version_id) {
		uuid_to_text(request->template_version_id, id);
		bad |= json_object_set_new(body, "template_version_id",
					   json_string(id));
	}
	if (body && request->parameter_count)
		bad |= json_object_set_new(body, "rich_parameter_values",
					   parameters_json(request));
	*out = body && !bad ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (*out)
		return 0;
	return error_set(error, ERR_MISUSE,
			 "a build's parameters must be UTF-8");
}
