/*
 * The machine's addresses, and news of their changes: a netlink socket while
 * somebody listens, and a look at how long the machine has slept (the boot
 * clock runs in sleep, the monotonic one does not). Nothing ticks but one
 * timer every 5 s while there are listeners.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/io/internal.h"

#define SETTLE_US (250 * US_PER_MS)	/* news come in bursts */
#define SLEEP_LOOK_US (5 * US_PER_S)
#define SLEEP_US (2 * US_PER_S)		/* less is no sleep */

static struct io *self(struct network *network)
{
	return container_of(network, struct io, network);
}

/* --- addresses -------------------------------------------------------- */

static bool is_link_local(const struct endpoint *endpoint)
{
	const uint8_t *a = endpoint->address;

	if (endpoint_is_ipv4(endpoint))
		return a[12] == 169 && a[13] == 254;
	return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}

/* Those of a tailnet lead back into a tunnel. */
static bool is_tailnet(const struct endpoint *endpoint, const char *interface)
{
	static const uint8_t prefix[6] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 };
	const uint8_t *a = endpoint->address;

	if (!endpoint_is_ipv4(endpoint))
		return memcmp(a, prefix, sizeof(prefix)) == 0;
	return a[12] == 100 && (a[13] & 0xc0) == 64 &&
	       strncmp(interface, "tailscale", 9) == 0;
}

static bool is_useful(const struct ifaddrs *entry, bool loopback,
		      struct endpoint *out)
{
	bool is_loopback = entry->ifa_flags & IFF_LOOPBACK;

	if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP) ||
	    is_loopback != loopback ||
	    !endpoint_from_sockaddr(entry->ifa_addr, out))
		return false;
	out->port = 0;
	return !is_link_local(out) && !is_tailnet(out, entry->ifa_name);
}

static size_t collect(const struct ifaddrs *all, bool loopback,
		      struct endpoint *out, size_t cap)
{
	size_t count = 0;

	for (; all && count < cap; all = all->ifa_next)
		if (is_useful(all, loopback, &out[count]))
			count++;
	return count;
}

size_t io_local_addresses(struct network *network, struct endpoint *out,
			  size_t cap)
{
	struct ifaddrs *all = NULL;
	size_t count;

	(void)network;
	if (getifaddrs(&all) < 0)
		return 0;
	count = collect(all, false, out, cap);
	if (count == 0)
		count = collect(all, true, out, cap);
	freeifaddrs(all);
	return count;
}

/* --- changes ---------------------------------------------------------- */

static uint64_t slept_us(void)
{
	struct timespec boot, mono;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return (uint64_t)(boot.tv_sec - mono.tv_sec) * US_PER_S +
	       (uint64_t)(boot.tv_nsec / 1000) -
	       (uint64_t)(mono.tv_nsec / 1000);
}

static void tell(struct timer *timer)
{
	struct io *io = timer->user;

	io->telling = true;
	network_monitors_tell(&io->monitors);
	io->telling = false;
	if (list_empty(&io->monitors))
		io_monitor_stop(io);
}

static void look_for_sleep(struct timer *timer)
{
	struct io *io = timer->user;
	uint64_t slept = slept_us();

	if (slept > io->slept_us + SLEEP_US)
		timer_set(&io->loop, &io->settle, loop_now_us(&io->loop));
	io->slept_us = slept;
	timer_set(&io->loop, &io->sleep_look,
		  loop_now_us(&io->loop) + SLEEP_LOOK_US);
}

/* What it says is not read: the addresses are asked for anew. */
static void on_netlink(struct watcher *watcher, unsigned events)
{
	struct io *io = watcher->user;
	char bytes[8192];
	bool news = false;

	(void)events;
	while (recv(watcher->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0 ||
	       errno == ENOBUFS)
		news = true;
	if (news && !timer_active(&io->settle))
		timer_set(&io->loop, &io->settle,
			  loop_now_us(&io->loop) + SETTLE_US);
}

static int open_netlink(struct io *io)
{
	struct sockaddr_nl address = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
			     RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			     RTMGRP_IPV6_ROUTE,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_ROUTE);
	int err;

	if (fd < 0)
		return err_from_errno(errno);
	io->netlink = (struct watcher){
		.fd = fd, .ready = on_netlink, .user = io,
	};
	err = bind(fd, (const void *)&address, sizeof(address)) < 0 ?
		      err_from_errno(errno) :
		      watcher_set(&io->loop, &io->netlink, WATCH_READ);
	if (err < 0)
		close(fd);
	return err;
}

void io_monitor_stop(struct io *io)
{
	if (!io->monitoring)
		return;
	io->monitoring = false;
	timer_stop(&io->loop, &io->settle);
	timer_stop(&io->loop, &io->sleep_look);
	watcher_stop(&io->loop, &io->netlink);
	close(io->netlink.fd);
}

static int start(struct io *io)
{
	int err = open_netlink(io);

	if (err < 0)
		return err;
	io->monitoring = true;
	io->settle = (struct timer){ .fire = tell, .user = io };
	io->sleep_look = (struct timer){ .fire = look_for_sleep, .user = io };
	io->slept_us = slept_us();
	timer_set(&io->loop, &io->sleep_look,
		  loop_now_us(&io->loop) + SLEEP_LOOK_US);
	return 0;
}

int io_monitor_add(struct network *network, struct network_monitor *monitor)
{
	struct io *io = self(network);
	int err = io->monitoring ? 0 : start(io);

	if (err < 0)
		return err;
	list_add_tail(&io->monitors, &monitor->link);
	return 0;
}

void io_monitor_remove(struct network *network,
		       struct network_monitor *monitor)
{
	struct io *io = self(network);

	list_remove(&monitor->link);
	if (list_empty(&io->monitors) && !io->telling)
		io_monitor_stop(io);
}
