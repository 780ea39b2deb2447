/*
 * The agent's reconnecting terminal on port 2 (coder/coder
 * agent/reconnectingpty): u16 little-endian length and JSON that names a
 * session, then JSON objects of keystrokes in, raw bytes out. A session is a
 * child on a terminal; it outlives its connections and replays its last
 * bytes to each new one. One slow connection holds the terminal back.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cursor.h"
#include "core/base/jread.h"
#include "core/simulate/exec_spawn.h"
#include "core/simulate/simulate_private.h"

#define SESSION_CAP 64		/* of one agent */
#define REPLAY_CAP (64 * 1024)
#define OUT_CAP (256 * 1024)
#define READ_LEN 4096
#define JSON_CAP (64 * 1024)
#define COMMAND_CAP 4096
#define SIZE_MAX_CELLS 10000

struct pty_session {
	struct list link;
	struct agent *agent;
	struct uuid id;
	struct exec_child child;
	struct watcher watcher;
	struct buf replay;
	struct buf keys;	/* not yet written to the terminal */
	struct list clients;
};

struct pty_client {
	struct flow flow;
	struct list link;		/* of its session */
	struct pty_session *session;	/* NULL: not named yet, or dead */
	struct stream *stream;
	struct buf out;
	bool named;
};

static void client_flush(struct pty_client *client);
static void changed(struct stream *stream, void *user);

static void client_free(struct pty_client *client, bool abort)
{
	list_remove(&client->link);
	stream_close(client->stream, abort);
	buf_clear(&client->out);
	flow_end(&client->flow);
	free(client);
}

static void client_close(struct flow *flow)
{
	client_free(container_of(flow, struct pty_client, flow), true);
}

/* --- the terminal ------------------------------------------------------------- */

static bool someone_is_slow(const struct pty_session *session)
{
	list_each(at, next, &session->clients)
		if (container_of(at, struct pty_client, link)->out.len >
		    OUT_CAP / 2)
			return true;
	return false;
}

static void session_watch(struct pty_session *session)
{
	unsigned events = (session->keys.len ? WATCH_WRITE : 0u) |
			  (someone_is_slow(session) ? 0u : WATCH_READ);
	struct loop *loop = session->agent->sim->config.loop;

	if (events)
		(void)watcher_set(loop, &session->watcher, events);
	else
		watcher_stop(loop, &session->watcher);
}

/* What it has said still goes to the clients, then their streams end. */
static void session_free(struct pty_session *session)
{
	siginfo_t end;

	watcher_stop(session->agent->sim->config.loop, &session->watcher);
	list_each(at, next, &session->clients) {
		struct pty_client *client =
			container_of(at, struct pty_client, link);

		list_remove(&client->link);
		client->session = NULL;
		client_flush(client);
	}
	kill(-session->child.pid, SIGKILL);
	waitid(P_PIDFD, (id_t)session->child.pidfd, &end, WEXITED);
	close(session->child.pidfd);
	close(session->child.in_fd);
	buf_clear(&session->replay);
	buf_clear(&session->keys);
	list_remove(&session->link);
	session->agent->pty_count--;
	free(session);
}

static void remember(struct pty_session *session, const uint8_t *data,
		     size_t len)
{
	struct buf *replay = &session->replay;

	if (replay->len + len > REPLAY_CAP)
		buf_consume(replay, replay->len + len - REPLAY_CAP);
	(void)buf_append(replay, data, len);
}

static void say(struct pty_session *session, const uint8_t *data, size_t len)
{
	remember(session, data, len);
	list_each(at, next, &session->clients) {
		struct pty_client *client =
			container_of(at, struct pty_client, link);

		(void)buf_append(&client->out, data, len);
		client_flush(client);
	}
}

