#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/tailnet/stun/stun.h"

/* tests/interop/vectors.json; transaction "stun-txid-12" */
#define REQUEST \
	"000100142112a4427374756e2d747869642d3132" \
	"802200087461696c6e6f646580280004fa91ac72"
#define RESPONSE_V4 \
	"0101000c2112a4427374756e2d747869642d3132" \
	"00200008000125c0e112a643"
#define RESPONSE_V6 \
	"010100182112a4427374756e2d747869642d3132" \
	"00200014000225c00113a9fa7374756e2d747869642d3133"

/* RFC 5769, 2.1 to 2.3 */
#define RFC_TXID "b7e7a701bc34d686fa87dfae"
#define RFC_REQUEST \
	"000100582112a442" RFC_TXID \
	"802200105354554e207465737420636c69656e74" \
	"002400046e0001ff80290008932ff9b151263b36" \
	"000600096576746a3a68367659202020" \
	"000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2" \
	"80280004e57a3bcf"
#define RFC_RESPONSE_V4 \
	"0101003c2112a442" RFC_TXID \
	"8022000b7465737420766563746f7220" \
	"002000080001a147e112a643" \
	"000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7" \
	"80280004c07d4c96"
#define RFC_RESPONSE_V6 \
	"010100482112a442" RFC_TXID \
	"8022000b7465737420766563746f7220" \
	"002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9" \
	"00080014a382954e4be67bf11784c97c8292c275bfe3ed41" \
	"80280004c8fb0b4c"

struct bytes {
	uint8_t at[256];
	size_t len;
};

static struct bytes bytes_of(const char *hex)
{
	struct bytes out = { .len = strlen(hex) / 2 };

	assert_true(out.len <= sizeof(out.at));
	assert_int_equal(hex_decode(hex, strlen(hex), out.at, out.len), 0);
	return out;
}

static void test_request_is_the_vector(void **state)
{
	struct bytes want = bytes_of(REQUEST);
	uint8_t out[STUN_REQUEST_LEN], txid[STUN_TXID_LEN];

	(void)state;
	stun_request((const uint8_t *)"stun-txid-12", out);
	assert_memory_equal(out, want.at, want.len);
	assert_true(stun_is(out, sizeof(out)));
	assert_int_equal(stun_parse_request(out, sizeof(out), txid), 0);
	assert_memory_equal(txid, "stun-txid-12", 12);
}

static void check_response(const char *hex, const char *address_hex,
			   uint16_t port, bool rebuild)
{
	struct bytes response = bytes_of(hex), address = bytes_of(address_hex);
	struct endpoint out;
	uint8_t again[STUN_RESPONSE_CAP];

	assert_int_equal(stun_parse_response(response.at, response.len,
					     response.at + 8, &out), 0);
	assert_memory_equal(out.address, address.at, 16);
	assert_int_equal(out.port, port);
	if (!rebuild)
		return;
	assert_int_equal(stun_response(response.at + 8, &out, again),
			 response.len);
	assert_memory_equal(again, response.at, response.len);
}

static void test_responses_are_the_vectors(void **state)
{
	(void)state;
	check_response(RESPONSE_V4, "00000000000000000000ffffc0000201", 1234,
		       true);
	check_response(RESPONSE_V6, "20010db8000000000000000000000001", 1234,
		       true);
}

static void test_rfc_5769(void **state)
{
	struct bytes request = bytes_of(RFC_REQUEST);
	struct bytes response = bytes_of(RFC_RESPONSE_V4);
	struct endpoint out;
	uint8_t txid[STUN_TXID_LEN];

	(void)state;
	assert_int_equal(stun_parse_request(request.at, request.len, txid), 0);
	assert_memory_equal(txid, bytes_of(RFC_TXID).at, 12);
	check_response(RFC_RESPONSE_V4, "00000000000000000000ffffc0000201",
		       32853, false);
	check_response(RFC_RESPONSE_V6, "20010db8123456780011223344556677",
		       32853, false);
	/* The fingerprint covers every byte. */
	for (size_t i = 20; i < request.len; i++) {
		request.at[i] ^= 1;
		/* Type bytes of the fingerprint itself: then it is absent. */
		if (i < request.len - 8 || i >= request.len - 4)
			assert_int_equal(stun_parse_request(request.at,
							    request.len, txid),
					 ERR_PROTOCOL);
		request.at[i] ^= 1;
	}
	response.at[response.len - 1] ^= 1;
	assert_int_equal(stun_parse_response(response.at, response.len,
					     response.at + 8, &out),
			 ERR_PROTOCOL);
}

