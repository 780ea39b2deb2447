#include "core/conn/sshc.h"

#include <libssh/server.h>
#include <stdlib.h>

#include "core/conn/sshc_private.h"

#define SSHC_USER "coder"

static struct sshc *from_link(struct ssh_link *link)
{
	return container_of(link, struct sshc, link);
}

static bool connect_step(struct sshc *sshc)
{
	int answer = ssh_connect(sshc->link.session);

	if (answer == SSH_OK)
		sshc->state = SSHC_AUTHENTICATING;
	/* An error is the session's end, which the link reports. */
	return answer == SSH_OK;
}

static bool authenticate_step(struct sshc *sshc)
{
	int answer = ssh_userauth_none(sshc->link.session, NULL);

	if (answer == SSH_AUTH_AGAIN)
		return false;
	if (answer == SSH_AUTH_SUCCESS) {
		sshc->state = SSHC_READY;
		sshc->ready_untold = true;
		task_post(sshc->link.loop, &sshc->tell);
		return true;
	}
	if (ssh_is_connected(sshc->link.session))
		ssh_link_fail(&sshc->link, ERR_DENIED,
			      "the agent demands authentication");
	return true;
}

static bool step(struct ssh_link *link)
{
	struct sshc *sshc = from_link(link);
	bool busy = false;

	switch (sshc->state) {
	case SSHC_CONNECTING:
		return connect_step(sshc);
	case SSHC_AUTHENTICATING:
		return authenticate_step(sshc);
	case SSHC_READY:
		break;
	}
	list_each(at, safe, &sshc->channels)
		busy |= sshc_channel_step(
			container_of(at, struct sshc_channel, entry));
	return busy;
}

static void ended(struct ssh_link *link)
{
	struct sshc *sshc = from_link(link);

	list_each(at, safe, &sshc->channels)
		sshc_channel_lose(container_of(at, struct sshc_channel, entry),
				  &link->error);
	log_debug(sshc->log, "conn", "%s", link->error.message);
	sshc->end_untold = true;
	task_post(link->loop, &sshc->tell);
}

static bool channels_have_news(const struct sshc *sshc)
{
	list_each(at, safe, &sshc->channels) {
		struct sshc_channel *channel =
			container_of(at, struct sshc_channel, entry);

		if (list_linked(&channel->tell.link))
			return true;
	}
	return false;
}

/* One callback a run, because it may close the session. */
static void tell(struct task *task)
{
	struct sshc *sshc = task->user;

	if (sshc->ready_untold) {
		sshc->ready_untold = false;
		if (sshc->end_untold)
			task_post(sshc->link.loop, task);
		if (sshc->events->on_ready)
			sshc->events->on_ready(sshc->user);
		return;
	}
	if (!sshc->end_untold)
		return;
	if (channels_have_news(sshc)) {
		task_post(sshc->link.loop, task);
		return;
	}
	sshc->end_untold = false;
	if (sshc->events->on_end)
		sshc->events->on_end(sshc->user, &sshc->link.error);
}

/* An agent has nothing to ask of us (X11, agent forwarding). */
static int refuse_message(ssh_session session, ssh_message message, void *user)
{
	(void)session;
	(void)message;
	(void)user;
	return 1;
}

static int set_options(ssh_session session, int fd)
{
	const struct {
		enum ssh_options_e option;
		const void *value;
	} options[] = {
		{ SSH_OPTIONS_PROCESS_CONFIG, &(bool){ false } },
		{ SSH_OPTIONS_HOST, "agent" },
		{ SSH_OPTIONS_USER, SSHC_USER },
		{ SSH_OPTIONS_FD, &fd },
		{ SSH_OPTIONS_KNOWNHOSTS, "/dev/null" },
		{ SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null" },
		{ SSH_OPTIONS_CIPHERS_C_S, SSH_LINK_CIPHERS },
		{ SSH_OPTIONS_CIPHERS_S_C, SSH_LINK_CIPHERS },
		{ SSH_OPTIONS_KEY_EXCHANGE, SSH_LINK_KEX },
		{ SSH_OPTIONS_COMPRESSION, "no" },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (ssh_options_set(session, options[i].option,
				    options[i].value) < 0)
			return ERR_INTERNAL;
	return 0;
}

static int start_session(struct sshc *sshc)
{
	struct ssh_link *link = &sshc->link;
	int err;

	link->session = ssh_new();
	if (!link->session)
		return ERR_NOMEM;
	err = set_options(link->session, link->session_fd);
	if (err < 0)
		return err;
	ssh_set_blocking(link->session, 0);
	ssh_set_message_callback(link->session, refuse_message, NULL);
	/* The session closes it from here on, also when it fails. */
	link->session_fd = -1;
	if (ssh_connect(link->session) == SSH_ERROR)
		return ERR_INTERNAL;
	return ssh_link_start(link);
}

int sshc_open(struct loop *loop, struct stream *stream, struct log *log,
	      const struct sshc_events *events, void *user, struct sshc **out)
{
	struct sshc *sshc = calloc(1, sizeof(*sshc));
	int err;

	if (!sshc) {
		stream_close(stream, true);
		return ERR_NOMEM;
	}
	err = ssh_link_init(&sshc->link, loop, stream);
	if (err < 0) {
		free(sshc);
		return err;
	}
	list_init(&sshc->channels);
	sshc->link.step = step;
	sshc->link.ended = ended;
	sshc->log = log;
	sshc->events = events;
	sshc->user = user;
	sshc->tell = (struct task){ .run = tell, .user = sshc };
	err = start_session(sshc);
	if (err < 0)
		sshc_close(sshc);
	else
		*out = sshc;
	return err;
}

void sshc_close(struct sshc *sshc)
{
	task_cancel(&sshc->tell);
	list_each(at, safe, &sshc->channels)
		sshc_channel_free(container_of(at, struct sshc_channel,
					       entry));
	ssh_link_clear(&sshc->link);
	free(sshc);
}
