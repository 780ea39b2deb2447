#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate/sshd_private.h"

#define STATUS_CANNOT_START 126

static struct loop *loop_of(const struct sshd_channel *channel)
{
	return channel->connection->sshd->loop;
}

static const struct sshd_handler *handler_of(const struct sshd_channel *channel)
{
	return channel->connection->sshd->handler;
}

/* --- what libssh asks; the handler is called later, by the task --- */

static bool accepts(const struct sshd_channel *channel, enum sshd_kind kind,
		    const char *name)
{
	const struct sshd_handler *handler = handler_of(channel);

	if (!handler->accepts)
		return kind != SSHD_SUBSYSTEM;
	return handler->accepts(handler->context, kind, name);
}

/* RFC 4254 6.5: only one of these succeeds per channel. */
static int take_request(struct sshd_channel *channel, enum sshd_kind kind,
			const char *command)
{
	if (channel->requested || !accepts(channel, kind, command))
		return 1;
	channel->command = strdup(command);
	if (!channel->command)
		return 1;
	channel->requested = true;
	channel->request.kind = kind;
	channel->request.command = channel->command;
	channel->lane.open = true;
	task_post(loop_of(channel), &channel->work);
	return 0;
}

static int on_exec(ssh_session session, ssh_channel ssh, const char *command,
		   void *user)
{
	(void)session;
	(void)ssh;
	return take_request(user, SSHD_EXEC, command);
}

static int on_shell(ssh_session session, ssh_channel ssh, void *user)
{
	(void)session;
	(void)ssh;
	return take_request(user, SSHD_SHELL, "");
}

static int on_subsystem(ssh_session session, ssh_channel ssh,
			const char *name, void *user)
{
	(void)session;
	(void)ssh;
	return take_request(user, SSHD_SUBSYSTEM, name);
}

static int on_env(ssh_session session, ssh_channel ssh, const char *name,
		  const char *value, void *user)
{
	struct sshd_channel *channel = user;
	char *pair;

	(void)session;
	(void)ssh;
	if (channel->requested || channel->request.env_count == SSHD_ENV_CAP ||
	    !*name || strchr(name, '='))
		return 1;
	if (asprintf(&pair, "%s=%s", name, value) < 0)
		return 1;
	channel->env[channel->request.env_count++] = pair;
	return 0;
}

static int on_window_change(ssh_session session, ssh_channel ssh, int columns,
			    int rows, int width, int height, void *user)
{
	struct sshd_channel *channel = user;

	(void)session;
	(void)ssh;
	(void)width;
	(void)height;
	channel->request.rows = rows;
	channel->request.columns = columns;
	if (channel->requested) {
		channel->resized = true;
		task_post(loop_of(channel), &channel->work);
	}
	return 0;
}

static int on_pty(ssh_session session, ssh_channel ssh, const char *term,
		  int columns, int rows, int width, int height, void *user)
{
	struct sshd_channel *channel = user;

	if (channel->requested)
		return 1;
	channel->request.pty = true;
	snprintf(channel->term, sizeof(channel->term), "%s", term);
	return on_window_change(session, ssh, columns, rows, width, height,
				user);
}

static void on_signal(ssh_session session, ssh_channel ssh, const char *name,
		      void *user)
{
	struct sshd_channel *channel = user;

	(void)session;
	(void)ssh;
	if (channel->signal_count == SSHD_SIGNALS_CAP)
		return;
	snprintf(channel->signals[channel->signal_count++], SSHD_NAME_CAP,
		 "%s", name);
	task_post(loop_of(channel), &channel->work);
}

static void lane_changed(struct ssh_lane *lane)
{
	struct sshd_channel *channel =
		container_of(lane, struct sshd_channel, lane);

	if (lane->remote_closed)
		task_post(loop_of(channel), &channel->work);
}

/* --- the task --- */

