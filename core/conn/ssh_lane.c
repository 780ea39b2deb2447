#include "core/conn/ssh_lane.h"

#include <libssh/server.h>
#include <stdio.h>

#define LANE_WRITE_CHUNK (128u * 1024)

static struct lane_flow *self(const struct stream *stream)
{
	return container_of(stream, struct lane_flow, stream);
}

static void notify(struct lane_flow *flow)
{
	task_post(flow->lane->link->loop, &flow->notify);
}

static void notify_all(struct ssh_lane *lane)
{
	for (int i = 0; i < LANE_FLOWS; i++)
		notify(&lane->flows[i]);
	lane->changed(lane);
}

static void run_notify(struct task *task)
{
	struct lane_flow *flow = task->user;

	if (flow->stream.on_change)
		flow->stream.on_change(&flow->stream, flow->stream.user);
}

/* --- the stream --- */

static ssize_t flow_peek(struct stream *stream, const uint8_t **data)
{
	struct lane_flow *flow = self(stream);
	struct ssh_lane *lane = flow->lane;

	if (flow->in.len) {
		*data = buf_data(&flow->in);
		return (ssize_t)flow->in.len;
	}
	if (flow->in_closed || (lane->remote_eof && !flow->held))
		return 0;
	return lane->failed ? lane->failed : ERR_AGAIN;
}

static void flow_consume(struct stream *stream, size_t len)
{
	struct lane_flow *flow = self(stream);

	buf_consume(&flow->in, len);
	if (flow->held && flow->in.len < LANE_SOFT_CAP / 2)
		ssh_link_wake(flow->lane->link);
}

static ssize_t flow_write(struct stream *stream, const void *data, size_t len)
{
	struct lane_flow *flow = self(stream);
	struct ssh_lane *lane = flow->lane;

	if (lane->failed)
		return lane->failed;
	if (flow->out_ended || lane->remote_closed)
		return ERR_CLOSED;
	if (len == 0)
		return 0;
	if (!buf_room(&flow->out))
		return ERR_AGAIN;
	if (len > buf_room(&flow->out))
		len = buf_room(&flow->out);
	if (buf_append(&flow->out, data, len) < 0)
		return ERR_NOMEM;
	ssh_link_wake(lane->link);
	return (ssize_t)len;
}

static size_t flow_unsent(const struct stream *stream)
{
	return self(stream)->lane->failed ? 0 : self(stream)->out.len;
}

static int flow_shutdown(struct stream *stream)
{
	struct lane_flow *flow = self(stream);

	flow->out_ended = true;
	ssh_link_wake(flow->lane->link);
	return 0;
}

/* The channel owns its streams; a stray close only ends the writing. */
static void flow_close(struct stream *stream, bool abort)
{
	(void)abort;
	stream->on_change = NULL;
	flow_shutdown(stream);
}

static void flow_address(const struct stream *stream, bool peer,
			 char out[STREAM_ADDRESS_CAP])
{
	(void)peer;
	snprintf(out, STREAM_ADDRESS_CAP, "%s",
		 self(stream)->kind == LANE_DATA ? "ssh" : "ssh stderr");
}

static const struct stream_ops flow_ops = {
	.peek = flow_peek,
	.consume = flow_consume,
	.write = flow_write,
	.unsent = flow_unsent,
	.shutdown = flow_shutdown,
	.close = flow_close,
	.address = flow_address,
};

/* --- what libssh calls --- */

static int on_data(ssh_session session, ssh_channel channel, void *data,
		   uint32_t len, int is_stderr, void *user)
{
	struct ssh_lane *lane = user;
	struct lane_flow *flow = &lane->flows[is_stderr ? LANE_STDERR
							: LANE_DATA];
	size_t taken = flow->in.len < LANE_SOFT_CAP ? len : 0;

	(void)session;
	(void)channel;
	if (flow->in_closed)
		return (int)len;
	if (taken > buf_room(&flow->in))
		taken = buf_room(&flow->in);
	if (buf_append(&flow->in, data, taken) < 0)
		taken = 0;
	flow->held = len - taken;
	if (taken)
		notify(flow);
	return (int)taken;
}

static void on_eof(ssh_session session, ssh_channel channel, void *user)
{
	struct ssh_lane *lane = user;

	(void)session;
	(void)channel;
	lane->remote_eof = true;
	notify_all(lane);
}

static void on_close(ssh_session session, ssh_channel channel, void *user)
{
	struct ssh_lane *lane = user;

	lane->remote_closed = true;
	on_eof(session, channel, user);
}

static void on_exit_status(ssh_session session, ssh_channel channel,
			   int status, void *user)
{
	struct ssh_lane *lane = user;

	(void)session;
	(void)channel;
	lane->exit_status = status;
}

static void on_exit_signal(ssh_session session, ssh_channel channel,
			   const char *name, int core, const char *message,
			   const char *language, void *user)
{
	struct ssh_lane *lane = user;

	(void)session;
	(void)channel;
	(void)core;
	(void)message;
	(void)language;
	snprintf(lane->exit_signal, sizeof(lane->exit_signal), "%s", name);
}

/* --- work --- */

/* Takes all of what libssh holds or nothing: see the header. */
static bool pull(struct ssh_lane *lane, struct lane_flow *flow)
{
	bool any = false;

	if (!flow->held ||
	    (flow->in.len >= LANE_SOFT_CAP / 2 && !lane->remote_eof))
		return false;
	while (flow->held) {
		size_t want = flow->held < buf_room(&flow->in) ?
				      flow->held : buf_room(&flow->in);
		uint8_t *out;
		int got;

		if (!want || buf_reserve(&flow->in, want, &out) < 0)
			break;
		got = ssh_channel_read_nonblocking(lane->channel, out,
						   (uint32_t)want,
						   flow->kind == LANE_STDERR);
		if (got <= 0)
			break;
		buf_commit(&flow->in, (size_t)got);
		flow->held -= (size_t)got;
		any = true;
	}
	if (any)
		notify_all(lane);
	return any;
}

