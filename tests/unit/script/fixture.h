/*
 * One script on a virtual loop, with pipes for its stdio.
 */
#ifndef TUNNELHOST_TESTS_SCRIPT_FIXTURE_H
#define TUNNELHOST_TESTS_SCRIPT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/pipe.h"
#include "core/base/virtual_loop.h"
#include "core/script/script.h"

#define FOREVER UINT64_MAX

struct outcome {
	bool done;
	bool ok;
	int status;
	struct error error;
	char traceback[4096];
	char text[4096];
	enum script_verdict verdict;
	uint64_t delay_us;
};

struct fixture {
	struct virtual_loop v;
	struct rng rng;
	struct log log;
	char logged[16384];
	struct stream *stdio[2];	/* [0] the script's, [1] ours */
	struct stream *diagnostics[2];
	struct script_config config;
	struct script *script;
};

void fixture_init(struct fixture *f);		/* then set config */
void fixture_open(struct fixture *f);		/* script_new() */
void fixture_clear(struct fixture *f);
void outcome_set(void *user, const struct script_result *result);
/* Loads, starts with `conn`, and runs until done; FOREVER of time. */
void fixture_load(struct fixture *f, const char *source, struct outcome *out);
void fixture_start(struct fixture *f, struct script_conn *conn,
		   struct outcome *out);
/* The same in one, for sources that must load. */
void fixture_run(struct fixture *f, const char *source, struct outcome *out);
/* What the script has written to stdout so far, as a string. */
const char *fixture_stdout(struct fixture *f);

#endif
