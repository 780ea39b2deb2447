#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/wait.h>

#include "tests/unit/simulate/ssh_pair.h"

static void expect_command(const char *command, const char *text, int status)
{
	struct pair p;
	struct client c;

	pair_open(&p);
	client_exec(&p, &c, command);
	stream_shutdown(c.out);
	spin_until(&p, &c.over);
	client_expect(&c, text, status);
	client_clear(&c);
	pair_close(&p);
}

static void echo_comes_back(void **state)
{
	(void)state;
	expect_command("echo foo", "foo\n", 0);
}

static void status_is_reported(void **state)
{
	(void)state;
	expect_command("exit 7", "", 7);
}

static void missing_command_is_127(void **state)
{
	(void)state;
	expect_command("no-such-command-here 2>/dev/null", "", 127);
}

static void stderr_is_apart(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "echo out; echo err >&2");
	spin_until(&p, &c.over);
	client_expect(&c, "out\n", 0);
	assert_string_equal(c.err_text, "err\n");
	client_clear(&c);
	pair_close(&p);
}

static void death_by_signal_has_its_name(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "kill -KILL $$");
	spin_until(&p, &c.over);
	assert_string_equal(c.signal, "KILL");
	assert_int_equal(c.status, -1);
	client_clear(&c);
	pair_close(&p);
}

static void signal_reaches_the_child(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "trap 'echo got; exit 3' USR1; echo up; "
			    "while :; do sleep 0.01; done");
	assert_int_equal(sshc_channel_signal(c.channel, "USR1"), ERR_CLOSED);
	while (!c.text_len)
		spin_for(&p, NULL, 0.01);
	assert_int_equal(sshc_channel_signal(c.channel, "USR1"), 0);
	spin_until(&p, &c.over);
	client_expect(&c, "up\ngot\n", 3);
	client_clear(&c);
	pair_close(&p);
}

static void environment_reaches_the_child(void **state)
{
	const struct sshc_env env[] = { { "FIRST", "one" },
					{ "LANG", "xx" } };
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_request(&p, &c, &(struct sshc_request){
		.kind = SSHC_EXEC,
		.command = "echo $FIRST $LANG $USER",
		.env = env,
		.env_count = 2,
	});
	spin_until(&p, &c.over);
	client_expect(&c, "one xx coder\n", 0);
	client_clear(&c);
	pair_close(&p);
}

static void terminal_has_size_and_follows(void **state)
{
	const struct sshc_pty pty = { "xterm", 30, 100 };
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_request(&p, &c, &(struct sshc_request){
		.kind = SSHC_EXEC,
		.command = "stty -echo; stty size; echo $TERM; read x; "
			   "stty size; exit 5",
		.pty = &pty,
	});
	while (c.text_len < strlen("30 100\r\nxterm\r\n"))
		spin_for(&p, NULL, 0.01);
	assert_int_equal(sshc_channel_resize(c.channel, 40, 120), 0);
	stream_write(c.out, "\n", 1);
	spin_until(&p, &c.over);
	client_expect(&c, "30 100\r\nxterm\r\n40 120\r\n", 5);
	client_clear(&c);
	pair_close(&p);
}

static void shell_reads_commands(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_request(&p, &c, &(struct sshc_request){ .kind = SSHC_SHELL });
	stream_write(c.out, "echo hello\nexit 4\n", 18);
	spin_until(&p, &c.over);
	client_expect(&c, "hello\n", 4);
	client_clear(&c);
	pair_close(&p);
}

static void half_close_ends_cat(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "cat; echo after");
	stream_write(c.out, "text", 4);
	stream_shutdown(c.out);
	assert_int_equal(stream_write(c.out, "x", 1), ERR_CLOSED);
	spin_until(&p, &c.over);
	client_expect(&c, "textafter\n", 0);
	client_clear(&c);
	pair_close(&p);
}

static void unknown_subsystem_is_refused(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_request(&p, &c, &(struct sshc_request){
		.kind = SSHC_SUBSYSTEM, .command = "nonsense" });
	spin_until(&p, &c.over);
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.error.code, ERR_REFUSED);
	assert_string_equal(c.error.message, "the agent refused the request");
	client_clear(&c);
	pair_close(&p);
}

static void forward_is_refused(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_request(&p, &c, &(struct sshc_request){
		.kind = SSHC_FORWARD, .command = "127.0.0.1", .port = 80 });
	spin_until(&p, &c.over);
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.error.code, ERR_REFUSED);
	assert_string_equal(c.error.message, "the agent refused the channel");
	client_clear(&c);
	pair_close(&p);
}

#define BULK (10u * 1024 * 1024)

