/*
 * UDP in batches. One socket: IPv6 that also takes IPv4, or IPv4 alone where
 * it was asked for or there is no IPv6. Outside, an IPv4 address is an
 * AF_INET one; the mapped form stays in here. With UDP_GRO the kernel hands
 * up a run of datagrams as one; with UDP_SEGMENT it cuts one write into
 * many; where it cannot, sendmmsg() does.
 *
 * What the kernel says no to is lost, as on the way, and never ends the
 * socket: a full buffer (ERR_AGAIN) costs what of this call has not been
 * taken yet, nothing that was taken before and nothing that comes later. An
 * ICMP message about one destination is no error of the socket's.
 *
 * Fragments are left to the kernel's rule (IP_PMTUDISC_WANT): it sends with
 * "don't fragment" until a router says that a path is narrower, and cuts for
 * that path alone. Forbidden at all, such a path would be lost for good.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/io/internal.h"
#include "core/io/resolve.h"

#define READS_A_TURN 16	/* few of them are full under GRO */
#define SEGMENTS_CAP 64			/* UDP_MAX_SEGMENTS of the kernel */
#define BATCH_CAP 65000u		/* bytes in one write */
/*
 * 7 MiB, as magicsock asks for, were tried: what then waits in the kernel
 * made the change to a relay, with UDP blocked under load, 2 s slower.
 */
#define SOCKET_BUFFER (4 << 20)

struct udp {
	struct datagram datagram;
	struct io_object object;
	struct io *io;
	struct watcher watcher;
	bool mapped;			/* an IPv6 socket that takes IPv4 */
	bool no_segments;		/* the kernel or device has none */
	const struct datagram_events *events;
	void *user;
	bool *closed;			/* told to a running read loop */
};

static void udp_free(struct udp *u)
{
	if (u->closed)
		*u->closed = true;
	watcher_stop(&u->io->loop, &u->watcher);
	io_object_remove(&u->object);
	if (u->watcher.fd >= 0)
		close(u->watcher.fd);
	free(u);
}

static void destroy(struct io_object *object)
{
	udp_free(container_of(object, struct udp, object));
}

static void unmap(struct sockaddr_storage *address)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	memcpy(&v6, address, sizeof(v6));
	if (address->ss_family != AF_INET6 ||
	    !IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		return;
	v4.sin_port = v6.sin6_port;
	memcpy(&v4.sin_addr, v6.sin6_addr.s6_addr + 12, 4);
	memset(address, 0, sizeof(*address));
	memcpy(address, &v4, sizeof(v4));
}

static socklen_t map(const struct udp *u, const struct sockaddr *to,
		     struct sockaddr_storage *out)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	socklen_t len = address_len(to);

	memcpy(out, to, len);
	if (!u->mapped || to->sa_family != AF_INET)
		return len;
	memcpy(&v4, to, sizeof(v4));
	v6.sin6_port = v4.sin_port;
	v6.sin6_addr.s6_addr[10] = 0xff;
	v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(v6.sin6_addr.s6_addr + 12, &v4.sin_addr, 4);
	memcpy(out, &v6, sizeof(v6));
	return sizeof(v6);
}

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static size_t segment_of(struct msghdr *message, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c;
	     c = CMSG_NXTHDR(message, c)) {
		int segment;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&segment, CMSG_DATA(c), sizeof(segment));
		return segment > 0 ? (size_t)segment : len;
	}
	return len;
}

/* Whether there may be more. */
static bool read_batch(struct udp *u)
{
	struct sockaddr_storage from;
	struct iovec iov = { u->io->scratch, sizeof(u->io->scratch) };
	union control control;
	struct msghdr message = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(u->watcher.fd, &message, MSG_DONTWAIT);

	if (n < 0)
		return false;
	if (message.msg_flags & MSG_TRUNC)
		return true;
	unmap(&from);
	u->events->on_receive(u->user, (struct sockaddr *)&from,
			      (uint8_t *)u->io->scratch, (size_t)n,
			      segment_of(&message, (size_t)n));
	return true;
}

static void on_ready(struct watcher *watcher, unsigned events)
{
	struct udp *u = watcher->user;
	bool closed = false;

	(void)events;
	u->closed = &closed;
	for (int i = 0; i < READS_A_TURN; i++)
		if (!read_batch(u) || closed)
			break;
	if (!closed)
		u->closed = NULL;
}

