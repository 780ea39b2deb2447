/*
 * Any request to the embedded deployment: the first byte chooses its kind,
 * the first line is path and query, the rest the body. With a byte of 0x80
 * what follows goes to a socket of the deployment instead.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory_network.h"
#include "core/base/virtual_loop.h"
#include "core/simulate/simulate.h"

#define PATH_CAP 512

struct client {
	struct channel *channel;
	const uint8_t *data;
	size_t len;
};

static void on_open(void *user)
{
	struct client *client = user;

	(void)channel_send(client->channel, client->data, client->len);
}

static void on_message(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	(void)data;
	(void)len;
}

static void on_close(void *user, const struct channel_end *end)
{
	struct client *client = user;

	(void)end;
	client->channel = NULL;
}

static void done(void *user, const struct http_response *response)
{
	(void)user;
	(void)response;
}

static void ask(struct network *network, struct client *client, uint8_t kind,
		const char *url, const struct http_header *token)
{
	static const struct channel_events events = {
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
	};
	const struct http_request plain = {
		.method = kind & 1 ? "POST" : "GET",
		.url = url,
		.headers = token,
		.header_count = 1,
		.body = client->data,
		.body_len = client->len,
	};
	const struct channel_request channel = {
		.kind = kind & 2 ? CHANNEL_UPGRADE : CHANNEL_BINARY,
		.url = url,
		.protocol = "derp",
		.headers = token,
		.header_count = 1,
		.message_cap = 1 << 20,
		.queue_cap = 1 << 20,
		.events = &events,
		.user = client,
	};
	struct http_call *call;
	struct error error;

	if (!(kind & 0x80))
		(void)network_http(network, &plain, done, NULL, &call,
				   &error);
	else if (network_open_channel(network, &channel, &client->channel,
				      &error) < 0)
		client->channel = NULL;
}

static void fill_url(char out[PATH_CAP], const char *workspace,
		     const char *agent, const uint8_t *line, size_t len)
{
	size_t at = strlen(strcpy(out, "http://x/"));

	/* $W and $A stand for the ids that a corpus cannot know. */
	for (size_t i = 0; i < len && at + UUID_TEXT_CAP < PATH_CAP; i++) {
		const char *id = line[i] == '$' && i + 1 < len ?
			line[i + 1] == 'W' ? workspace :
			line[i + 1] == 'A' ? agent : NULL : NULL;

		if (id) {
			at += strlen(strcpy(out + at, id));
			i++;
		} else if (line[i]) {
			out[at++] = (char)line[i];
		}
	}
	out[at] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct simulation_workspace_config workspace_config = { 0 };
	struct memory_network_config config = { .latency_us = 1000 };
	struct simulation_config simulation = { .token = "token" };
	struct http_header token = { "Coder-Session-Token", "token" };
	struct simulation_workspace *workspace;
	struct memory_network *memory;
	struct client client = { 0 };
	struct virtual_loop v;
	struct simulation *sim;
	struct rng rng;
	struct error error;
	const uint8_t *end;
	char ids[2][UUID_TEXT_CAP];
	char url[PATH_CAP];

	if (size < 2)
		return 0;
	virtual_loop_init(&v);
	rng_seeded(&rng, 1);
	config.loop = simulation.loop = &v.loop;
	simulation.rng = &rng;
	if (memory_network_new(&config, &memory) < 0)
		abort();
	simulation.network = memory_network_of(memory);
	if (simulation_new(&simulation, &sim, &error) < 0 ||
	    simulation_set_url(sim, "http://x") < 0 ||
	    simulation_add_workspace(sim, &workspace_config, &workspace) < 0)
		abort();
	memory_network_set_service(memory, simulation_service(sim));
	uuid_to_text(simulation_workspace_id(workspace), ids[0]);
	uuid_to_text(simulation_agent_id(workspace, 0), ids[1]);
	end = memchr(data + 1, '\n', size - 1);
	if (end) {
		client.data = end + 1;
		client.len = (size_t)(data + size - end) - 1;
	}
	fill_url(url, ids[0], ids[1], data + 1,
		 end ? (size_t)(end - data) - 1 : size - 1);
	ask(memory_network_of(memory), &client, data[0], url, &token);
	virtual_loop_run(&v, 2 * US_PER_S, NULL);
	if (client.channel)
		channel_close(client.channel, 1000, "");
	simulation_free(sim);
	memory_network_free(memory);
	virtual_loop_clear(&v);
	return 0;
}
