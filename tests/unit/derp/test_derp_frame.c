#include "tests/unit/derp/derp_wire.h"

static void test_layouts_are_the_vectors(void **state)
{
	struct key32 b = key_of(VECTOR_B_PUBLIC);
	struct key32 a = key_of(VECTOR_A_PUBLIC);
	struct vector send = vector_of(VECTOR_SEND_PACKET);
	struct vector recv = vector_of(VECTOR_RECV_PACKET);
	uint8_t out[64] = { 0 };

	(void)state;
	assert_int_equal(derp_send_header(out, &b, 7), DERP_PACKET_OVERHEAD);
	memcpy(out + DERP_PACKET_OVERHEAD, "payload", 7);
	assert_memory_equal(out, send.bytes, send.len);
	derp_put_packet_header(out, DERP_RECV_PACKET, &a, 7);
	assert_memory_equal(out, recv.bytes, recv.len);
}

static void test_whole_frames_are_lent_in_place(void **state)
{
	struct vector ping = vector_of(VECTOR_PING);
	struct derp_reader reader;
	struct derp_frame frame;
	uint8_t two[26];
	struct cursor in = cursor_of(two, sizeof(two));

	(void)state;
	memcpy(two, ping.bytes, 13);
	memcpy(two + 13, ping.bytes, 13);
	derp_reader_init(&reader, 100);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL), 1);
	assert_int_equal(frame.type, DERP_PING);
	assert_ptr_equal(frame.body, two + 5);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL), 1);
	assert_ptr_equal(frame.body, two + 18);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL), 0);
	assert_null(reader.partial);
	derp_reader_clear(&reader);
}

/* Frames of many lengths, cut anywhere, come out as they went in. */
static void read_in_chunks(uint64_t seed, size_t fixed)
{
	static uint8_t stream[300 * 1024];
	struct derp_reader reader;
	struct rng rng;
	size_t len = 0, read = 0, expected = 0;

	print_message("seed %llu\n", (unsigned long long)seed);
	rng_seeded(&rng, seed);
	while (len < sizeof(stream) - 5 - 3000) {
		size_t body = rng_below(&rng, 3000);

		if (expected % 7 == 0)
			body = 0;
		derp_put_header(stream + len, DERP_HEALTH, body);
		memset(stream + len + 5, (int)(expected & 255), body);
		len += 5 + body;
		expected++;
	}
	derp_reader_init(&reader, 3000);
	for (size_t at = 0; at < len;) {
		size_t chunk = fixed ? fixed : 1 + rng_below(&rng, 4000);
		struct derp_frame frame;
		struct cursor in;

		if (chunk > len - at)
			chunk = len - at;
		in = cursor_of(stream + at, chunk);
		while (derp_reader_next(&reader, &in, &frame, NULL) == 1) {
			for (size_t i = 0; i < frame.len; i++)
				assert_int_equal(frame.body[i], read & 255);
			read++;
		}
		assert_int_equal(in.left, 0);
		at += chunk;
	}
	assert_int_equal(read, expected);
	derp_reader_clear(&reader);
}

static void test_chunks(void **state)
{
	(void)state;
	read_in_chunks(1, 1);
	read_in_chunks(2, 4);
	read_in_chunks(3, 5);
	for (uint64_t seed = 4; seed < 12; seed++)
		read_in_chunks(seed, 0);
}

static void test_hostile_lengths(void **state)
{
	uint8_t header[5] = { DERP_RECV_PACKET, 0xff, 0xff, 0xff, 0xff };
	struct derp_reader reader;
	struct derp_frame frame;
	struct error error;
	struct cursor in = cursor_of(header, 5);

	(void)state;
	derp_reader_init(&reader, DERP_BODY_CAP);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, &error),
			 ERR_TOO_LARGE);
	assert_non_null(strstr(error.message, "4294967295"));
	/* The same, a byte at a time. */
	for (size_t i = 0; i < 5; i++) {
		in = cursor_of(header + i, 1);
		assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL),
				 i < 4 ? 0 : ERR_TOO_LARGE);
	}
	derp_reader_clear(&reader);
	/* A long claim alone takes no memory. */
	be_store(header + 1, DERP_BODY_CAP, 4);
	in = cursor_of(header, 5);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL), 0);
	assert_true(reader.partial_cap <= 4096);
	derp_reader_clear(&reader);
}

static void test_longest_frame_and_its_storage(void **state)
{
	static uint8_t frame_bytes[DERP_HEADER_LEN + DERP_BODY_CAP];
	struct derp_reader reader;
	struct derp_frame frame;
	struct cursor in = cursor_of(frame_bytes, sizeof(frame_bytes) - 1);

	(void)state;
	derp_put_header(frame_bytes, DERP_RECV_PACKET, DERP_BODY_CAP);
	derp_reader_init(&reader, DERP_BODY_CAP);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL), 0);
	in = cursor_of(frame_bytes + sizeof(frame_bytes) - 1, 1);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL), 1);
	assert_int_equal(frame.len, DERP_BODY_CAP);
	assert_int_equal(derp_reader_next(&reader, &in, &frame, NULL), 0);
	assert_null(reader.partial);
	derp_reader_clear(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layouts_are_the_vectors),
		cmocka_unit_test(test_whole_frames_are_lent_in_place),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_hostile_lengths),
		cmocka_unit_test(test_longest_frame_and_its_storage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