static void bulk_goes_both_ways(void **state)
{
	static uint8_t data[BULK];
	struct pair p;
	struct client c;
	size_t sent = 0;
	double start;

	(void)state;
	for (size_t i = 0; i < BULK; i++)
		data[i] = (uint8_t)((i * 2654435761u) >> 13);
	pair_open(&p);
	client_exec(&p, &c, "cat");
	start = real_s();
	while (!c.over && real_s() - start < PATIENCE_S) {
		ssize_t got = sent < BULK ? stream_write(c.out, data + sent,
							 BULK - sent) : 0;

		if (got > 0)
			sent += (size_t)got;
		if (sent == BULK)
			stream_shutdown(c.out);
		virtual_loop_run(&p.v, p.v.now_us, NULL);
	}
	print_message("10 MiB there and back: %.0f ms\n",
		      (real_s() - start) * 1e3);
	assert_true(c.over);
	assert_int_equal(c.text_len, BULK);
	assert_memory_equal(c.text, data, BULK);
	client_clear(&c);
	pair_close(&p);
}

#define MANY 20

static void many_channels_at_once(void **state)
{
	struct pair p;
	struct client c[MANY];
	char command[64];

	(void)state;
	pair_open(&p);
	for (int i = 0; i < MANY; i++) {
		snprintf(command, sizeof(command),
			 "head -c 300000 /dev/zero; exit %d", i);
		client_exec(&p, &c[i], command);
	}
	for (int i = 0; i < MANY; i++) {
		spin_until(&p, &c[i].over);
		assert_int_equal(c[i].text_len, 300000);
		assert_int_equal(c[i].status, i);
	}
	for (int i = 0; i < MANY; i++)
		client_clear(&c[i]);
	pair_close(&p);
}

/* The child must stop writing: a slow reader costs a bounded amount. */
static void slow_reader_stops_the_child(void **state)
{
	struct pair p;
	struct client c;
	const uint8_t *data;
	ssize_t got;
	size_t total = 0;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "head -c 30000000 /dev/zero; echo done >&2");
	c.reading = false;
	spin_for(&p, NULL, 0.6);
	assert_int_equal(c.err_len, 0);
	assert_int_equal(c.exited, 0);
	for (int i = 0; i < 40; i++) {
		got = stream_peek(c.out, &data);
		if (got > 0) {
			assert_true(got < 3 * 1024 * 1024);
			got = got > 1000 ? 1000 : got;
			total += (size_t)got;
			stream_consume(c.out, (size_t)got);
		}
		spin_for(&p, NULL, 0.002);
	}
	assert_int_equal(c.err_len, 0);
	c.keep = false;
	c.reading = true;
	client_read_out(&c);
	spin_until(&p, &c.over);
	assert_int_equal(c.text_len + total, 30000000);
	assert_string_equal(c.err_text, "done\n");
	client_clear(&c);
	pair_close(&p);
}

static void closing_the_channel_kills_the_child(void **state)
{
	char path[] = "/tmp/test_sshd_XXXXXX";
	char command[128];
	struct pair p;
	struct client c;
	int fd = mkstemp(path);

	(void)state;
	close(fd);
	pair_open(&p);
	snprintf(command, sizeof(command),
		 "echo up; sleep 0.3; rm %s", path);
	client_exec(&p, &c, command);
	while (!c.text_len)
		spin_for(&p, NULL, 0.01);
	client_clear(&c);
	spin_for(&p, NULL, 0.5);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	pair_close(&p);
}

/* The clock jumps: the loop's, not that of the children. */
static void background_children_hold_the_channel_for_a_while(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "sleep 100 & echo hi; exit 6");
	spin_for(&p, NULL, 0.2);
	assert_int_equal(c.text_len, 3);
	assert_int_equal(c.exited, 0);
	p.v.now_us += (EXEC_LINGER_MS + 1) * US_PER_MS;
	spin_until(&p, &c.over);
	client_expect(&c, "hi\n", 6);
	client_clear(&c);
	pair_close(&p);
}

static void server_gone_fails_everything_once(void **state)
{
	struct pair p;
	struct client c[2];

	(void)state;
	pair_open(&p);
	client_exec(&p, &c[0], "sleep 100");
	client_exec(&p, &c[1], "sleep 100");
	while (!c[0].opened || !c[1].opened)
		spin_for(&p, NULL, 0.01);
	sshd_disconnect_all(p.sshd);
	spin_for(&p, NULL, 0.1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(c[i].failed, 1);
		assert_int_equal(c[i].exited, 0);
		assert_int_equal(c[i].error.code, ERR_CLOSED);
	}
	assert_int_equal(p.end_count, 1);
	assert_int_equal(p.end.code, ERR_CLOSED);
	assert_string_equal(p.end.message,
			    "the other side closed the SSH connection");
	client_clear(&c[0]);
	client_clear(&c[1]);
	pair_close(&p);
}

