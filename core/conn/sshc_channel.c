#include <stdlib.h>
#include <string.h>

#include "core/conn/sshc_private.h"

static void post_tell(struct sshc_channel *channel)
{
	if (!channel->abandoned)
		task_post(channel->sshc->link.loop, &channel->tell);
}

/* --- phases, in a turn --- */

static void fail(struct sshc_channel *channel, const struct error *error)
{
	channel->phase = SSHC_ENDED;
	channel->failure = *error;
	channel->end_untold = true;
	ssh_lane_fail(&channel->lane, error->code);
	post_tell(channel);
}

static void refuse(struct sshc_channel *channel, const char *what)
{
	struct error error;

	error_set(&error, ERR_REFUSED, "the agent refused %s", what);
	fail(channel, &error);
	ssh_lane_drop(&channel->lane);
}

static int open_step(struct sshc_channel *channel)
{
	ssh_channel opened = channel->lane.channel;

	if (!opened) {
		opened = ssh_channel_new(channel->sshc->link.session);
		if (!opened)
			return SSH_ERROR;
		ssh_lane_attach(&channel->lane, opened);
	}
	if (channel->kind == SSHC_FORWARD)
		return ssh_channel_open_forward(opened, channel->command,
						channel->port, "127.0.0.1", 0);
	return ssh_channel_open_session(opened);
}

/* An agent may refuse any variable: that is no failure. */
static int env_step(struct sshc_channel *channel)
{
	while (channel->env_next < channel->env_len) {
		char **pair = &channel->env[channel->env_next];

		if (ssh_channel_request_env(channel->lane.channel, pair[0],
					    pair[1]) == SSH_AGAIN)
			return SSH_AGAIN;
		channel->env_next += 2;
	}
	return SSH_OK;
}

static int pty_step(struct sshc_channel *channel)
{
	if (!channel->term)
		return SSH_OK;
	return ssh_channel_request_pty_size(channel->lane.channel,
					    channel->term, channel->columns,
					    channel->rows);
}

static int request_step(struct sshc_channel *channel)
{
	ssh_channel opened = channel->lane.channel;

	switch (channel->kind) {
	case SSHC_EXEC:
		return ssh_channel_request_exec(opened, channel->command);
	case SSHC_SHELL:
		return ssh_channel_request_shell(opened);
	case SSHC_SUBSYSTEM:
		return ssh_channel_request_subsystem(opened,
						     channel->command);
	case SSHC_FORWARD:
		return SSH_OK;
	}
	return SSH_ERROR;
}

static void run(struct sshc_channel *channel)
{
	channel->phase = SSHC_RUNNING;
	channel->lane.open = true;
	channel->opened_untold = true;
	post_tell(channel);
}

static bool watch_end(struct sshc_channel *channel)
{
	if (!ssh_lane_ended(&channel->lane))
		return false;
	channel->phase = SSHC_ENDED;
	channel->end_untold = true;
	post_tell(channel);
	ssh_lane_drop(&channel->lane);
	return true;
}

/* Goes on by `step`, which has asked the agent for `what`. */
static bool advance(struct sshc_channel *channel,
		    int (*step)(struct sshc_channel *channel),
		    const char *what, enum sshc_phase next)
{
	int answer = step(channel);

	if (answer == SSH_AGAIN)
		return false;
	/* The link reports the end of the session, with the reason. */
	if (answer != SSH_OK && !ssh_is_connected(channel->sshc->link.session))
		return false;
	if (answer != SSH_OK)
		refuse(channel, what);
	else
		channel->phase = next;
	return true;
}

static bool open_or_abandon(struct sshc_channel *channel)
{
	bool busy = advance(channel, open_step, "the channel",
			    SSHC_SETTING_ENV);

	if (channel->abandoned && channel->phase != SSHC_OPENING)
		sshc_channel_free(channel);
	return busy;
}

bool sshc_channel_step(struct sshc_channel *channel)
{
	switch (channel->phase) {
	case SSHC_WAITING:
		channel->phase = SSHC_OPENING;
		return true;
	case SSHC_OPENING:
		return open_or_abandon(channel);
	case SSHC_SETTING_ENV:
		return advance(channel, env_step, "the environment",
			       SSHC_GETTING_PTY);
	case SSHC_GETTING_PTY:
		return advance(channel, pty_step, "the terminal",
			       SSHC_REQUESTING);
	case SSHC_REQUESTING:
		if (!advance(channel, request_step, "the request",
			     SSHC_RUNNING))
			return false;
		if (channel->phase == SSHC_RUNNING)
			run(channel);
		return true;
	case SSHC_RUNNING:
		return watch_end(channel);
	case SSHC_ENDED:
		return false;
	}
	return false;
}

void sshc_channel_lose(struct sshc_channel *channel, const struct error *error)
{
	if (channel->abandoned)
		sshc_channel_free(channel);
	else if (channel->phase == SSHC_RUNNING && watch_end(channel))
		return;
	else if (channel->phase != SSHC_ENDED)
		fail(channel, error);
}

/* --- what the caller hears --- */

static void tell_end(struct sshc_channel *channel)
{
	const struct sshc_channel_events *events = channel->events;

	channel->end_untold = false;
	if (channel->failure.code) {
		if (events->on_failed)
			events->on_failed(channel->user, &channel->failure);
	} else if (events->on_exit) {
		events->on_exit(channel->user, channel->lane.exit_status,
				channel->lane.exit_signal);
	}
}

