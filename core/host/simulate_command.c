#include "core/host/simulate_command.h"

#include <stdio.h>

#include "core/base/buf.h"
#include "core/io/io.h"
#include "core/simulate/serve.h"

#define STATUS_CANNOT_SERVE 69
#define LINE_CAP (64 * 1024)

struct serving {
	struct io *io;
	struct stream *stdio;
	struct simulate_server *server;
	bool done;
};

static void stop(struct serving *serving)
{
	serving->done = true;
	io_stop(serving->io);
}

static void on_signal(void *user, int signo)
{
	(void)signo;
	stop(user);
}

/* Whoever started us goes away with the pipe that it holds. */
static void on_stdin(struct stream *stream, void *user)
{
	const uint8_t *data;
	ssize_t len;

	while ((len = stream_peek(stream, &data)) > 0)
		stream_consume(stream, (size_t)len);
	if (len != ERR_AGAIN)
		stop(user);
}

static int announce(struct serving *serving, bool json, struct error *error)
{
	struct buf line;
	int err;

	buf_init(&line, LINE_CAP);
	err = json ? simulate_server_json(serving->server, &line) :
		     simulate_server_exports(serving->server, &line);
	if (err == 0)
		(void)stream_write(serving->stdio, buf_data(&line), line.len);
	else
		error_set(error, err, "no memory");
	buf_clear(&line);
	return err;
}

static int begin(struct serving *serving, const struct options *options,
		 struct console *console, struct rng *rng, struct error *error)
{
	const struct io_config io_config = { .log = &console->log };
	struct simulate_serve_config config = {
		.rng = rng,
		.log = &console->log,
		.listen = options->listen,
		.workspace_state = options->workspace_state,
		.agents = (size_t)options->agents,
		.tls = options->tls,
		.no_direct = options->no_direct,
		.websockets_only = options->websockets_only,
	};
	int err = io_new(&io_config, &serving->io, error);

	if (err < 0)
		return err;
	console_attach(console, serving->io);
	config.io = serving->io;
	err = io_stdio(serving->io, &serving->stdio, error);
	if (err == 0)
		err = simulate_serve(&config, &serving->server, error);
	if (err == 0)
		err = announce(serving, options->json, error);
	if (err == 0)
		err = io_on_signal(serving->io, on_signal, serving);
	return err;
}

static void finish(struct serving *serving, struct console *console)
{
	if (serving->server)
		simulate_server_free(serving->server);
	if (serving->stdio)
		stream_close(serving->stdio, false);
	console_attach(console, NULL);
	if (serving->io)
		io_free(serving->io);
}

int simulate_command(const struct options *options, struct console *console)
{
	struct serving serving = { .io = NULL };
	struct error error;
	struct rng rng;
	int err;

	rng_system(&rng);
	err = begin(&serving, options, console, &rng, &error);
	if (err == 0) {
		serving.stdio->on_change = on_stdin;
		serving.stdio->user = &serving;
		io_run(serving.io, &serving.done);
	}
	finish(&serving, console);
	if (err < 0)
		console_error(console, "cannot serve", error.message, NULL);
	return err < 0 ? STATUS_CANNOT_SERVE : 0;
}
