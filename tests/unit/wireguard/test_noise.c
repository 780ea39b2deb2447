/*
 * A whole handshake with fixed keys, byte for byte. The messages come from a
 * reference written for this in Python (hashlib, hmac, cryptography) after
 * the white paper; the same code speaks with wireguard-go.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "core/tailnet/wireguard/cookie.h"
#include "core/tailnet/wireguard/noise.h"

static const char initiation_hex[] =
	"01000000040302017b0d47d93427f8311160781c7c733fd89f88970aef49"
	"0d8aa0ee19a4cb8a1b1481e498317da959fba46669572516a5e6c021bfa6"
	"20bb6c56ca0082e1feae14988c2c64d024c617734a263f76a008df04d0f9"
	"4bad8ee75ec8e4c2695598baaff7c562e307cd8cd549e6bb78f0d8dcab80"
	"3522717136fe97921747e0e600000000000000000000000000000000";
static const char response_hex[] =
	"020000000d0c0b0a04030201ff2ee45601ec1b67310c7790404585ae6973"
	"31eee1c1f8cf2419731c1fff3e6ba6bfa361f999b2d6cd62e7b3973343ad"
	"bae3eba522d3f5df1fb1b3afb85261450000000000000000000000000000"
	"0000";
static const char send_hex[] =
	"e07b709efbfd0361a08a9de658ceb3847d648c207ed71d4dbdfe248bef23"
	"a651";
static const char receive_hex[] =
	"f76ba55a113d83abf16240859ca361a9017ae9fbac0b4aa43179112c40e0"
	"163f";

/* Gives the byte in `seed`: an ephemeral key of that byte alone. */
static void same_bytes(struct rng *rng, uint8_t *out, size_t len)
{
	memset(out, (int)rng->seed, len);
}

struct parties {
	struct wg_identity initiator;
	struct wg_identity responder;
	struct key32 static_static;
	struct wg_stamp stamp;
	struct wg_mac mac;
};

static void identity(struct wg_identity *out, uint8_t byte)
{
	struct rng rng = { .bytes = same_bytes, .seed = byte };

	key_private(&rng, &out->private_key);
	key_public(&out->private_key, &out->public_key);
}

static void parties_init(struct parties *p)
{
	assert_int_equal(wg_crypto_init(), 0);
	assert_int_equal(wg_mac_init(&p->mac), 0);
	identity(&p->initiator, 0x11);
	identity(&p->responder, 0x22);
	assert_int_equal(wg_dh(&p->static_static, &p->initiator.private_key,
			       p->responder.public_key.bytes), 0);
	p->stamp = (struct wg_stamp){ { 0 } };
	wg_stamp_next(&p->stamp, 1700000000ll * 1000000 + 90000);
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
	char text[2 * WG_INITIATION_LEN + 1];

	hex_encode(bytes, len, text);
	assert_string_equal(text, hex);
}

static void initiate(struct parties *p, struct wg_handshake *handshake,
		     uint8_t out[WG_INITIATION_LEN])
{
	struct rng rng = { .bytes = same_bytes, .seed = 0x33 };
	struct wg_cookie_maker maker;

	assert_int_equal(wg_initiation_write(handshake, &p->initiator,
					     &p->responder.public_key,
					     &p->static_static, &p->stamp,
					     &rng, 0x01020304, out), 0);
	wg_cookie_maker_init(&maker, &p->responder.public_key);
	wg_cookie_add_macs(&maker, &p->mac, out, WG_INITIATION_LEN, 0);
}

static void respond(struct parties *p, const uint8_t *initiation,
		    struct wg_incoming *incoming,
		    uint8_t out[WG_RESPONSE_LEN])
{
	struct rng rng = { .bytes = same_bytes, .seed = 0x44 };
	struct wg_cookie_maker maker;

	assert_int_equal(wg_initiation_read(incoming, &p->responder,
					    initiation), 0);
	assert_true(key_equal(&incoming->remote_static,
			      &p->initiator.public_key));
	assert_int_equal(wg_initiation_finish(incoming, &p->static_static,
					      initiation), 0);
	assert_memory_equal(&incoming->stamp, &p->stamp, sizeof(p->stamp));
	assert_int_equal(incoming->remote_index, 0x01020304);
	assert_int_equal(wg_response_write(incoming, &rng, 0x0a0b0c0d, out),
			 0);
	wg_cookie_maker_init(&maker, &p->initiator.public_key);
	wg_cookie_add_macs(&maker, &p->mac, out, WG_RESPONSE_LEN, 0);
}

static void the_handshake_is_the_references(void **state)
{
	struct parties p;
	struct wg_handshake handshake;
	struct wg_incoming incoming;
	struct wg_noise noise;
	struct key32 send;
	struct key32 receive;
	uint8_t initiation[WG_INITIATION_LEN];
	uint8_t response[WG_RESPONSE_LEN];

	(void)state;
	parties_init(&p);
	initiate(&p, &handshake, initiation);
	assert_hex(initiation, sizeof(initiation), initiation_hex);
	respond(&p, initiation, &incoming, response);
	assert_hex(response, sizeof(response), response_hex);
	assert_int_equal(wg_response_read(&handshake, &p.initiator, response,
					  &noise), 0);
	wg_noise_split(&noise, true, &send, &receive);
	assert_hex(send.bytes, 32, send_hex);
	assert_hex(receive.bytes, 32, receive_hex);
	wg_noise_split(&incoming.noise, false, &send, &receive);
	assert_hex(send.bytes, 32, receive_hex);
	assert_hex(receive.bytes, 32, send_hex);
	wg_mac_clear(&p.mac);
}

/* Only the peer that was meant can read either message. */
static void the_wrong_party_reads_nothing(void **state)
{
	struct parties p;
	struct wg_handshake handshake;
	struct wg_incoming incoming;
	struct wg_noise noise;
	struct wg_identity other;
	uint8_t initiation[WG_INITIATION_LEN];
	uint8_t response[WG_RESPONSE_LEN];

	(void)state;
	parties_init(&p);
	identity(&other, 0x55);
	initiate(&p, &handshake, initiation);
	assert_true(wg_initiation_read(&incoming, &other, initiation) < 0);
	assert_int_equal(wg_initiation_read(&incoming, &p.responder,
					    initiation), 0);
	assert_true(wg_initiation_finish(&incoming, &other.private_key,
					 initiation) < 0);
	respond(&p, initiation, &incoming, response);
	assert_true(wg_response_read(&handshake, &other, response, &noise) <
		    0);
	/* And a failed try leaves the handshake as it was. */
	assert_int_equal(wg_response_read(&handshake, &p.initiator, response,
					  &noise), 0);
	wg_mac_clear(&p.mac);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_handshake_is_the_references),
		cmocka_unit_test(the_wrong_party_reads_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
