#include <signal.h>

#include "core/io/internal.h"

static const int numbers[IO_SIGNAL_COUNT] = {
	SIGINT, SIGTERM, SIGHUP, SIGUSR2,
};

static void on_uv_signal(uv_signal_t *handle, int signo)
{
	struct io *io = handle->data;

	if (io->on_signal)
		io->on_signal(io->signal_user, signo);
}

int io_signals_init(struct io *io)
{
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < IO_SIGNAL_COUNT; i++) {
		int status = uv_signal_init(&io->uv, &io->signals[i]);

		if (status < 0)
			return io_err_from_uv(status);
		io->signals[i].data = io;
	}
	return 0;
}

int io_on_signal(struct io *io, io_signal *on_signal, void *user)
{
	io->on_signal = on_signal;
	io->signal_user = user;
	for (int i = 0; i < IO_SIGNAL_COUNT; i++) {
		uv_signal_t *handle = &io->signals[i];
		int status = on_signal ?
			uv_signal_start(handle, on_uv_signal, numbers[i]) :
			uv_signal_stop(handle);

		if (status < 0)
			return io_err_from_uv(status);
	}
	return 0;
}

void io_signals_close(struct io *io)
{
	for (int i = 0; i < IO_SIGNAL_COUNT; i++)
		if (io->signals[i].data)
			uv_close((uv_handle_t *)&io->signals[i], NULL);
}
