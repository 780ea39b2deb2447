/*
 * core/tunnel/control_private.h: what control.c (the session), control_dial.c
 * (the socket) and control_peer.c (the agent) share. Nobody else includes it.
 */
#ifndef TUNNELHOST_TUNNEL_CONTROL_PRIVATE_H
#define TUNNELHOST_TUNNEL_CONTROL_PRIVATE_H

#include "core/base/backoff.h"
#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/path/path.h"
#include "core/tunnel/control.h"

#define CONTROL_ENDPOINT_CAP PATH_CANDIDATE_CAP	/* the peer's, more are of no use */

struct control {
	struct control_config config;
	char *url;		/* of the coordinate socket, without token */
	uint8_t addresses[NODE_PEER_ADDRESS_CAP][16];
	char *token;		/* resume token; secret */
	int64_t node_id;
	struct channel *channel;
	struct coordinate *coordinate;	/* while the channel is open */
	uint64_t opened_us;	/* when the channel opened, last */
	bool once_connected;
	bool disconnecting;
	bool have_peer;		/* peer.config holds the agent's node */
	bool ready;		/* READY_FOR_HANDSHAKE seen, or waited for */
	bool programmed;
	struct node_peer_config peer;	/* without its endpoints: */
	struct endpoint endpoints[CONTROL_ENDPOINT_CAP];
	struct timer redial;
	struct timer deadline;	/* of the coordinate object */
	struct timer gate;	/* READY_FOR_HANDSHAKE may never come, or the
				 * peer could not be programmed: again */
	struct timer lost;	/* the peer was LOST: drop it some day */
	struct timer retold;	/* the new session should have told the peer */
	struct task finished;	/* on_disconnected, from the loop */
	struct backoff backoff;
	struct network_monitor monitor;
	bool monitored;
	struct key32 last_key;	/* the agent's, when it was programmed last */
};

static inline uint64_t control_now(const struct control *control)
{
	return loop_now_us(control->config.loop);
}

/* Trouble of the moment, which trying again may mend. */
static inline bool control_may_pass(int err)
{
	return err == ERR_NOMEM || err == ERR_LIMIT;
}

/* control.c */
/* The channel's events while it is open. */
void control_channel_opened(void *user);
void control_channel_message(void *user, const uint8_t *data, size_t len);
void control_channel_writable(void *user);
void control_pump(struct control *control);
/* The session is over; whoever says so sees to what comes next. */
void control_session_lost(struct control *control, int code);

/* control_dial.c */
int control_first_dial(struct control *control, struct error *error);
void control_redial_later(struct control *control);
/* No dialling any more. */
void control_dial_stop(struct control *control);
/* The sentence may hold the URL, and that the token. */
void control_log_loss(struct control *control, const struct error *error);
void control_forget_token(struct control *control);

/* control_peer.c */
void control_peer_init(struct control *control);
void control_peer_update(struct control *control,
			 const struct coordinate_update *update);
/* A session has begun, or ended. */
void control_peer_session(struct control *control, bool begun);
/* No timer and no ping of it calls back any more. */
void control_peer_stop(struct control *control);

#endif
