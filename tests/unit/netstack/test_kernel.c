/*
 * Against the Linux kernel's TCP, through a TUN in a network namespace of
 * its own. Skipped, with a message, where that is not allowed. Time is real
 * here because the kernel's is: each test takes about a second.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "core/netstack/netstack.h"

#define MTU 1280
#define LIMIT_US (60 * US_PER_S)

struct kernel {
	int tun;
	struct ns *ns;
	struct rng rng;
	struct rng dice;
	unsigned loss;		/* percent, each way */
	uint64_t dropped;
	/* The two ends of the connection under test. */
	struct stream *stream;
	int fd;
	const uint8_t *data;
	size_t len;
	size_t sent[2];		/* [0] by us, [1] by the kernel */
	size_t got[2];		/* [0] by us, [1] by the kernel */
	bool ended[2];
	uint8_t *sink[2];
};

static const uint8_t ours[1][NS_ADDRESS_LEN] = { { 0xfd, [15] = 1 } };
static const uint8_t theirs[NS_ADDRESS_LEN] = { 0xfd, [15] = 2 };

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

static int open_tun(void)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	if (fd < 0)
		return -1;
	strcpy(request.ifr_name, "th0");
	if (ioctl(fd, TUNSETIFF, &request) < 0 ||
	    system("ip link set th0 mtu 1280 up 2>/dev/null && "
		   "ip -6 addr add fd00::2/64 dev th0 nodad 2>/dev/null")) {
		close(fd);
		return -1;
	}
	return fd;
}

static int set_up(void **state)
{
	struct kernel *k = calloc(1, sizeof(*k));

	*state = k;
	k->tun = -1;
	k->fd = -1;
	if (unshare(CLONE_NEWNET) == 0)
		k->tun = open_tun();
	if (k->tun < 0)
		print_message("no TUN in a namespace here: skipped\n");
	return 0;
}

static int tear_down(void **state)
{
	struct kernel *k = *state;

	if (k->tun >= 0)
		close(k->tun);
	free(k);
	return 0;
}

static void begin(struct kernel *k, size_t len, unsigned loss)
{
	struct ns_config config = {
		.addresses = ours, .address_count = 1, .rng = &k->rng,
		.verify_checksums = true,
	};
	uint8_t *data;

	if (k->tun < 0)
		skip();
	data = malloc(len);
	rng_system(&k->rng);
	rng_seeded(&k->dice, 42);
	rng_bytes(&k->dice, data, len);
	k->data = data;
	k->len = len;
	k->loss = loss;
	k->dropped = 0;
	memset(k->sent, 0, sizeof(k->sent));
	memset(k->got, 0, sizeof(k->got));
	memset(k->ended, 0, sizeof(k->ended));
	for (int i = 0; i < 2; i++)
		k->sink[i] = malloc(len + 1);
	k->stream = NULL;
	assert_int_equal(ns_new(&config, &k->ns), 0);
}

static void finish(struct kernel *k)
{
	if (k->stream)
		stream_close(k->stream, true);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	ns_free(k->ns);
	free((void *)(uintptr_t)k->data);
	free(k->sink[0]);
	free(k->sink[1]);
}

static bool lose(struct kernel *k)
{
	bool lost = k->loss && rng_below(&k->dice, 100) < k->loss;

	k->dropped += lost;
	return lost;
}

static void packets(struct kernel *k)
{
	uint8_t packet[MTU];
	ssize_t n;
	size_t len;

	for (int i = 0; i < 64; i++) {
		n = read(k->tun, packet, sizeof(packet));
		if (n <= 0)
			break;
		if (!lose(k))
			ns_in(k->ns, packet, (size_t)n, now_us());
	}
	ns_tick(k->ns, now_us());
	ns_dispatch(k->ns);
	for (int i = 0; i < 64; i++) {
		len = ns_out(k->ns, packet, sizeof(packet), now_us());
		if (!len)
			break;
		if (!lose(k))
			assert_int_equal(write(k->tun, packet, len), len);
	}
}

static void our_side(struct kernel *k)
{
	const uint8_t *data;
	ssize_t n;

	if (!k->stream)
		return;
	while ((n = stream_peek(k->stream, &data)) > 0) {
		assert_true(k->got[0] + (size_t)n <= k->len);
		memcpy(k->sink[0] + k->got[0], data, (size_t)n);
		k->got[0] += (size_t)n;
		stream_consume(k->stream, (size_t)n);
	}
	if (n == 0)
		k->ended[0] = true;
	else
		assert_int_equal(n, ERR_AGAIN);
	if (k->sent[0] == k->len)
		return;
	n = stream_write(k->stream, k->data + k->sent[0], k->len - k->sent[0]);
	if (n > 0)
		k->sent[0] += (size_t)n;
	if (k->sent[0] == k->len)
		assert_int_equal(stream_shutdown(k->stream), 0);
}

static void their_side(struct kernel *k)
{
	ssize_t n;

	if (k->fd < 0)
		return;
	while ((n = read(k->fd, k->sink[1] + k->got[1],
			 k->len + 1 - k->got[1])) > 0)
		k->got[1] += (size_t)n;
	if (n == 0)
		k->ended[1] = true;
	if (k->sent[1] == k->len)
		return;
	n = write(k->fd, k->data + k->sent[1], k->len - k->sent[1]);
	if (n > 0)
		k->sent[1] += (size_t)n;
	if (k->sent[1] == k->len)
		assert_int_equal(shutdown(k->fd, SHUT_WR), 0);
}