static void start(struct sshd_channel *channel)
{
	const struct sshd_handler *handler = handler_of(channel);

	if (handler->start(handler->context, channel, &channel->request,
			   &channel->run) < 0)
		sshd_channel_exit(channel, STATUS_CANNOT_START);
	else
		channel->started = true;
}

static void hand_on(struct sshd_channel *channel)
{
	const struct sshd_handler *handler = handler_of(channel);

	if (channel->resized && handler->on_resize)
		handler->on_resize(channel->run, channel->request.rows,
				   channel->request.columns);
	channel->resized = false;
	for (size_t i = 0; i < channel->signal_count && handler->on_signal; i++)
		handler->on_signal(channel->run, channel->signals[i]);
	channel->signal_count = 0;
}

static void run_work(struct task *task)
{
	struct sshd_channel *channel = task->user;

	if (channel->lane.remote_closed) {
		ssh_lane_drop(&channel->lane);
		sshd_channel_free(channel);
		return;
	}
	if (channel->requested && !channel->started && !channel->lane.finishing)
		start(channel);
	if (channel->started)
		hand_on(channel);
}

/* --- life --- */

static void init_callbacks(struct sshd_channel *channel)
{
	channel->callbacks = (struct ssh_channel_callbacks_struct){
		.userdata = channel,
		.channel_signal_function = on_signal,
		.channel_pty_request_function = on_pty,
		.channel_shell_request_function = on_shell,
		.channel_pty_window_change_function = on_window_change,
		.channel_exec_request_function = on_exec,
		.channel_env_request_function = on_env,
		.channel_subsystem_request_function = on_subsystem,
	};
	ssh_callbacks_init(&channel->callbacks);
}

struct sshd_channel *sshd_channel_new(struct sshd_connection *connection)
{
	struct sshd_channel *channel;
	ssh_channel ssh;

	if (connection->channel_count >= SSHD_CHANNELS_CAP)
		return NULL;
	channel = calloc(1, sizeof(*channel));
	ssh = ssh_channel_new(connection->link.session);
	if (!channel || !ssh) {
		ssh_channel_free(ssh);
		free(channel);
		return NULL;
	}
	channel->connection = connection;
	channel->work = (struct task){ .run = run_work, .user = channel };
	channel->request.user = connection->user;
	channel->request.env = (const char *const *)channel->env;
	channel->request.term = channel->term;
	ssh_lane_init(&channel->lane, &connection->link, lane_changed);
	channel->lane.flows[LANE_STDERR].in_closed = true;
	ssh_lane_attach(&channel->lane, ssh);
	init_callbacks(channel);
	ssh_add_channel_callbacks(ssh, &channel->callbacks);
	list_add_tail(&connection->channels, &channel->entry);
	connection->channel_count++;
	return channel;
}

void sshd_channel_free(struct sshd_channel *channel)
{
	if (channel->started)
		handler_of(channel)->on_close(channel->run);
	list_remove(&channel->entry);
	channel->connection->channel_count--;
	task_cancel(&channel->work);
	ssh_lane_clear(&channel->lane);
	for (size_t i = 0; i < channel->request.env_count; i++)
		free(channel->env[i]);
	free(channel->command);
	free(channel);
}

/* --- for handlers --- */

struct stream *sshd_channel_stream(struct sshd_channel *channel)
{
	return &channel->lane.flows[LANE_DATA].stream;
}

struct stream *sshd_channel_stderr(struct sshd_channel *channel)
{
	return &channel->lane.flows[LANE_STDERR].stream;
}

static void finish(struct sshd_channel *channel)
{
	channel->lane.finishing = true;
	stream_shutdown(sshd_channel_stream(channel));
	stream_shutdown(sshd_channel_stderr(channel));
}

void sshd_channel_exit(struct sshd_channel *channel, int status)
{
	channel->lane.exit_status = status;
	finish(channel);
}

void sshd_channel_exit_signal(struct sshd_channel *channel, const char *name)
{
	snprintf(channel->lane.exit_signal,
		 sizeof(channel->lane.exit_signal), "%s", name);
	finish(channel);
}