static void client_gone_ends_the_connection(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "sleep 100");
	while (!c.opened)
		spin_for(&p, NULL, 0.01);
	assert_int_equal(sshd_connection_count(p.sshd), 1);
	sshc_close(p.sshc);
	p.sshc = NULL;
	spin_for(&p, NULL, 0.1);
	assert_int_equal(sshd_connection_count(p.sshd), 0);
	assert_int_equal(c.failed + c.exited, 0);
	pair_close(&p);
}

/* One task, or else one ready descriptor. */
static void single_step(struct virtual_loop *v)
{
	struct list *link = list_pop(&v->loop.tasks);

	if (link) {
		struct task *task = container_of(link, struct task, link);

		task->run(task);
		return;
	}
	for (size_t i = 0; i < v->watcher_count; i++) {
		struct watcher *watcher = v->watchers[i];
		struct pollfd p = { .fd = watcher ? watcher->fd : -1 };
		unsigned wanted =
			watcher ? (unsigned)(uintptr_t)watcher->backend : 0;

		p.events = (short)((wanted & WATCH_READ ? POLLIN : 0) |
				   (wanted & WATCH_WRITE ? POLLOUT : 0));
		if (poll(&p, 1, 0) > 0) {
			watcher->ready(watcher, wanted);
			return;
		}
	}
	usleep(300);
}

static void close_after(int steps, int how)
{
	struct pair p;
	struct client c;

	pair_open(&p);
	client_exec(&p, &c, "echo foo; exit 3");
	stream_write(c.out, "text", 4);
	for (int i = 0; i < steps; i++)
		single_step(&p.v);
	if (how == 0)
		client_clear(&c);
	if (how == 1) {
		sshd_free(p.sshd);
		p.sshd = NULL;
	}
	if (how == 2) {
		sshc_close(p.sshc);
		p.sshc = NULL;
		c.channel = NULL;
	}
	for (int i = 0; i < 30; i++)
		single_step(&p.v);
	spin_for(&p, NULL, 0.002);
	if (how == 0)
		assert_int_equal(p.end_count, 0);
	if (how == 1)
		assert_int_equal(p.end_count, 1);
	if (how == 1)
		assert_int_equal(c.failed + c.exited, 1);
	if (p.sshc)
		client_clear(&c);
	free(c.text);
	pair_close(&p);
}

/* After each single step of the loop, from the first byte to the exit. */
static void close_in_every_phase(void **state)
{
	struct pair p;
	struct client c;
	int all = 0;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "echo foo; exit 3");
	stream_write(c.out, "text", 4);
	for (; !c.over; all++)
		single_step(&p.v);
	print_message("%d steps\n", all);
	client_expect(&c, "foo\n", 3);
	client_clear(&c);
	pair_close(&p);
	for (int steps = 0; steps < all + 5; steps++)
		for (int how = 0; how < 3; how++)
			close_after(steps, how);
}

static size_t count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static size_t descriptors_at_start;

static void nothing_is_left(void **state)
{
	(void)state;
	assert_int_equal(count_descriptors(), descriptors_at_start);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_comes_back),
		cmocka_unit_test(status_is_reported),
		cmocka_unit_test(missing_command_is_127),
		cmocka_unit_test(stderr_is_apart),
		cmocka_unit_test(death_by_signal_has_its_name),
		cmocka_unit_test(signal_reaches_the_child),
		cmocka_unit_test(environment_reaches_the_child),
		cmocka_unit_test(terminal_has_size_and_follows),
		cmocka_unit_test(shell_reads_commands),
		cmocka_unit_test(half_close_ends_cat),
		cmocka_unit_test(unknown_subsystem_is_refused),
		cmocka_unit_test(forward_is_refused),
		cmocka_unit_test(bulk_goes_both_ways),
		cmocka_unit_test(many_channels_at_once),
		cmocka_unit_test(slow_reader_stops_the_child),
		cmocka_unit_test(closing_the_channel_kills_the_child),
		cmocka_unit_test(
			background_children_hold_the_channel_for_a_while),
		cmocka_unit_test(server_gone_fails_everything_once),
		cmocka_unit_test(client_gone_ends_the_connection),
		cmocka_unit_test(close_in_every_phase),
		cmocka_unit_test(nothing_is_left),
	};

	descriptors_at_start = count_descriptors();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
