#include "tests/unit/base/test.h"

#include <string.h>

#include "core/base/copy.h"
#include "core/base/pipe.h"
#include "core/base/virtual_loop.h"

struct joined {
	struct virtual_loop v;
	struct stream *left[2];		/* [0] the test's, [1] the copy's */
	struct stream *right[2];
	struct copy *copy;
	struct copy_result result;
	bool done;
};

static void on_done(void *user, const struct copy_result *result)
{
	struct joined *j = user;

	j->result = *result;
	j->done = true;
}

static void join(struct joined *j)
{
	memset(j, 0, sizeof(*j));
	virtual_loop_init(&j->v);
	assert_int_equal(pipe_new(&j->v.loop, 100, j->left), 0);
	assert_int_equal(pipe_new(&j->v.loop, 30, j->right), 0);
	assert_int_equal(copy_start(&j->v.loop, j->left[1], j->right[1],
				    on_done, j, &j->copy), 0);
}

static void part(struct joined *j)
{
	for (int i = 0; i < 2; i++) {
		stream_close(j->left[i], false);
		stream_close(j->right[i], false);
	}
	virtual_loop_clear(&j->v);
}

static void turn(struct joined *j)
{
	virtual_loop_run(&j->v, DEADLINE_NONE, NULL);
}

static size_t read_some(struct stream *stream, char *out, size_t cap)
{
	const uint8_t *data;
	ssize_t len = stream_peek(stream, &data);

	if (len <= 0)
		return 0;
	if ((size_t)len > cap)
		len = (ssize_t)cap;
	memcpy(out, data, (size_t)len);
	stream_consume(stream, (size_t)len);
	return (size_t)len;
}

static void copies_both_ways_with_back_pressure_and_half_close(void **state)
{
	struct joined j;
	char sent[1000], got[1000];
	size_t put = 0, have = 0;
	const uint8_t *data;

	(void)state;
	join(&j);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7);
	while (have < sizeof(sent)) {
		ssize_t n = stream_write(j.left[0], sent + put,
					 sizeof(sent) - put);

		put += n > 0 ? (size_t)n : 0;
		turn(&j);
		have += read_some(j.right[0], got + have, sizeof(got) - have);
	}
	assert_memory_equal(sent, got, sizeof(sent));
	stream_shutdown(j.left[0]);
	turn(&j);
	assert_int_equal(stream_peek(j.right[0], &data), 0);
	assert_false(j.done);
	assert_int_equal(stream_write(j.right[0], "back", 4), 4);
	stream_shutdown(j.right[0]);
	turn(&j);
	assert_int_equal(read_some(j.left[0], got, 100), 4);
	assert_memory_equal(got, "back", 4);
	assert_true(j.done);
	assert_int_equal(j.result.err, 0);
	assert_int_equal(j.result.bytes[0], 1000);
	assert_int_equal(j.result.bytes[1], 4);
	part(&j);
}

static void an_abort_ends_the_copy_with_its_code(void **state)
{
	struct joined j;

	(void)state;
	join(&j);
	stream_close(j.left[0], true);
	turn(&j);
	assert_true(j.done);
	assert_int_equal(j.result.err, ERR_RESET);
	stream_close(j.left[1], false);
	for (int i = 0; i < 2; i++)
		stream_close(j.right[i], false);
	virtual_loop_clear(&j.v);
}

static void a_cancelled_copy_says_nothing(void **state)
{
	struct joined j;

	(void)state;
	join(&j);
	stream_write(j.left[0], "x", 1);
	copy_cancel(j.copy);
	turn(&j);
	assert_false(j.done);
	part(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			copies_both_ways_with_back_pressure_and_half_close),
		cmocka_unit_test(an_abort_ends_the_copy_with_its_code),
		cmocka_unit_test(a_cancelled_copy_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