/* False: the terminal has ended. */
static bool read_terminal(struct pty_session *session)
{
	uint8_t data[READ_LEN];
	ssize_t len = read(session->child.in_fd, data, sizeof(data));

	if (len > 0)
		say(session, data, (size_t)len);
	return len > 0 || (len < 0 && (errno == EAGAIN || errno == EINTR));
}

static void write_terminal(struct pty_session *session)
{
	ssize_t len = write(session->child.in_fd, buf_data(&session->keys),
			    session->keys.len);

	if (len <= 0)
		return;
	buf_consume(&session->keys, (size_t)len);
	/* There is room for keystrokes that had to wait. */
	list_each(at, next, &session->clients) {
		struct pty_client *client =
			container_of(at, struct pty_client, link);

		changed(client->stream, client);
	}
}

static void terminal_ready(struct watcher *watcher, unsigned events)
{
	struct pty_session *session = watcher->user;

	if (events & WATCH_WRITE && session->keys.len)
		write_terminal(session);
	if (events & WATCH_READ && !read_terminal(session))
		session_free(session);
	else
		session_watch(session);
}

static int spawn(struct pty_session *session, const char *command, int rows,
		 int columns)
{
	const struct sshd_request request = {
		.kind = *command ? SSHD_EXEC : SSHD_SHELL,
		.user = session->agent->sim->user_name,
		.command = command,
		.pty = true,
		.term = "xterm-256color",
		.rows = rows ? rows : 24,
		.columns = columns ? columns : 80,
	};
	int err = exec_spawn(&request, &session->child);

	if (err < 0)
		return err;
	fcntl(session->child.in_fd, F_SETFL, O_NONBLOCK);
	session->watcher = (struct watcher){ .fd = session->child.in_fd,
					     .ready = terminal_ready,
					     .user = session };
	return 0;
}

static struct pty_session *session_new(struct agent *agent,
				       const struct uuid *id,
				       const char *command, int rows,
				       int columns)
{
	struct pty_session *session;

	if (agent->pty_count == SESSION_CAP)
		return NULL;
	session = calloc(1, sizeof(*session));
	if (!session)
		return NULL;
	session->agent = agent;
	session->id = *id;
	list_init(&session->clients);
	buf_init(&session->replay, REPLAY_CAP);
	buf_init(&session->keys, JSON_CAP);
	if (spawn(session, command, rows, columns) < 0) {
		free(session);
		return NULL;
	}
	list_add_tail(&agent->ptys, &session->link);
	agent->pty_count++;
	return session;
}

static struct pty_session *session_of(struct agent *agent,
				      const struct uuid *id)
{
	list_each(at, next, &agent->ptys) {
		struct pty_session *session =
			container_of(at, struct pty_session, link);

		if (uuid_equal(&session->id, id))
			return session;
	}
	return NULL;
}

void agent_ptys_close(struct agent *agent)
{
	while (!list_empty(&agent->ptys))
		session_free(container_of(agent->ptys.next,
					  struct pty_session, link));
}

/* --- a connection --------------------------------------------------------------- */

/* Frees nothing: also called while the session walks its clients. */
static void client_flush(struct pty_client *client)
{
	ssize_t wrote = 1;

	while (client->out.len && wrote > 0) {
		wrote = stream_write(client->stream, buf_data(&client->out),
				     client->out.len);
		if (wrote > 0)
			buf_consume(&client->out, (size_t)wrote);
	}
	if (client->named && !client->session && client->out.len == 0)
		(void)stream_shutdown(client->stream);
}

static void resize(struct pty_session *session, int64_t rows, int64_t columns)
{
	if (rows > 0 && columns > 0)
		(void)exec_set_size(session->child.in_fd, (int)rows,
				    (int)columns);
}

