/* What a template asks for, and what builds were given. */
#include <string.h>

#include "core/simulate/simulate_private.h"

static json_t *value_named(json_t *values, const char *name)
{
	size_t at;
	json_t *value;

	json_array_foreach(values, at, value) {
		const char *other =
			json_string_value(json_object_get(value, "name"));

		if (other && strcmp(other, name) == 0)
			return value;
	}
	return NULL;
}

json_t *parameters_merge(json_t *old, json_t *values)
{
	json_t *out = json_array();
	size_t at;
	json_t *value;

	json_array_foreach(old, at, value) {
		const char *name =
			json_string_value(json_object_get(value, "name"));

		if (name && !value_named(values, name))
			json_array_append(out, value);
	}
	json_array_foreach(values, at, value)
		if (json_is_string(json_object_get(value, "name")))
			json_array_append(out, value);
	return out;
}

int simulation_set_parameters(struct simulation_workspace *workspace,
			      const char *json)
{
	json_t *value = json_loads(json, 0, NULL);

	if (!json_is_array(value)) {
		json_decref(value);
		return ERR_PROTOCOL;
	}
	json_decref(workspace->rich_parameters);
	workspace->rich_parameters = value;
	return 0;
}
