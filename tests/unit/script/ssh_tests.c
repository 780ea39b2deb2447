/* The SSH bindings against core/simulate's server. */
#include "fake_conn.h"
#include "fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/simulate/exec.h"
#include "core/simulate/sshd.h"

#define PATIENCE_S 30

static double real_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Children live in real time: the virtual clock follows it. */
static void spin(struct fixture *f, const bool *done)
{
	double start = real_s();
	uint64_t base = f->v.now_us;

	while (!*done && real_s() - start < PATIENCE_S) {
		virtual_loop_run(&f->v, base +
				 (uint64_t)((real_s() - start) * 1e6), done);
		if (!*done)
			usleep(200);
	}
	assert_true(*done);
}

static int accept_ssh(void *user, struct stream *stream)
{
	return sshd_accept(user, stream);
}

static void run(const char *name)
{
	struct fixture f;
	struct fake_conn fake;
	struct sshd_handler handler;
	struct sshd *sshd;
	struct outcome out = { 0 };
	char path[512];

	fixture_init(&f);
	fake_conn_init(&fake, &f.v.loop);
	f.config.local = &fake.local;
	exec_handler_init(&handler, &f.v.loop);
	assert_int_equal(sshd_new(&f.v.loop, NULL, &handler, &sshd), 0);
	fake.on_ssh = accept_ssh;
	fake.ssh_user = sshd;
	fixture_open(&f);
	snprintf(path, sizeof(path), "%s/tests/unit/script/%s.lua",
		 TH_SOURCE_DIR, name);
	script_load_app(f.script, path, outcome_set, &out);
	spin(&f, &out.done);
	if (!out.ok)
		fail_msg("load: %s", out.error.message);
	memset(&out, 0, sizeof(out));
	script_call_start(f.script, &fake.conn, 1, outcome_set, &out);
	spin(&f, &out.done);
	if (!out.ok)
		fail_msg("%s\n%s", out.error.message, out.traceback);
	script_free(f.script);
	f.script = NULL;
	sshd_free(sshd);
	fixture_clear(&f);
	fake_conn_clear(&fake);
}

static void ssh(void **state)
{
	(void)state;
	run("ssh");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ssh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
