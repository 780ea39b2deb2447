#include <stdlib.h>

#include "core/script/handle.h"
#include "core/script/state.h"

/* Trees by number: the two of every script, then those made later. */

struct list *script_tree_tasks(struct script *script, enum script_tree tree)
{
	struct script_tree_tasks *tasks = script->trees[tree];

	return tasks ? &tasks->tasks : NULL;
}

/* The first number that is free; the table grows by doubling. */
static int find_number(struct script *script, unsigned *out)
{
	unsigned cap = script->tree_count ? script->tree_count * 2 : 4;
	struct script_tree_tasks **trees;

	for (*out = 0; *out < script->tree_count; (*out)++)
		if (!script->trees[*out])
			return 0;
	if (cap > SCRIPT_TREE_CAP)
		return ERR_LIMIT;
	trees = realloc(script->trees, cap * sizeof(*trees));
	if (!trees)
		return ERR_NOMEM;
	for (unsigned i = script->tree_count; i < cap; i++)
		trees[i] = NULL;
	script->trees = trees;
	script->tree_count = cap;
	return 0;
}

int script_tree_new(struct script *script, enum script_tree *out)
{
	struct script_tree_tasks *tree;
	unsigned number;
	int err = find_number(script, &number);

	if (err < 0)
		return err;
	tree = malloc(sizeof(*tree));
	if (!tree)
		return ERR_NOMEM;
	list_init(&tree->tasks);
	tree->script = script;
	tree->tree = (enum script_tree)number;
	script->trees[number] = tree;
	*out = (enum script_tree)number;
	return 0;
}

static void ended(void *user, const struct script_result *result)
{
	struct script_tree_tasks *tree = user;

	(void)result;
	tree->script->trees[tree->tree] = NULL;
	free(tree);
}

void script_tree_end(struct script *script, enum script_tree tree)
{
	script_handles_end(script, tree);
	if (!script->closing)	/* else its tasks are gone already */
		(void)script_cancel_tasks(script, tree, ended,
					  script->trees[tree]);
}

int script_trees_init(struct script *script)
{
	enum script_tree tree;
	int err = 0;

	for (int i = 0; i < SCRIPT_TREE_COUNT && err == 0; i++)
		err = script_tree_new(script, &tree);
	return err;
}

void script_trees_clear(struct script *script)
{
	for (unsigned i = 0; i < script->tree_count; i++)
		free(script->trees[i]);
	free(script->trees);
	script->trees = NULL;
	script->tree_count = 0;
}