static int attach(struct pty_client *client, const struct jplace *root)
{
	struct agent *agent = client->flow.agent;
	char command[COMMAND_CAP] = "";
	int64_t rows = 0, columns = 0;
	struct pty_session *session;
	struct uuid id;

	jread_uuid(root, "ID", JREAD_REQUIRED, &id);
	jread_text(root, "Command", JREAD_OPTIONAL, command, sizeof(command));
	jread_integer(root, "Height", JREAD_OPTIONAL, 0, SIZE_MAX_CELLS,
		      &rows);
	jread_integer(root, "Width", JREAD_OPTIONAL, 0, SIZE_MAX_CELLS,
		      &columns);
	if (jread_code(root->read) < 0)
		return ERR_PROTOCOL;
	session = session_of(agent, &id);
	if (!session)
		session = session_new(agent, &id, command, (int)rows,
				      (int)columns);
	if (!session)
		return ERR_LIMIT;
	resize(session, rows, columns);
	client->session = session;
	client->named = true;
	list_add_tail(&session->clients, &client->link);
	(void)buf_append(&client->out, buf_data(&session->replay),
			 session->replay.len);
	client_flush(client);
	session_watch(session);
	return 0;
}

/* ERR_AGAIN: not all there yet. */
static int take_name(struct pty_client *client, const uint8_t *data,
		     size_t len)
{
	struct jread read = { .code = 0 };
	size_t body = len >= 2 ? (size_t)le_load(data, 2) : 0;
	struct jplace root;
	json_t *value;
	int err;

	if (len < 2 || len < 2 + body)
		return ERR_AGAIN;
	err = jread_parse(data + 2, body, JSON_CAP, &value, NULL);
	if (err < 0)
		return err;
	root = jread_root(&read, value);
	err = attach(client, &root);
	json_decref(value);
	stream_consume(client->stream, 2 + body);
	return err;
}

static int press(struct pty_session *session, json_t *value)
{
	json_t *data = json_object_get(value, "data");
	size_t len = json_string_length(data);

	resize(session, json_integer_value(json_object_get(value, "height")),
	       json_integer_value(json_object_get(value, "width")));
	if (len > buf_room(&session->keys))
		return ERR_AGAIN;
	return len ? buf_append(&session->keys, json_string_value(data), len) :
		     0;
}

/* One JSON object of keystrokes. ERR_AGAIN: not all there, or no room. */
static int take_keys(struct pty_client *client, const uint8_t *data,
		     size_t len)
{
	json_error_t where;
	json_t *value = json_loadb((const char *)data, len,
				   JSON_DISABLE_EOF_CHECK, &where);
	int err;

	if (!value)
		return len < JSON_CAP ? ERR_AGAIN : ERR_TOO_LARGE;
	err = press(client->session, value);
	json_decref(value);
	if (err < 0)
		return err;
	stream_consume(client->stream, (size_t)where.position);
	session_watch(client->session);
	return 0;
}

static int take_one(struct pty_client *client)
{
	const uint8_t *data;
	ssize_t len = stream_peek(client->stream, &data);

	if (len <= 0)
		return len ? (int)len : ERR_CLOSED;
	if (!client->named)
		return take_name(client, data, (size_t)len);
	if (client->session)
		return take_keys(client, data, (size_t)len);
	stream_consume(client->stream, (size_t)len);
	return 0;
}

static void changed(struct stream *stream, void *user)
{
	struct pty_client *client = user;
	struct pty_session *session;
	int err;

	(void)stream;
	client_flush(client);
	do
		err = take_one(client);
	while (err == 0);
	session = client->session;
	if (err != ERR_AGAIN)
		client_free(client, err != ERR_CLOSED);
	if (session)
		session_watch(session);
}

void agent_pty_serve(struct agent *agent, struct stream *stream)
{
	struct pty_client *client = NULL;

	if (!agent->sim->config.no_processes)
		client = calloc(1, sizeof(*client));
	if (!client) {
		stream_close(stream, true);
		return;
	}
	client->stream = stream;
	buf_init(&client->out, OUT_CAP);
	stream->on_change = changed;
	stream->user = client;
	flow_begin(&client->flow, agent, client_close);
}