static void turn(struct kernel *k)
{
	struct pollfd fd = { .fd = k->tun, .events = POLLIN };

	poll(&fd, 1, 1);
	packets(k);
	our_side(k);
	their_side(k);
}

static void transfer(struct kernel *k)
{
	uint64_t start = now_us();
	struct ns_stats stats;

	while (!(k->ended[0] && k->ended[1])) {
		turn(k);
		if (now_us() - start > LIMIT_US)
			fail_msg("stuck: %zu %zu of %zu", k->got[0],
				 k->got[1], k->len);
	}
	ns_get_stats(k->ns, &stats);
	print_message("%zu bytes each way in %llu ms, %llu lost, %llu "
		      "retransmits, %llu timeouts\n", k->len,
		      (unsigned long long)(now_us() - start) / 1000,
		      (unsigned long long)k->dropped,
		      (unsigned long long)stats.retransmits,
		      (unsigned long long)stats.timeouts);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(k->got[i], k->len);
		assert_memory_equal(k->sink[i], k->data, k->len);
	}
	assert_int_equal(stats.drop_checksum, 0);
	assert_int_equal(stats.drop_malformed, 0);
}

static struct sockaddr_in6 address(const uint8_t *bytes, uint16_t port)
{
	struct sockaddr_in6 a = {
		.sin6_family = AF_INET6, .sin6_port = htons(port),
	};

	memcpy(&a.sin6_addr, bytes, NS_ADDRESS_LEN);
	return a;
}

static int listen_kernel(uint16_t port)
{
	struct sockaddr_in6 a = address(theirs, port);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void we_connect(struct kernel *k, uint16_t port)
{
	int listener = listen_kernel(port);
	uint64_t start = now_us();

	assert_int_equal(ns_connect(k->ns, theirs, port, now_us(),
				    &k->stream), 0);
	while (k->fd < 0 && now_us() - start < LIMIT_US) {
		turn(k);
		k->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	close(listener);
	assert_true(k->fd >= 0);
}

static void accepted(void *user, struct stream *stream, uint16_t port)
{
	struct kernel *k = user;

	(void)port;
	k->stream = stream;
}

static void test_we_connect(void **state)
{
	struct kernel *k = *state;

	begin(k, 8 << 20, 0);
	we_connect(k, 7001);
	transfer(k);
	finish(k);
}

static void test_kernel_connects(void **state)
{
	struct kernel *k = *state;
	struct sockaddr_in6 a = address(ours[0], 7002);
	struct ns_listener *listener;

	begin(k, 8 << 20, 0);
	assert_int_equal(ns_listen(k->ns, 7002, 0, accepted, k, &listener), 0);
	k->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(k->fd, (struct sockaddr *)&a, sizeof(a));
	transfer(k);
	finish(k);
}

static void test_loss(void **state)
{
	struct kernel *k = *state;

	begin(k, 1 << 20, 3);
	we_connect(k, 7003);
	transfer(k);
	assert_true(k->dropped > 0);
	finish(k);
}

static void test_refused(void **state)
{
	struct kernel *k = *state;
	uint64_t start = now_us();

	begin(k, 1, 0);
	assert_int_equal(ns_connect(k->ns, theirs, 7004, now_us(),
				    &k->stream), 0);
	while (ns_stream_state(k->stream) == ERR_AGAIN &&
	       now_us() - start < LIMIT_US)
		packets(k);
	assert_int_equal(ns_stream_state(k->stream), ERR_REFUSED);
	finish(k);
}

/* The kernel aborts: our reader hears of it. */
static void test_kernel_resets(void **state)
{
	struct kernel *k = *state;
	struct linger linger = { .l_onoff = 1 };
	uint64_t start = now_us();

	begin(k, 1, 0);
	k->sent[0] = 1;
	k->sent[1] = 1;
	we_connect(k, 7005);
	setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(k->fd);
	k->fd = -1;
	while (ns_stream_state(k->stream) == 0 && now_us() - start < LIMIT_US)
		packets(k);
	assert_int_equal(ns_stream_state(k->stream), ERR_RESET);
	finish(k);
}

static void on_ping(void *user, int err, uint64_t latency_us)
{
	int *result = user;

	(void)latency_us;
	*result = err;
}

static int ping_once(struct kernel *k)
{
	int result = 1;

	assert_int_equal(ns_ping(k->ns, theirs, US_PER_S, now_us(), on_ping,
				 &result), 0);
	while (result == 1)
		packets(k);
	return result;
}

/* The kernel may take a moment to see that its new device is up. */
static void test_ping(void **state)
{
	struct kernel *k = *state;
	int result = ERR_TIMEOUT;

	begin(k, 1, 0);
	for (int i = 0; i < 10 && result == ERR_TIMEOUT; i++)
		result = ping_once(k);
	assert_int_equal(result, 0);
	finish(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_we_connect),
		cmocka_unit_test(test_kernel_connects),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_kernel_resets),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
