/* What runs over a tunnel: TCP dials, UDP flows, pings. */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/tunnel_private.h"

#define KEEPALIVE_US (30 * US_PER_S)

struct tunnel_dial {
	struct list link;
	struct tunnel *tunnel;
	struct stream *stream;
	struct timer timeout;
	uint16_t port;
	tunnel_dialed *done;
	void *user;
};

static void free_dial(struct tunnel_dial *dial)
{
	timer_stop(dial->tunnel->config.loop, &dial->timeout);
	list_remove(&dial->link);
	free(dial);
}

static void dial_failed(struct tunnel_dial *dial, int code)
{
	struct tunnel *tunnel = dial->tunnel;
	tunnel_dialed *done = dial->done;
	void *user = dial->user;
	struct error error;

	error_set(&error, code, "port %u of the agent: %s", dial->port,
		  code == ERR_TIMEOUT ? "no answer" :
		  code == ERR_REFUSED ? "connection refused" :
					err_name(code));
	stream_close(dial->stream, true);
	node_kick(tunnel->node);
	free_dial(dial);
	done(user, NULL, &error);
}

static void dial_changed(struct stream *stream, void *user)
{
	struct tunnel_dial *dial = user;
	int state = ns_stream_state(stream);
	tunnel_dialed *done = dial->done;
	void *done_user = dial->user;

	if (state == ERR_AGAIN)
		return;
	if (state < 0) {
		dial_failed(dial, state);
		return;
	}
	stream->on_change = NULL;
	stream->user = NULL;
	ns_stream_set_keepalive(stream, KEEPALIVE_US);
	free_dial(dial);
	done(done_user, stream, NULL);
}

static void dial_timed_out(struct timer *timer)
{
	dial_failed(timer->user, ERR_TIMEOUT);
}

int tunnel_dial(struct tunnel *tunnel, uint16_t port, uint64_t timeout_us,
		tunnel_dialed *done, void *user, struct tunnel_dial **out)
{
	struct tunnel_dial *dial;
	uint64_t now_us = loop_now_us(tunnel->config.loop);
	int err;

	if (tunnel->phase != TUNNEL_UP)
		return ERR_CLOSED;
	dial = calloc(1, sizeof(*dial));
	if (!dial)
		return ERR_NOMEM;
	err = ns_connect(node_netstack(tunnel->node), tunnel->agent_address,
			 port, now_us, &dial->stream);
	if (err < 0) {
		free(dial);
		return err;
	}
	dial->tunnel = tunnel;
	dial->port = port;
	dial->done = done;
	dial->user = user;
	dial->timeout = (struct timer){ .fire = dial_timed_out, .user = dial };
	dial->stream->on_change = dial_changed;
	dial->stream->user = dial;
	list_add_tail(&tunnel->dials, &dial->link);
	timer_set(tunnel->config.loop, &dial->timeout,
		  timeout_us > DEADLINE_NONE - now_us ? DEADLINE_NONE :
							now_us + timeout_us);
	node_kick(tunnel->node);
	*out = dial;
	return 0;
}

void tunnel_dial_cancel(struct tunnel_dial *dial)
{
	stream_close(dial->stream, true);
	free_dial(dial);
}

struct tunnel_udp {
	struct tunnel *tunnel;
	struct ns_udp *udp;
	uint16_t port;
	tunnel_datagram *on_receive;
	void *user;
};

static void udp_received(void *user, const uint8_t src[NS_ADDRESS_LEN],
			 uint16_t port, const uint8_t *data, size_t len)
{
	struct tunnel_udp *udp = user;

	if (port == udp->port &&
	    memcmp(src, udp->tunnel->agent_address, NS_ADDRESS_LEN) == 0)
		udp->on_receive(udp->user, data, len);
}

int tunnel_udp_open(struct tunnel *tunnel, uint16_t port,
		    tunnel_datagram *on_receive, void *user,
		    struct tunnel_udp **out)
{
	struct tunnel_udp *udp;
	int err;

	if (tunnel->phase != TUNNEL_UP)
		return ERR_CLOSED;
	udp = calloc(1, sizeof(*udp));
	if (!udp)
		return ERR_NOMEM;
	*udp = (struct tunnel_udp){ .tunnel = tunnel,
				    .port = port,
				    .on_receive = on_receive,
				    .user = user };
	err = ns_udp_open(node_netstack(tunnel->node), 0, udp_received, udp,
			  &udp->udp);
	if (err < 0) {
		free(udp);
		return err;
	}
	*out = udp;
	return 0;
}

int tunnel_udp_send(struct tunnel_udp *udp, const void *data, size_t len)
{
	int err = ns_udp_send(udp->udp, udp->tunnel->agent_address, udp->port,
			      data, len);

	node_kick(udp->tunnel->node);
	return err;
}

void tunnel_udp_close(struct tunnel_udp *udp)
{
	ns_udp_close(udp->udp);
	free(udp);
}

struct pinging {
	struct list link;
	struct tunnel *tunnel;
	tunnel_pinged *done;
	void *user;
};

static void describe_path(struct tunnel *tunnel, struct tunnel_ping *ping)
{
	struct tunnel_path path;

	tunnel_path(tunnel, &path);
	ping->direct = path.direct;
	memcpy(ping->endpoint, path.endpoint, sizeof(ping->endpoint));
	ping->derp_region = path.derp_region;
	memcpy(ping->derp_name, path.derp_name, sizeof(ping->derp_name));
}

static void pinged(void *user, int err, uint64_t latency_us)
{
	struct pinging *pinging = user;
	struct tunnel_ping ping = { .latency_us = latency_us };
	tunnel_pinged *done = pinging->done;
	void *done_user = pinging->user;
	struct error error;

	describe_path(pinging->tunnel, &ping);
	list_remove(&pinging->link);
	free(pinging);
	if (!done)
		return;
	if (err < 0) {
		error_set(&error, err, "ping: %s",
			  err == ERR_TIMEOUT ? "no answer" : err_name(err));
		done(done_user, NULL, &error);
		return;
	}
	done(done_user, &ping, NULL);
}

int tunnel_ping(struct tunnel *tunnel, uint64_t timeout_us,
		tunnel_pinged *done, void *user)
{
	struct pinging *pinging;
	int err;

	if (tunnel->phase != TUNNEL_UP)
		return ERR_CLOSED;
	pinging = calloc(1, sizeof(*pinging));
	if (!pinging)
		return ERR_NOMEM;
	pinging->tunnel = tunnel;
	pinging->done = done;
	pinging->user = user;
	err = node_ping(tunnel->node, tunnel->agent_address, timeout_us,
			pinged, pinging);
	if (err < 0) {
		free(pinging);
		return err;
	}
	list_add_tail(&tunnel->pings, &pinging->link);
	return 0;
}

void tunnel_ping_forget(struct tunnel *tunnel, void *user)
{
	list_each(at, next, &tunnel->pings) {
		struct pinging *pinging =
			container_of(at, struct pinging, link);

		if (pinging->user == user)
			pinging->done = NULL;
	}
}

/* Their owners hear that the tunnel is closed. */
void tunnel_operations_free(struct tunnel *tunnel)
{
	while (!list_empty(&tunnel->dials))
		dial_failed(container_of(tunnel->dials.next,
					 struct tunnel_dial, link),
			    ERR_CLOSED);
}
