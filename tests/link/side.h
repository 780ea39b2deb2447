/*
 * tests/link/side.h: one side of the link: a network namespace of its own
 * with a TUN device as its only way out.
 *
 * The namespace has no name in the file system: it lives as long as the link
 * or a process in it, so nothing is left behind however the link ends. Enter
 * it by `nsenter --net=/proc/PID/fd/N`. Needs root, /dev/net/tun and `ip`.
 */
#ifndef TUNNELHOST_TESTS_LINK_SIDE_H
#define TUNNELHOST_TESTS_LINK_SIDE_H

#include "tests/link/lane.h"
#include "tests/link/nat.h"

#define SIDE_NAME_CAP 32
#define SIDE_ADDRESS_CAP 4

struct side {
	char name[SIDE_NAME_CAP];
	int namespace;
	int tun;
	uint8_t addresses[SIDE_ADDRESS_CAP][16];
	size_t addresses_len;
	bool tcp_blocked;
	bool udp_blocked;
	struct nat nat;
	struct lane up;		/* out of the namespace */
	struct lane down;
};

/*
 * `addresses` are ADDRESS/LEN. NULL, or what failed (errno says more); the
 * side is then closed. All of it needs side_close().
 */
const char *side_open(struct side *side, const char *name,
		      char *const *addresses, size_t len, struct rng *rng);
void side_close(struct side *side);
/* Takes the addresses away and gives these. NULL, or what failed. */
const char *side_readdress(struct side *side, char *const *addresses,
			   size_t len);
/* Whether packets to this address go to this side. */
bool side_owns(const struct side *side, const struct endpoint *destination);

#endif
