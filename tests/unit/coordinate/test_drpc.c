#include "tests/unit/base/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/tailnet/coordinate/drpc.h"
#include "tests/unit/coordinate/vectors.h"

struct seen {
	unsigned count;
	unsigned kind;
	uint64_t stream, message;
	size_t len;
	uint8_t *data;
	int answer;
};

static int on_packet(void *user, const struct drpc_packet *packet)
{
	struct seen *seen = user;

	seen->count++;
	seen->kind = packet->kind;
	seen->stream = packet->stream;
	seen->message = packet->message;
	seen->len = packet->len;
	free(seen->data);
	seen->data = malloc(packet->len + 1);
	if (packet->len)
		memcpy(seen->data, packet->data, packet->len);
	return seen->answer;
}

static int read_all(const void *data, size_t len, size_t step,
		    struct seen *seen, struct error *error)
{
	struct drpc_reader reader;
	const uint8_t *at = data;
	int err = 0;

	free(seen->data);
	*seen = (struct seen){ .answer = seen->answer };
	drpc_reader_init(&reader, on_packet, seen);
	while (len && err == 0) {
		size_t part = step < len ? step : len;

		err = drpc_in(&reader, at, part, error);
		at += part;
		len -= part;
	}
	drpc_reader_clear(&reader);
	return err;
}

static void check_vector(const char *hex, enum drpc_kind kind,
			 uint64_t message, const char *body)
{
	struct bytes wire = unhex(hex);
	struct seen seen = { .count = 0 };
	struct buf out = { .limit = 4096 };

	for (size_t step = 1; step <= wire.len; step++) {
		assert_int_equal(read_all(wire.data, wire.len, step, &seen,
					  NULL), 0);
		assert_int_equal(seen.count, 1);
		assert_int_equal(seen.kind, kind);
		assert_int_equal(seen.message, message);
	}
	if (body) {
		assert_int_equal(seen.len, strlen(body));
		assert_memory_equal(seen.data, body, seen.len);
	}
	assert_int_equal(drpc_append(&out, kind, 1, message, seen.data,
				     seen.len), 0);
	assert_int_equal(out.len, wire.len);
	assert_memory_equal(buf_data(&out), wire.data, wire.len);
	buf_clear(&out);
	free(seen.data);
}

static void test_vectors(void **state)
{
	(void)state;
	check_vector(VECTOR_DRPC_COORDINATE_INVOKE, DRPC_INVOKE, 1,
		     "/coder.tailnet.v2.Tailnet/Coordinate");
	check_vector(VECTOR_DRPC_COORDINATE_ADD, DRPC_MESSAGE, 2, NULL);
	check_vector(VECTOR_DRPC_DERPMAPS_REQUEST, DRPC_MESSAGE, 2, "");
	check_vector(VECTOR_DRPC_DERPMAPS_CLOSESEND, DRPC_CLOSE_SEND, 3, "");
	check_vector(VECTOR_DRPC_CLOSE, DRPC_CLOSE, 4, "");
	check_vector(VECTOR_DRPC_ERROR, DRPC_ERROR, 2, NULL);
}

/* Several frames a packet, at sizes around the frame's cap. */
static void test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 127, 128, DRPC_FRAME_CAP - 1,
					DRPC_FRAME_CAP, DRPC_FRAME_CAP + 1,
					3 * DRPC_FRAME_CAP + 5,
					DRPC_PACKET_CAP };
	struct seen seen = { .count = 0 };
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct buf out = { .limit = DRPC_PACKET_CAP + 65536 };
		uint8_t *data = malloc(sizes[i] + 1);

		rng_bytes(&rng, data, sizes[i]);
		assert_int_equal(drpc_append(&out, DRPC_MESSAGE, 1, 2, data,
					     sizes[i]), 0);
		assert_int_equal(read_all(buf_data(&out), out.len, 777, &seen,
					  NULL), 0);
		assert_int_equal(seen.count, 1);
		assert_int_equal(seen.len, sizes[i]);
		assert_memory_equal(seen.data, data, sizes[i]);
		free(data);
		buf_clear(&out);
	}
	free(seen.data);
}

static int read_hex(const char *hex, struct seen *seen, struct error *error)
{
	struct bytes wire = unhex(hex);

	return read_all(wire.data, wire.len, 1, seen, error);
}

static void test_refuses(void **state)
{
	struct seen seen = { .count = 0 };
	struct error error;
	struct buf out = { .limit = 100 };

	(void)state;
	/* A packet of 5 MiB is refused by its header. */
	assert_int_equal(read_hex("05010180808003", &seen, &error),
			 ERR_TOO_LARGE);
	/* And in small frames once the sum is too large. */
	assert_int_equal(read_hex("040101" "0161" "040101" "80808002", &seen,
				  &error), ERR_TOO_LARGE);
	/* 2^63 bytes. */
	assert_int_equal(read_hex("050101" "80808080808080808001", &seen,
				  &error), ERR_TOO_LARGE);
	/* A varint without end. */
	assert_int_equal(read_hex("05ffffffffffffffffffff01", &seen, &error),
			 ERR_PROTOCOL);
	/* The same message id again, and a lower stream. */
	assert_int_equal(read_hex("05010100" "05010100", &seen, &error),
			 ERR_PROTOCOL);
	assert_int_equal(seen.count, 1);
	assert_int_equal(read_hex("05020100" "05010900", &seen, &error),
			 ERR_PROTOCOL);
	assert_int_equal(read_hex("05000100", &seen, &error), ERR_PROTOCOL);
	/* The kind changes inside a packet. */
	assert_int_equal(read_hex("04010100" "03010100", &seen, &error),
			 ERR_PROTOCOL);
	assert_int_equal(drpc_append(&out, DRPC_MESSAGE, 1, 1, NULL,
				     DRPC_PACKET_CAP + 1), ERR_TOO_LARGE);
	buf_append(&out, "x", 1);
	assert_int_equal(drpc_append(&out, DRPC_MESSAGE, 1, 1,
				     "0123456789012345678901234567890123456789"
				     "0123456789012345678901234567890123456789"
				     "012345678901234567890", 100), ERR_LIMIT);
	assert_int_equal(out.len, 1);
	buf_clear(&out);
	free(seen.data);
}

/* A new message id drops the packet that was not finished, as drpc does. */
static void test_unfinished_packet_is_dropped(void **state)
{
	struct seen seen = { .count = 0 };

	(void)state;
	assert_int_equal(read_hex("0401010161" "0501020162", &seen, NULL), 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.message, 2);
	assert_int_equal(seen.len, 1);
	assert_int_equal(seen.data[0], 'b');
	free(seen.data);
}

static void test_callback_stops(void **state)
{
	struct seen seen = { .answer = 7 };

	(void)state;
	assert_int_equal(read_hex("05010100" "05010200", &seen, NULL), 7);
	assert_int_equal(seen.count, 1);
	free(seen.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_unfinished_packet_is_dropped),
		cmocka_unit_test(test_callback_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