/* One callback a run, because it may close the channel. */
static void tell(struct task *task)
{
	struct sshc_channel *channel = task->user;

	if (channel->opened_untold) {
		channel->opened_untold = false;
		if (channel->end_untold)
			post_tell(channel);
		if (channel->events->on_open)
			channel->events->on_open(channel->user);
		return;
	}
	if (channel->end_untold)
		tell_end(channel);
}

static void lane_changed(struct ssh_lane *lane)
{
	ssh_link_wake(lane->link);
}

/* --- life --- */

static int copy_env(struct sshc_channel *channel,
		    const struct sshc_request *request)
{
	if (request->env_count > SSHC_ENV_CAP)
		return ERR_LIMIT;
	if (!request->env_count)
		return 0;
	channel->env = calloc(2 * request->env_count, sizeof(char *));
	if (!channel->env)
		return ERR_NOMEM;
	for (size_t i = 0; i < request->env_count; i++) {
		channel->env[channel->env_len++] = strdup(request->env[i].name);
		channel->env[channel->env_len++] =
			strdup(request->env[i].value);
		if (!channel->env[2 * i] || !channel->env[2 * i + 1])
			return ERR_NOMEM;
	}
	return 0;
}

static int copy_request(struct sshc_channel *channel,
			const struct sshc_request *request)
{
	channel->kind = request->kind;
	channel->port = request->port;
	if (request->kind != SSHC_SHELL && !request->command)
		return ERR_MISUSE;
	if (request->command && !(channel->command = strdup(request->command)))
		return ERR_NOMEM;
	if (request->kind == SSHC_FORWARD)
		return 0;
	if (request->pty) {
		channel->term = strdup(request->pty->term);
		if (!channel->term)
			return ERR_NOMEM;
		channel->rows = request->pty->rows;
		channel->columns = request->pty->columns;
	}
	return copy_env(channel, request);
}

int sshc_channel_open(struct sshc *sshc, const struct sshc_request *request,
		      const struct sshc_channel_events *events, void *user,
		      struct sshc_channel **out)
{
	struct sshc_channel *channel;
	int err;

	if (sshc->link.over)
		return ERR_CLOSED;
	if (sshc->channel_count >= SSHC_CHANNELS_CAP)
		return ERR_LIMIT;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return ERR_NOMEM;
	ssh_lane_init(&channel->lane, &sshc->link, lane_changed);
	channel->lane.flows[LANE_STDERR].out_ended = true;
	channel->sshc = sshc;
	channel->events = events;
	channel->user = user;
	channel->tell = (struct task){ .run = tell, .user = channel };
	list_add_tail(&sshc->channels, &channel->entry);
	sshc->channel_count++;
	err = copy_request(channel, request);
	if (err < 0) {
		sshc_channel_free(channel);
		return err;
	}
	ssh_link_wake(&sshc->link);
	*out = channel;
	return 0;
}

/* libssh's channel is freed with its session, or was dropped before. */
void sshc_channel_free(struct sshc_channel *channel)
{
	if (channel->abandoned && !channel->sshc->link.over)
		ssh_lane_drop(&channel->lane);
	list_remove(&channel->entry);
	channel->sshc->channel_count--;
	task_cancel(&channel->tell);
	ssh_lane_clear(&channel->lane);
	for (size_t i = 0; i < channel->env_len; i++)
		free(channel->env[i]);
	free(channel->env);
	free(channel->command);
	free(channel->term);
	free(channel);
}

/*
 * While the opening is on its way libssh cannot close the channel, and the
 * agent would keep it for ever: then it waits for the answer.
 */
void sshc_channel_close(struct sshc_channel *channel)
{
	if (channel->phase == SSHC_OPENING && channel->lane.channel) {
		channel->abandoned = true;
		task_cancel(&channel->tell);
		for (int i = 0; i < LANE_FLOWS; i++) {
			struct stream *stream = &channel->lane.flows[i].stream;

			stream->on_change = NULL;
			stream->user = NULL;
		}
		return;
	}
	ssh_lane_drop(&channel->lane);
	sshc_channel_free(channel);
}

struct stream *sshc_channel_stream(struct sshc_channel *channel)
{
	return &channel->lane.flows[LANE_DATA].stream;
}

struct stream *sshc_channel_stderr(struct sshc_channel *channel)
{
	return &channel->lane.flows[LANE_STDERR].stream;
}

int sshc_channel_signal(struct sshc_channel *channel, const char *name)
{
	ssh_channel opened = channel->lane.channel;

	if (channel->phase != SSHC_RUNNING || !opened ||
	    ssh_channel_request_send_signal(opened, name) != SSH_OK)
		return ERR_CLOSED;
	ssh_link_wake(&channel->sshc->link);
	return 0;
}

int sshc_channel_resize(struct sshc_channel *channel, int rows, int columns)
{
	ssh_channel opened = channel->lane.channel;

	channel->rows = rows;
	channel->columns = columns;
	if (channel->phase < SSHC_REQUESTING)
		return 0;
	if (channel->phase != SSHC_RUNNING || !opened ||
	    ssh_channel_change_pty_size(opened, columns, rows) != SSH_OK)
		return ERR_CLOSED;
	ssh_link_wake(&channel->sshc->link);
	return 0;
}
