#include "tests/link/side.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE "link0"
/* Long enough that what is lost is lost by a lane's rules. */
#define DEVICE_QUEUE 20000
#define COMMANDS_CAP 1024

static int tun_open(void)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	strcpy(request.ifr_name, DEVICE);
	if (ioctl(fd, TUNSETIFF, &request)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Runs `ip` in the namespace that this process is in. */
static const char *ip_batch(const char *commands)
{
	FILE *ip = popen("ip -batch - >&2", "we");

	if (!ip)
		return "cannot run ip";
	fputs(commands, ip);
	return pclose(ip) ? "ip failed" : NULL;
}

/* Reads the addresses and writes ip's commands that set them. */
static const char *set_addresses(struct side *side, char *const *addresses,
				 size_t len, char commands[COMMANDS_CAP])
{
	struct endpoint e;
	char text[ENDPOINT_TEXT_CAP];
	size_t at = strlen(commands);

	if (!len || len > SIDE_ADDRESS_CAP)
		return "too few or too many addresses";
	for (size_t i = 0; i < len; i++) {
		bool v6 = strchr(addresses[i], ':');

		snprintf(text, sizeof(text), v6 ? "[%.*s]:1" : "%.*s:1",
			 (int)strcspn(addresses[i], "/"), addresses[i]);
		if (!endpoint_parse(text, &e))
			return "not an address";
		memcpy(side->addresses[i], e.address, 16);
		at += (size_t)snprintf(commands + at, COMMANDS_CAP - at,
			"addr add %.50s dev " DEVICE "%s\n"
			"route replace %s dev " DEVICE "\n",
			addresses[i], v6 ? " nodad" : "", v6 ? "::/0" : "0.0.0.0/0");
	}
	side->addresses_len = len;
	return NULL;
}

static const char *in_new_namespace(struct side *side, char *const *addresses,
				    size_t len)
{
	char commands[COMMANDS_CAP];
	const char *why;

	side->namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (side->namespace < 0)
		return "cannot open the namespace";
	side->tun = tun_open();
	if (side->tun < 0)
		return "cannot open a TUN device";
	snprintf(commands, sizeof(commands),
		 "link set lo up\nlink set " DEVICE " mtu 1500 txqueuelen %d up\n",
		 DEVICE_QUEUE);
	why = set_addresses(side, addresses, len, commands);
	return why ? why : ip_batch(commands);
}

/* Back where this process was; without that it could do nothing right. */
static const char *leave(int own, const char *why)
{
	if (setns(own, CLONE_NEWNET) && !why)
		why = "cannot come back from the namespace";
	close(own);
	return why;
}

const char *side_open(struct side *side, const char *name,
		      char *const *addresses, size_t len, struct rng *rng)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	const char *why;

	memset(side, 0, sizeof(*side));
	snprintf(side->name, sizeof(side->name), "%s", name);
	side->namespace = -1;
	side->tun = -1;
	nat_init(&side->nat, rng);
	lane_init(&side->up, rng);
	lane_init(&side->down, rng);
	if (own < 0 || unshare(CLONE_NEWNET)) {
		if (own >= 0)
			close(own);
		side_close(side);
		return "cannot make a network namespace";
	}
	why = leave(own, in_new_namespace(side, addresses, len));
	if (why)
		side_close(side);
	return why;
}

const char *side_readdress(struct side *side, char *const *addresses,
			   size_t len)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	char commands[COMMANDS_CAP] = "addr flush dev " DEVICE "\n";
	const char *why;

	if (own < 0)
		return "cannot open the namespace";
	if (setns(side->namespace, CLONE_NEWNET)) {
		close(own);
		return "cannot enter the namespace";
	}
	why = set_addresses(side, addresses, len, commands);
	return leave(own, why ? why : ip_batch(commands));
}

void side_close(struct side *side)
{
	if (side->tun >= 0)
		close(side->tun);
	if (side->namespace >= 0)
		close(side->namespace);
	nat_clear(&side->nat);
}

bool side_owns(const struct side *side, const struct endpoint *destination)
{
	if (side->nat.kind != NAT_NONE && endpoint_is_ipv4(destination))
		return !memcmp(destination->address, side->nat.public, 16);
	for (size_t i = 0; i < side->addresses_len; i++)
		if (!memcmp(destination->address, side->addresses[i], 16))
			return true;
	return false;
}
