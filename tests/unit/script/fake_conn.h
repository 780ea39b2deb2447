/*
 * A connection whose ports are pipes: 7 echoes, 9 never reads, 19 sends
 * 1000 bytes and ends, 104 resets, 1000 refuses, 1001 never answers, 1 is
 * handed to `on_ssh`.
 */
#ifndef TUNNELHOST_TESTS_SCRIPT_FAKE_CONN_H
#define TUNNELHOST_TESTS_SCRIPT_FAKE_CONN_H

#include "core/base/loop.h"
#include "core/script/script.h"

struct fake_conn {
	struct script_conn conn;
	struct loop *loop;
	struct list dials;
	struct list peers;
	unsigned shutdowns;
	int shutdown_status;
	unsigned canceled;
	int (*on_ssh)(void *user, struct stream *stream);
	void *ssh_user;
	struct script_local local;
	script_connected *on_accept;
	void *accept_user;
};

void fake_conn_init(struct fake_conn *fake, struct loop *loop);
void fake_conn_clear(struct fake_conn *fake);

#endif
