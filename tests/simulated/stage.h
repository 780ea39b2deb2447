/*
 * tests/simulated/stage.h: a whole tunneler with its scripts in a world, and
 * all that was said on the way.
 */
#ifndef TUNNELHOST_TESTS_STAGE_H
#define TUNNELHOST_TESTS_STAGE_H

#include "core/host/app.h"
#include "core/host/tunneler.h"
#include "tests/simulated/world.h"

#define STAGE_SAID_CAP (1024 * 1024)

struct stage_config {
	const char *app;		/* Lua source */
	const char *starter;		/* Lua source; NULL: api.lua */
	struct simulation_workspace_config workspace;
	bool no_autostart;
	bool wait_for_scripts;
	uint64_t timeout_us;		/* 0: 600 s */
};

struct stage {
	struct world world;
	struct simulation_workspace *workspace;
	struct rest rest;
	struct rest_workspace found;
	struct log log;
	struct stream output;		/* of the scripts */
	struct script *app;
	struct app_script tunneled;
	struct script *starter;
	struct tunneler *tunneler;
	/* Log lines and output of scripts in one order. */
	char *said;
	size_t said_len;
	char path[512];			/* states, " " between */
	const char *wanted;		/* state */
	bool reached;
	unsigned exits;
	bool exited;
	struct reason reason;
	uint64_t began_us;
	uint64_t exit_us;
	bool loaded;
};

/* Deployment, workspace and loaded scripts. */
void stage_init(struct stage *stage, const struct stage_config *config);
/* What may be broken first has been: off it goes. */
void stage_begin(struct stage *stage, const struct stage_config *config);
/* Both. */
void stage_open(struct stage *stage, const struct stage_config *config);
/* Until the state is reached; fails the test when it is not. */
void stage_until(struct stage *stage, enum fsm_state state);
void stage_for(struct stage *stage, uint64_t us);
/* Until on_exit, and a little beyond; fails when it comes late or twice. */
void stage_end(struct stage *stage, uint64_t within_us);
void stage_clear(struct stage *stage);

unsigned stage_said(const struct stage *stage, const char *text);
enum fsm_state stage_state(const struct stage *stage);

#endif
