#include "core/io/proxy_ask.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/resolve.h"

#define ANSWER_US (5 * US_PER_S)

void proxy_ask_stop(struct proxy_ask *ask)
{
	timer_stop(ask->loop, &ask->timer);
	task_cancel(&ask->task);
	watcher_stop(ask->loop, &ask->watcher);
	if (ask->watcher.fd >= 0)
		close(ask->watcher.fd);
	ask->watcher.fd = -1;
	explicit_bzero(ask->request, sizeof(ask->request));
}

static void on_task(struct task *task)
{
	struct proxy_ask *ask = task->user;

	proxy_ask_stop(ask);
	ask->done(ask->user, &ask->error);
}

static void finish(struct proxy_ask *ask, int code, const char *what)
{
	error_set(&ask->error, code, "%s", what);
	watcher_stop(ask->loop, &ask->watcher);
	task_post(ask->loop, &ask->task);
}

static int code_of(int status)
{
	if (status == 403 || status == 407)
		return ERR_DENIED;
	return status == 504 ? ERR_TIMEOUT : ERR_UNREACHABLE;
}

static void judge(struct proxy_ask *ask)
{
	char text[PROXY_ANSWER_CAP + 64];
	char *line = ask->answer;
	int status = 0;

	line[strcspn(line, "\r\n")] = '\0';
	for (char *c = line; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	if (sscanf(line, "HTTP/1.%*1[01] %3d", &status) != 1 || status < 200) {
		snprintf(text, sizeof(text),
			 "it does not answer as a proxy does: %.60s", line);
		finish(ask, ERR_PROTOCOL, text);
	} else if (status < 300) {
		finish(ask, ERR_RESET, "connection lost behind it");
	} else {
		snprintf(text, sizeof(text), "it answers %.100s%s",
			 strchr(line, ' ') + 1,
			 status == 407 ? ": write HTTPS_PROXY="
					 "http://USER:PASSWORD@HOST:PORT" : "");
		finish(ask, code_of(status), text);
	}
}

static void read_answer(struct proxy_ask *ask)
{
	size_t room = sizeof(ask->answer) - 1 - ask->answer_len;
	ssize_t n = recv(ask->watcher.fd, ask->answer + ask->answer_len, room,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		ask->answer_len += (size_t)n;
	ask->answer[ask->answer_len] = '\0';
	if (n <= 0 && !ask->answer_len)
		finish(ask, ERR_RESET, "it closes the connection");
	else if (n <= 0 || (size_t)n == room || strchr(ask->answer, '\n'))
		judge(ask);
}

static void write_request(struct proxy_ask *ask)
{
	ssize_t n = send(ask->watcher.fd, ask->request + ask->sent,
			 ask->request_len - ask->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		finish(ask, err_from_errno(errno), strerror(errno));
	if (n < 0)
		return;
	ask->sent += (size_t)n;
	if (ask->sent == ask->request_len &&
	    watcher_set(ask->loop, &ask->watcher, WATCH_READ) < 0)
		finish(ask, ERR_NOMEM, "out of memory");
}

static void on_ready(struct watcher *watcher, unsigned events)
{
	struct proxy_ask *ask = watcher->user;

	(void)events;
	if (ask->sent < ask->request_len)
		write_request(ask);
	else
		read_answer(ask);
}

static void on_silence(struct timer *timer)
{
	finish(timer->user, ERR_TIMEOUT, "it does not answer");
}

static void make_request(struct proxy_ask *ask, const struct proxy *proxy,
			 const struct io_url *target)
{
	unsigned char encoded[2 * PROXY_CREDENTIALS_CAP] = "";
	const char *open = strchr(target->host, ':') ? "[" : "";
	const char *shut = *open ? "]" : "";
	bool secret = *proxy->credentials;

	if (secret)
		EVP_EncodeBlock(encoded,
				(const unsigned char *)proxy->credentials,
				(int)strlen(proxy->credentials));
	ask->request_len = (size_t)snprintf(
		ask->request, sizeof(ask->request),
		"CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n%s%s%s\r\n",
		open, target->host, shut, target->port, open, target->host,
		shut, target->port,
		secret ? "Proxy-Authorization: Basic " : "", encoded,
		secret ? "\r\n" : "");
	explicit_bzero(encoded, sizeof(encoded));
}

void proxy_ask_start(struct proxy_ask *ask, struct loop *loop,
		     const struct sockaddr *address,
		     const struct proxy *proxy, const struct io_url *target,
		     void (*done)(void *user, const struct error *error),
		     void *user)
{
	int fd = socket(address->sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*ask = (struct proxy_ask){ .loop = loop, .done = done, .user = user };
	ask->task = (struct task){ .run = on_task, .user = ask };
	ask->timer = (struct timer){ .fire = on_silence, .user = ask };
	ask->watcher = (struct watcher){
		.ready = on_ready, .user = ask, .fd = fd,
	};
	make_request(ask, proxy, target);
	timer_set(loop, &ask->timer, loop_now_us(loop) + ANSWER_US);
	if (fd < 0 || (connect(fd, address, address_len(address)) < 0 &&
		       errno != EINPROGRESS))
		finish(ask, err_from_errno(errno), strerror(errno));
	else if (watcher_set(loop, &ask->watcher, WATCH_WRITE) < 0)
		finish(ask, ERR_NOMEM, "out of memory");
}