static bool push(struct ssh_lane *lane, struct lane_flow *flow)
{
	uint32_t window = ssh_channel_window_size(lane->channel);
	size_t len = flow->out.len < LANE_WRITE_CHUNK ? flow->out.len :
							LANE_WRITE_CHUNK;
	int sent;

	if (!len || !window || !ssh_link_may_send(lane->link))
		return false;
	if (len > window)
		len = window;
	sent = flow->kind == LANE_STDERR ?
		       ssh_channel_write_stderr(lane->channel,
						buf_data(&flow->out),
						(uint32_t)len) :
		       ssh_channel_write(lane->channel, buf_data(&flow->out),
					 (uint32_t)len);
	if (sent < 0) {
		flow->out_ended = true;
		sent = (int)flow->out.len;
	}
	buf_consume(&flow->out, (size_t)sent);
	notify(flow);
	return sent > 0;
}

static bool all_is_out(const struct ssh_lane *lane)
{
	for (int i = 0; i < LANE_FLOWS; i++)
		if (!lane->flows[i].out_ended || lane->flows[i].out.len)
			return false;
	return true;
}

static void send_exit(struct ssh_lane *lane)
{
	lane->finished = true;
	if (lane->exit_signal[0])
		ssh_channel_request_send_exit_signal(
			lane->channel, lane->exit_signal, 0, "", "");
	else
		ssh_channel_request_send_exit_status(lane->channel,
						     lane->exit_status);
	ssh_channel_close(lane->channel);
}

static bool send_end(struct ssh_lane *lane)
{
	bool busy = false;

	if (!all_is_out(lane))
		return false;
	if (!lane->eof_sent) {
		lane->eof_sent = true;
		ssh_channel_send_eof(lane->channel);
		busy = true;
	}
	if (lane->finishing && !lane->finished) {
		send_exit(lane);
		busy = true;
	}
	return busy;
}

bool ssh_lane_work(struct ssh_lane *lane)
{
	bool busy = false;

	if (!lane->channel || lane->failed)
		return false;
	for (int i = 0; i < LANE_FLOWS; i++)
		busy |= pull(lane, &lane->flows[i]);
	if (!lane->open || lane->remote_closed)
		return busy;
	/* They share a window: neither may always come first. */
	lane->first = (lane->first + 1) % LANE_FLOWS;
	for (int i = 0; i < LANE_FLOWS; i++)
		busy |= push(lane,
			     &lane->flows[(lane->first + i) % LANE_FLOWS]);
	return send_end(lane) || busy;
}

/* --- life --- */

void ssh_lane_init(struct ssh_lane *lane, struct ssh_link *link,
		   void (*changed)(struct ssh_lane *lane))
{
	*lane = (struct ssh_lane){
		.link = link,
		.exit_status = -1,
		.changed = changed,
		.callbacks = {
			.userdata = lane,
			.channel_data_function = on_data,
			.channel_eof_function = on_eof,
			.channel_close_function = on_close,
			.channel_exit_status_function = on_exit_status,
			.channel_exit_signal_function = on_exit_signal,
		},
	};
	ssh_callbacks_init(&lane->callbacks);
	for (int i = 0; i < LANE_FLOWS; i++) {
		struct lane_flow *flow = &lane->flows[i];

		flow->stream.ops = &flow_ops;
		flow->lane = lane;
		flow->kind = (enum lane_flow_kind)i;
		flow->notify = (struct task){ .run = run_notify, .user = flow };
		buf_init(&flow->in, LANE_HARD_CAP);
		buf_init(&flow->out, LANE_SOFT_CAP);
	}
	list_add_tail(&link->lanes, &lane->entry);
}

void ssh_lane_clear(struct ssh_lane *lane)
{
	list_remove(&lane->entry);
	for (int i = 0; i < LANE_FLOWS; i++) {
		task_cancel(&lane->flows[i].notify);
		buf_clear(&lane->flows[i].in);
		buf_clear(&lane->flows[i].out);
	}
}

void ssh_lane_attach(struct ssh_lane *lane, ssh_channel channel)
{
	lane->channel = channel;
	ssh_set_channel_callbacks(channel, &lane->callbacks);
}

/*
 * The EOF apart: ssh_channel_close() gives up when sending it must wait, but
 * a second time it goes on to the close itself.
 */
void ssh_lane_drop(struct ssh_lane *lane)
{
	ssh_channel channel = lane->channel;

	lane->channel = NULL;
	if (!channel)
		return;
	ssh_remove_channel_callbacks(channel, &lane->callbacks);
	if (ssh_channel_is_open(channel))
		ssh_channel_send_eof(channel);
	ssh_channel_free(channel);
	ssh_link_wake(lane->link);
}

void ssh_lane_fail(struct ssh_lane *lane, int code)
{
	if (lane->failed || ssh_lane_ended(lane))
		return;
	lane->failed = code;
	notify_all(lane);
}

bool ssh_lane_ended(const struct ssh_lane *lane)
{
	return lane->remote_closed && !lane->flows[LANE_DATA].held &&
	       !lane->flows[LANE_STDERR].held;
}

bool ssh_lane_overrun(const struct ssh_lane *lane)
{
	return lane->flows[LANE_DATA].held > LANE_HELD_CAP ||
	       lane->flows[LANE_STDERR].held > LANE_HELD_CAP;
}