static void test_fallback_to_mapped_address(void **state)
{
	(void)state;
	check_response("0101000c2112a4427374756e2d747869642d3132"
		       "0001000800010050c0000202",
		       "00000000000000000000ffffc0000202", 80, false);
	/* The masked one wins, wherever it stands. */
	check_response("010100182112a4427374756e2d747869642d3132"
		       "80200008000125c0e112a643"
		       "0001000800010050c0000202",
		       "00000000000000000000ffffc0000201", 1234, false);
}

static int parse(const char *hex)
{
	struct bytes response = bytes_of(hex);
	struct endpoint out;

	return stun_parse_response(response.at, response.len,
				   (const uint8_t *)"stun-txid-12", &out);
}

#define HEAD(len) "0101" len "2112a4427374756e2d747869642d3132"

static void test_bad_responses(void **state)
{
	(void)state;
	assert_int_equal(parse("0101000c2112a4427374756e2d747869642d3133"
			       "00200008000125c0e112a643"), ERR_NOT_FOUND);
	assert_int_equal(parse("011100002112a4427374756e2d747869642d3132"),
			 ERR_REFUSED);
	assert_int_equal(parse(REQUEST), ERR_PROTOCOL);
	assert_int_equal(parse(""), ERR_PROTOCOL);
	assert_int_equal(parse(HEAD("0000")), ERR_PROTOCOL);
	/* longer than the datagram; attribute longer than the message */
	assert_int_equal(parse(HEAD("0004")), ERR_PROTOCOL);
	assert_int_equal(parse(HEAD("0004") "0020ffff"), ERR_PROTOCOL);
	assert_int_equal(parse(HEAD("0003") "002000"), ERR_PROTOCOL);
	/* short of its padding; family unknown; address cut; empty */
	assert_int_equal(parse(HEAD("0005") "8022000141"), ERR_PROTOCOL);
	assert_int_equal(parse(HEAD("000c") "00200008000325c0e112a643"),
			 ERR_PROTOCOL);
	assert_int_equal(parse(HEAD("000c") "00200008000225c0e112a643"),
			 ERR_PROTOCOL);
	assert_int_equal(parse(HEAD("0004") "00200000"), ERR_PROTOCOL);
	/* something behind the fingerprint */
	assert_int_equal(parse("010100102112a4427374756e2d747869642d3132"
			       "8028000400000000" "8022000441414141"),
			 ERR_PROTOCOL);
	/* bytes behind the message are ignored */
	assert_int_equal(parse(RESPONSE_V4 "ffff"), 0);
}

static void test_limits(void **state)
{
	static uint8_t message[STUN_MESSAGE_CAP + 1];
	uint8_t txid[STUN_TXID_LEN];
	struct writer w = writer_of(message, sizeof(message));

	(void)state;
	write_u16(&w, 1);
	write_u16(&w, 4 * (STUN_ATTRIBUTES_CAP + 1));
	write_u32(&w, 0x2112a442);
	assert_int_equal(stun_parse_request(message, sizeof(message), txid),
			 ERR_TOO_LARGE);
	/* All attributes are empty; one more than is allowed. */
	assert_int_equal(stun_parse_request(message, 200, txid),
			 ERR_TOO_LARGE);
	be_store(message + 2, 4 * STUN_ATTRIBUTES_CAP, 2);
	assert_int_equal(stun_parse_request(message, 200, txid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_is_the_vector),
		cmocka_unit_test(test_responses_are_the_vectors),
		cmocka_unit_test(test_rfc_5769),
		cmocka_unit_test(test_fallback_to_mapped_address),
		cmocka_unit_test(test_bad_responses),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