static int send_segments(struct udp *u, struct sockaddr_storage *to,
			 socklen_t to_len, const uint8_t *data, size_t len,
			 size_t segment)
{
	struct iovec iov = { (void *)data, len };
	union control control = { .space = { 0 } };
	struct msghdr message = {
		.msg_name = to,
		.msg_namelen = to_len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	uint16_t size = (uint16_t)segment;

	if (len > segment) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(size));
		control.header.cmsg_level = SOL_UDP;
		control.header.cmsg_type = UDP_SEGMENT;
		control.header.cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(&control.header), &size, sizeof(size));
	}
	return sendmsg(u->watcher.fd, &message, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int send_one_by_one(struct udp *u, struct sockaddr_storage *to,
			   socklen_t to_len, const uint8_t *data, size_t len,
			   size_t segment)
{
	struct mmsghdr messages[SEGMENTS_CAP] = { 0 };
	struct iovec iov[SEGMENTS_CAP];
	unsigned count = 0, sent = 0;

	for (size_t at = 0; at < len; at += segment, count++) {
		size_t part = len - at < segment ? len - at : segment;

		iov[count] = (struct iovec){ (void *)(data + at), part };
		messages[count].msg_hdr = (struct msghdr){
			.msg_name = to,
			.msg_namelen = to_len,
			.msg_iov = &iov[count],
			.msg_iovlen = 1,
		};
	}
	while (sent < count) {
		int n = sendmmsg(u->watcher.fd, messages + sent, count - sent,
				 MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		sent += (unsigned)n;
	}
	return 0;
}

/*
 * EIO: the device computes no checksums, and will not later. EINVAL: the path
 * to this one destination is narrower than a segment.
 */
static bool lacks_segments(int err)
{
	return err == -EIO || err == -EOPNOTSUPP || err == -ENOPROTOOPT;
}

static int send_run(struct udp *u, struct sockaddr_storage *to,
		    socklen_t to_len, const uint8_t *data, size_t len,
		    size_t segment)
{
	int err = -EINVAL;

	if (len <= segment || !u->no_segments)
		err = send_segments(u, to, to_len, data, len, segment);
	if (len <= segment)
		return err;
	if (lacks_segments(err))
		u->no_segments = true;
	else if (err != -EINVAL)
		return err;
	return send_one_by_one(u, to, to_len, data, len, segment);
}

static int err_of_send(int number)
{
	if (number == ENOBUFS)		/* the device's queue is full */
		return ERR_AGAIN;
	if (number == EMSGSIZE)
		return ERR_TOO_LARGE;
	return err_from_errno(number);
}

static int udp_send(struct datagram *datagram, const struct sockaddr *to,
		    const void *data, size_t len, size_t segment)
{
	struct udp *u = container_of(datagram, struct udp, datagram);
	struct sockaddr_storage address;
	socklen_t address_size;
	const uint8_t *at = data;
	size_t run;
	int err = 0;

	if (to->sa_family != AF_INET && to->sa_family != AF_INET6)
		return ERR_MISUSE;
	address_size = map(u, to, &address);
	if (segment == 0 || segment > len)
		segment = len;
	if (segment > BATCH_CAP)
		return ERR_TOO_LARGE;
	if (len == 0)
		return err_of_send(-send_segments(u, &address, address_size,
						  data, 0, 0));
	run = BATCH_CAP / segment;
	run = (run < SEGMENTS_CAP ? run : SEGMENTS_CAP) * segment;
	while (err == 0 && len) {
		size_t part = len < run ? len : run;

		err = send_run(u, &address, address_size, at, part, segment);
		at += part;
		len -= part;
	}
	return err_of_send(-err);
}

static int udp_local(const struct datagram *datagram,
		     struct sockaddr_storage *out)
{
	const struct udp *u =
		container_of(datagram, const struct udp, datagram);
	socklen_t len = sizeof(*out);

	if (getsockname(u->watcher.fd, (struct sockaddr *)out, &len) < 0)
		return err_from_errno(errno);
	return 0;
}

static void udp_close(struct datagram *datagram)
{
	udp_free(container_of(datagram, struct udp, datagram));
}

static const struct datagram_ops ops = {
	.send = udp_send,
	.local = udp_local,
	.close = udp_close,
};

static void enlarge(int fd, int forced, int plain)
{
	int size = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size));
}

/* Older kernels would ignore the request, and send a run as one datagram. */
static bool has_segments(int fd)
{
	int size;
	socklen_t len = sizeof(size);

	return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &len) == 0;
}

static int bind_socket(struct udp *u, const struct sockaddr *to)
{
	int off = 0, on = 1;
	int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_NONBLOCK |
				SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_from_errno(errno);
	u->mapped = to->sa_family == AF_INET6 &&
		    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off,
			       sizeof(off)) == 0;
	if (bind(fd, to, address_len(to)) < 0) {
		int err = err_from_errno(errno);

		close(fd);
		return err;
	}
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	u->no_segments = !has_segments(fd);
	u->watcher.fd = fd;
	return 0;
}

/* All addresses of both families; those of IPv4 where there is no other. */
static int bind_all(struct udp *u, in_port_t port)
{
	const struct sockaddr_in6 any6 = {
		.sin6_family = AF_INET6, .sin6_port = port,
	};
	const struct sockaddr_in any4 = {
		.sin_family = AF_INET, .sin_port = port,
	};
	int err = bind_socket(u, (const struct sockaddr *)&any6);

	if (err < 0 && err != ERR_CONFLICT)
		err = bind_socket(u, (const struct sockaddr *)&any4);
	return err;
}

static int bind_any(struct udp *u, const struct sockaddr *bind_to)
{
	struct sockaddr_in6 v6;

	if (!bind_to)
		return bind_all(u, 0);
	if (bind_to->sa_family != AF_INET6)
		return bind_socket(u, bind_to);
	memcpy(&v6, bind_to, sizeof(v6));
	if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr))
		return bind_all(u, v6.sin6_port);
	return bind_socket(u, bind_to);
}

int io_open_datagram(struct network *network, const struct sockaddr *bind_to,
		     const struct datagram_events *events, void *user,
		     struct datagram **out, struct error *error)
{
	struct udp *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return error_set(error, ERR_NOMEM, "out of memory");
	u->datagram.ops = &ops;
	u->io = container_of(network, struct io, network);
	u->events = events;
	u->user = user;
	u->watcher = (struct watcher){ .fd = -1, .ready = on_ready,
				       .user = u };
	io_object_add(u->io, &u->object, destroy);
	err = bind_any(u, bind_to);
	if (err == 0)
		err = watcher_set(&u->io->loop, &u->watcher, WATCH_READ);
	if (err < 0) {
		udp_free(u);
		return error_set(error, err, "cannot open a UDP socket");
	}
	*out = &u->datagram;
	return 0;
}
