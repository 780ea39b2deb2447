#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/link/nat.h"

#define SEED 7
#define PACKET_LEN 45

static struct rng rng;
static struct nat nat;
static struct endpoint inside, server, other_port, other_address, public;

static struct endpoint place(const char *text)
{
	struct endpoint e;

	assert_true(endpoint_parse(text, &e));
	return e;
}

static int setup(void **state)
{
	(void)state;
	rng_seeded(&rng, SEED);
	nat_init(&nat, &rng);
	inside = place("192.168.1.2:5000");
	server = place("203.0.113.10:3478");
	other_port = place("203.0.113.10:3479");
	other_address = place("203.0.113.11:3478");
	public = place("203.0.113.1:1");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	nat_clear(&nat);
	return 0;
}

static uint16_t sum(const uint8_t *at, size_t len, uint32_t start)
{
	uint32_t total = start;

	for (size_t i = 0; i < len; i += 2)
		total += (uint32_t)(at[i] << 8) +
			(i + 1 < len ? at[i + 1] : 0u);
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)total;
}

static uint32_t pseudo_header(const uint8_t *packet)
{
	return sum(packet + 12, 8, packet[9] + (PACKET_LEN - 20u));
}

static void put(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* A packet with 40 bytes of headers, or a UDP datagram of odd length. */
static void make(uint8_t packet[PACKET_LEN], uint8_t protocol,
		 const struct endpoint *from, const struct endpoint *to)
{
	size_t checksum = protocol == FLOW_UDP ? 26 : 36;

	memset(packet, 0x5a, PACKET_LEN);
	memcpy(packet, "\x45\0\0\x2d\0\0\0\0\x40", 9);
	packet[9] = protocol;
	put(packet + 10, 0);
	memcpy(packet + 12, from->address + 12, 4);
	memcpy(packet + 16, to->address + 12, 4);
	put(packet + 10, (uint16_t)~sum(packet, 20, 0));
	put(packet + 20, from->port);
	put(packet + 22, to->port);
	put(packet + checksum, 0);
	put(packet + checksum, (uint16_t)~sum(packet + 20, PACKET_LEN - 20,
					      pseudo_header(packet)));
}

static void assert_sums(const uint8_t *packet)
{
	assert_int_equal(sum(packet, 20, 0), 0xffff);
	assert_int_equal(sum(packet + 20, PACKET_LEN - 20,
			     pseudo_header(packet)), 0xffff);
}

/* The public endpoint from which a packet leaves. */
static struct endpoint out(uint8_t protocol, const struct endpoint *to)
{
	uint8_t packet[PACKET_LEN];
	struct flow flow;

	make(packet, protocol, &inside, to);
	assert_true(flow_read(packet, sizeof(packet), &flow));
	assert_true(endpoint_equal(&flow.source, &inside));
	assert_true(nat_out(&nat, packet, &flow));
	assert_sums(packet);
	assert_true(flow_read(packet, sizeof(packet), &flow));
	assert_true(endpoint_equal(&flow.destination, to));
	return flow.source;
}

static bool in(uint8_t protocol, const struct endpoint *from,
	       const struct endpoint *to)
{
	uint8_t packet[PACKET_LEN];
	struct flow flow;

	make(packet, protocol, from, to);
	assert_true(flow_read(packet, sizeof(packet), &flow));
	if (!nat_in(&nat, packet, &flow))
		return false;
	assert_sums(packet);
	assert_true(flow_read(packet, sizeof(packet), &flow));
	assert_true(endpoint_equal(&flow.destination, &inside));
	assert_true(endpoint_equal(&flow.source, from));
	return true;
}

/* What answers through the mapping made by a packet to `server`. */
static void filters(enum nat_kind kind, uint8_t protocol, bool same_address,
		    bool anyone)
{
	struct endpoint mapped;

	nat_set(&nat, kind, public.address);
	mapped = out(protocol, &server);
	assert_memory_equal(mapped.address, public.address, 16);
	assert_true(in(protocol, &server, &mapped));
	assert_int_equal(in(protocol, &other_port, &mapped), same_address);
	assert_int_equal(in(protocol, &other_address, &mapped), anyone);
	mapped.port ^= 1;
	assert_false(in(protocol, &server, &mapped));
}

static void each_kind_filters(void **state)
{
	(void)state;
	filters(NAT_EASY, FLOW_UDP, true, true);
	filters(NAT_ADDRESS, FLOW_UDP, true, false);
	filters(NAT_PORT, FLOW_UDP, false, false);
	filters(NAT_HARD, FLOW_UDP, false, false);
	filters(NAT_EASY, FLOW_TCP, false, false);
	filters(NAT_HARD, FLOW_TCP, false, false);
}

static void only_hard_maps_by_the_other_end(void **state)
{
	struct endpoint a, b;

	(void)state;
	for (enum nat_kind kind = NAT_EASY; kind <= NAT_HARD; kind++) {
		nat_set(&nat, kind, public.address);
		a = out(FLOW_UDP, &server);
		b = out(FLOW_UDP, &other_port);
		assert_int_equal(endpoint_equal(&a, &b), kind != NAT_HARD);
		b = out(FLOW_UDP, &server);
		assert_true(endpoint_equal(&a, &b));
	}
}

static void forgets(void **state)
{
	struct endpoint mapped;

	(void)state;
	nat_set(&nat, NAT_EASY, public.address);
	mapped = out(FLOW_UDP, &server);
	nat_forget(&nat);
	assert_false(in(FLOW_UDP, &server, &mapped));
}

static void no_hairpin_and_no_fragments(void **state)
{
	uint8_t packet[PACKET_LEN];
	struct flow flow;

	(void)state;
	nat_set(&nat, NAT_EASY, public.address);
	make(packet, FLOW_UDP, &inside, &public);
	assert_true(flow_read(packet, sizeof(packet), &flow));
	assert_false(nat_out(&nat, packet, &flow));
	make(packet, FLOW_UDP, &inside, &server);
	packet[6] = 0x20;
	assert_true(flow_read(packet, sizeof(packet), &flow));
	assert_false(nat_out(&nat, packet, &flow));
}

static void mappings_are_capped(void **state)
{
	(void)state;
	nat_set(&nat, NAT_EASY, public.address);
	for (int i = 0; i < NAT_MAPPING_CAP + 10; i++) {
		inside.port = (uint16_t)(1000 + i);
		out(FLOW_UDP, &server);
	}
	assert_int_equal(nat.len, NAT_MAPPING_CAP);
}

static void no_packet_is_read_past_its_end(void **state)
{
	uint8_t packet[PACKET_LEN];
	struct flow flow;

	(void)state;
	make(packet, FLOW_TCP, &inside, &server);
	for (size_t len = 0; len < 40; len++)
		assert_false(flow_read(packet, len, &flow));
	assert_true(flow_read(packet, 40, &flow));
	packet[0] = 0x4f;
	assert_false(flow_read(packet, sizeof(packet), &flow));
	packet[0] = 0x60;
	assert_true(flow_read(packet, 40, &flow));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_kind_filters, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			only_hard_maps_by_the_other_end, setup, teardown),
		cmocka_unit_test_setup_teardown(forgets, setup, teardown),
		cmocka_unit_test_setup_teardown(no_hairpin_and_no_fragments,
						setup, teardown),
		cmocka_unit_test_setup_teardown(mappings_are_capped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(no_packet_is_read_past_its_end,
						setup, teardown),
	};

	print_message("seed %d\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
