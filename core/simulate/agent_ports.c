/*
 * What an agent listens on: 1 and 22 SSH, 2 terminals, 3 speedtest, 4 its
 * HTTP API, and for every other port a handler of the workspace's, or
 * 127.0.0.1 and ::1 by the dialler. A port that has neither refuses as a
 * closed one does.
 */
#include "core/netstack/netstack.h"
#include "core/simulate/simulate_private.h"

#define PORT_SSH 1
#define PORT_PTY 2
#define PORT_SPEEDTEST 3
#define PORT_API 4
#define PORT_STANDARD_SSH 22

void flow_begin(struct flow *flow, struct agent *agent,
		void (*close)(struct flow *flow))
{
	flow->agent = agent;
	flow->close = close;
	list_add_tail(&agent->flows, &flow->link);
	agent->sim->flows_open++;
}

void flow_end(struct flow *flow)
{
	list_remove(&flow->link);
	flow->agent->sim->flows_open--;
}

void agent_flows_close(struct agent *agent)
{
	while (!list_empty(&agent->flows)) {
		struct flow *flow =
			container_of(agent->flows.next, struct flow, link);

		flow->close(flow);
	}
}

static void serve_ssh(struct agent *agent, struct stream *stream)
{
	struct simulation *sim = agent->sim;

	if (!agent->sshd && sshd_new(sim->config.loop, sim->config.log,
				     agent->workspace->ssh,
				     &agent->sshd) < 0) {
		agent->sshd = NULL;
		stream_close(stream, true);
		return;
	}
	(void)sshd_accept(agent->sshd, stream);
}

static void accepted_service(void *user, struct stream *stream, uint16_t port)
{
	struct agent *agent = user;

	agent->sim->flows++;
	switch (port) {
	case PORT_SSH:
	case PORT_STANDARD_SSH:
		serve_ssh(agent, stream);
		break;
	case PORT_PTY:
		agent_pty_serve(agent, stream);
		break;
	case PORT_SPEEDTEST:
		speedtest_serve(agent, stream);
		break;
	case PORT_API:
		agent_api_serve(agent, stream);
		break;
	default:
		stream_close(stream, true);
		break;
	}
}

/* The stream's user is the forward's id, or NULL: a handler's. */
static void accepted_other(void *user, struct stream *stream, uint16_t port)
{
	struct agent *agent = user;
	uint64_t id = (uint64_t)(uintptr_t)stream->user;
	const struct port_handler *handler;

	agent->sim->flows++;
	stream->user = NULL;
	if (id) {
		if (!forward_accept(agent, id, stream))
			stream_close(stream, true);
		return;
	}
	handler = workspace_port(agent->workspace, port);
	if (handler)
		handler->handler(handler->user, stream);
	else
		stream_close(stream, true);
}

static void held(void *user, const struct ns_held *held)
{
	struct agent *agent = user;
	struct ns *ns = node_netstack(agent->node);

	if (workspace_port(agent->workspace, held->local_port))
		(void)ns_admit(ns, held, true, NULL);
	else if (!agent->sim->config.dialer || forward_begin(agent, held) < 0)
		(void)ns_admit(ns, held, false, NULL);
}

int agent_listen(struct agent *agent)
{
	static const uint16_t ports[] = { PORT_SSH, PORT_PTY, PORT_SPEEDTEST,
					  PORT_API, PORT_STANDARD_SSH };
	struct ns *ns = node_netstack(agent->node);
	struct ns_listener *listener;
	int err;

	agent_udp_listen(agent);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		err = ns_listen(ns, ports[i], 0, accepted_service, agent,
				&listener);
		if (err < 0)
			return err;
	}
	err = ns_listen(ns, 0, 0, accepted_other, agent, &listener);
	if (err == 0)
		ns_listener_set_hold(listener, held);
	return err;
}
