#include "core/simulate/sshd.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/simulate/sshd_private.h"

static int allow(ssh_session session, const char *user, void *data)
{
	struct sshd_connection *connection = data;

	(void)session;
	snprintf(connection->user, sizeof(connection->user), "%s", user);
	return SSH_AUTH_SUCCESS;
}

static ssh_channel open_session(ssh_session session, void *data)
{
	struct sshd_channel *channel = sshd_channel_new(data);

	(void)session;
	return channel ? channel->lane.channel : NULL;
}

/* What the callbacks do not serve: refused by libssh's default answer. */
static int refuse_message(ssh_session session, ssh_message message, void *data)
{
	(void)session;
	(void)message;
	(void)data;
	return 1;
}

static void free_connection(struct sshd_connection *connection)
{
	list_remove(&connection->entry);
	connection->sshd->connection_count--;
	task_cancel(&connection->reap);
	list_each(at, safe, &connection->channels)
		sshd_channel_free(container_of(at, struct sshd_channel,
					       entry));
	ssh_link_clear(&connection->link);
	free(connection);
}

static void run_reap(struct task *task)
{
	free_connection(task->user);
}

static void ended(struct ssh_link *link)
{
	struct sshd_connection *connection =
		container_of(link, struct sshd_connection, link);

	log_debug(connection->sshd->log, "simulate", "%s",
		  link->error.message);
	task_post(link->loop, &connection->reap);
}

static int start_session(struct sshd_connection *connection)
{
	struct ssh_link *link = &connection->link;
	int accepted;

	link->session = ssh_new();
	if (!link->session)
		return ERR_NOMEM;
	accepted = ssh_bind_accept_fd(connection->sshd->bind, link->session,
				      link->session_fd);
	/* The session may have it even though the rest has failed. */
	if (ssh_get_fd(link->session) == link->session_fd)
		link->session_fd = -1;
	if (accepted != SSH_OK)
		return ERR_INTERNAL;
	ssh_set_blocking(link->session, 0);
	ssh_set_auth_methods(link->session, SSH_AUTH_METHOD_NONE);
	connection->callbacks = (struct ssh_server_callbacks_struct){
		.userdata = connection,
		.auth_none_function = allow,
		.channel_open_request_session_function = open_session,
	};
	ssh_callbacks_init(&connection->callbacks);
	ssh_set_server_callbacks(link->session, &connection->callbacks);
	ssh_set_message_callback(link->session, refuse_message, NULL);
	if (ssh_handle_key_exchange(link->session) == SSH_ERROR)
		return ERR_INTERNAL;
	return ssh_link_start(link);
}

int sshd_accept(struct sshd *sshd, struct stream *stream)
{
	struct sshd_connection *connection = calloc(1, sizeof(*connection));
	int err;

	if (!connection) {
		stream_close(stream, true);
		return ERR_NOMEM;
	}
	err = ssh_link_init(&connection->link, sshd->loop, stream);
	if (err < 0) {
		free(connection);
		return err;
	}
	connection->link.ended = ended;
	connection->sshd = sshd;
	connection->reap = (struct task){ .run = run_reap,
					  .user = connection };
	list_init(&connection->channels);
	list_add_tail(&sshd->connections, &connection->entry);
	sshd->connection_count++;
	err = start_session(connection);
	if (err < 0)
		free_connection(connection);
	return err;
}

static int set_bind_options(ssh_bind bind)
{
	const struct {
		enum ssh_bind_options_e option;
		const void *value;
	} options[] = {
		{ SSH_BIND_OPTIONS_PROCESS_CONFIG, &(bool){ false } },
		{ SSH_BIND_OPTIONS_CIPHERS_C_S, SSH_LINK_CIPHERS },
		{ SSH_BIND_OPTIONS_CIPHERS_S_C, SSH_LINK_CIPHERS },
		{ SSH_BIND_OPTIONS_KEY_EXCHANGE, SSH_LINK_KEX },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (ssh_bind_options_set(bind, options[i].option,
					 options[i].value) < 0)
			return ERR_INTERNAL;
	return 0;
}

static int make_host_key(ssh_bind bind)
{
	ssh_key key = NULL;

	if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
		return ERR_INTERNAL;
	if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) < 0) {
		ssh_key_free(key);
		return ERR_INTERNAL;
	}
	return 0;
}

int sshd_new(struct loop *loop, struct log *log,
	     const struct sshd_handler *handler, struct sshd **out)
{
	struct sshd *sshd = calloc(1, sizeof(*sshd));
	int err;

	if (!sshd)
		return ERR_NOMEM;
	sshd->loop = loop;
	sshd->log = log;
	sshd->handler = handler;
	list_init(&sshd->connections);
	sshd->bind = ssh_bind_new();
	err = sshd->bind ? set_bind_options(sshd->bind) : ERR_NOMEM;
	if (err == 0)
		err = make_host_key(sshd->bind);
	if (err < 0)
		sshd_free(sshd);
	else
		*out = sshd;
	return err;
}

void sshd_disconnect_all(struct sshd *sshd)
{
	list_each(at, safe, &sshd->connections)
		free_connection(container_of(at, struct sshd_connection,
					     entry));
}

void sshd_free(struct sshd *sshd)
{
	sshd_disconnect_all(sshd);
	ssh_bind_free(sshd->bind);
	free(sshd);
}

size_t sshd_connection_count(const struct sshd *sshd)
{
	return sshd->connection_count;
}
