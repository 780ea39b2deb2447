/*
 * tests/support/fake_network.h: a network whose other end is the test.
 *
 * Keeps one channel and one HTTP call at a time; the test looks at what was
 * asked and says what comes back.
 */
#ifndef TUNNELHOST_TESTS_FAKE_NETWORK_H
#define TUNNELHOST_TESTS_FAKE_NETWORK_H

#include "core/base/network.h"

#define FAKE_TEXT_CAP 4096

struct fake_network {
	struct network network;
	/* of the last channel or call asked for */
	char url[FAKE_TEXT_CAP];
	char method[16];
	char headers[FAKE_TEXT_CAP];	/* "name: value\n" … */
	char body[FAKE_TEXT_CAP];
	enum channel_kind kind;
	size_t message_cap;
	unsigned dials;
	unsigned calls;
	unsigned cancels;
	int close_code;		/* that the owner closed with, else 0 */
	int refuse_with;	/* an enum err for the next requests, or 0 */

	struct channel *channel;	/* open or opening */
	const struct channel_events *events;
	void *user;
	struct http_call *call;
	http_done *done;
	void *done_user;
};

void fake_network_init(struct fake_network *fake);
/* What the other end does; the channel or call must be there. */
void fake_open(struct fake_network *fake);
void fake_message(struct fake_network *fake, const char *text);
void fake_refuse(struct fake_network *fake, int status, const char *body);
void fake_end(struct fake_network *fake, int code, const char *message);
void fake_answer(struct fake_network *fake, int status, const char *body);
void fake_no_answer(struct fake_network *fake, int code, const char *message);

#endif
