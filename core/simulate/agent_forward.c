/*
 * Forwarding: a SYN waits while 127.0.0.1 and then ::1 are dialled; only
 * when one of them is connected does the handshake go on. What was dialled
 * for a SYN that has gone meanwhile is given up after a while.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/copy.h"
#include "core/netstack/netstack.h"
#include "core/simulate/simulate_private.h"

#define DIAL_TIMEOUT_US (10 * US_PER_S)
#define ACCEPT_TIMEOUT_US (30 * US_PER_S)

struct forward {
	struct flow flow;
	struct ns_held held;
	uint64_t id;
	bool second;		/* the second address is being dialled */
	void *op;
	struct stream *front;
	struct stream *back;
	struct copy *copy;
	struct timer timeout;
};

static void dialed(void *user, struct stream *stream,
		   const struct error *error);

static void forward_free(struct forward *forward, bool abort)
{
	struct agent *agent = forward->flow.agent;
	const struct simulation_dialer *dialer = agent->sim->config.dialer;

	timer_stop(agent->sim->config.loop, &forward->timeout);
	if (forward->op)
		dialer->cancel(dialer->context, forward->op);
	if (forward->copy)
		copy_cancel(forward->copy);
	if (forward->front)
		stream_close(forward->front, abort);
	if (forward->back)
		stream_close(forward->back, abort);
	flow_end(&forward->flow);
	free(forward);
}

static void forward_close(struct flow *flow)
{
	forward_free(container_of(flow, struct forward, flow), true);
}

static void answer(struct forward *forward, bool admit)
{
	struct ns *ns = node_netstack(forward->flow.agent->node);

	(void)ns_admit(ns, &forward->held, admit,
		       (void *)(uintptr_t)forward->id);
}

static int dial(struct forward *forward)
{
	const struct simulation_dialer *dialer =
		forward->flow.agent->sim->config.dialer;
	char address[32];
	struct error error;

	snprintf(address, sizeof(address), "%s:%u",
		 forward->second ? "[::1]" : "127.0.0.1",
		 forward->held.local_port);
	return dialer->dial(dialer->context, address, DIAL_TIMEOUT_US, dialed,
			    forward, &forward->op, &error);
}

static void timed_out(struct timer *timer)
{
	forward_free(timer->user, true);
}

static void dialed(void *user, struct stream *stream,
		   const struct error *error)
{
	struct forward *forward = user;
	struct loop *loop = forward->flow.agent->sim->config.loop;

	(void)error;
	forward->op = NULL;
	if (stream) {
		forward->back = stream;
		timer_set(loop, &forward->timeout,
			  loop_now_us(loop) + ACCEPT_TIMEOUT_US);
		answer(forward, true);
		return;
	}
	if (!forward->second) {
		forward->second = true;
		if (dial(forward) == 0)
			return;
		forward->op = NULL;
	}
	answer(forward, false);
	forward_free(forward, true);
}

int forward_begin(struct agent *agent, const struct ns_held *held)
{
	struct forward *forward = calloc(1, sizeof(*forward));
	int err;

	if (!forward)
		return ERR_NOMEM;
	forward->held = *held;
	forward->id = ++agent->next_forward;
	forward->timeout = (struct timer){ .fire = timed_out,
					   .user = forward };
	flow_begin(&forward->flow, agent, forward_close);
	err = dial(forward);
	if (err < 0) {
		forward->op = NULL;
		forward_free(forward, true);
	}
	return err;
}

static void copied(void *user, const struct copy_result *result)
{
	struct forward *forward = user;

	forward->copy = NULL;
	forward_free(forward, result->err < 0);
}

static struct forward *find(struct agent *agent, uint64_t id)
{
	list_each(at, next, &agent->flows) {
		struct flow *flow = container_of(at, struct flow, link);
		struct forward *forward =
			container_of(flow, struct forward, flow);

		if (flow->close == forward_close && forward->id == id)
			return forward;
	}
	return NULL;
}

bool forward_accept(struct agent *agent, uint64_t id, struct stream *stream)
{
	struct forward *forward = find(agent, id);
	struct loop *loop = agent->sim->config.loop;

	if (!forward)
		return false;
	timer_stop(loop, &forward->timeout);
	forward->front = stream;
	if (copy_start(loop, stream, forward->back, copied, forward,
		       &forward->copy) < 0)
		forward_free(forward, true);
	return true;
}
