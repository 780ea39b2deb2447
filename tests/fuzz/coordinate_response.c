/* A server's bytes, DRPC on each stream, to a whole client. */
#include <string.h>

#include "core/base/cursor.h"
#include "core/tailnet/coordinate/coordinate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_update(void *user, const struct coordinate_update *update)
{
	size_t *sum = user;

	*sum += strlen(update->reason);
	if (update->node)
		*sum += update->node->endpoint_count;
}

static void on_derp_map(void *user, const struct derp_map *map)
{
	*(size_t *)user += map->region_count;
}

static void on_token(void *user, const struct coordinate_token *token)
{
	*(size_t *)user += strlen(token->token);
}

static void on_complaint(void *user, const char *text)
{
	*(size_t *)user += strlen(text);
}

static const struct coordinate_events events = {
	.on_update = on_update,
	.on_derp_map = on_derp_map,
	.on_token = on_token,
	.on_complaint = on_complaint,
};

/* One frame of data on stream 1, 3 or 5. */
static void frame(struct coordinate *c, uint32_t stream, const uint8_t *data,
		  size_t len)
{
	uint8_t header[12] = { 0 };

	be_store(header + 4, stream, 4);
	be_store(header + 8, len, 4);
	(void)coordinate_in(c, header, sizeof(header), 0);
	(void)coordinate_in(c, data, len, 0);
}

/* Records: stream u8, length u16, bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cursor c = cursor_of(data, len);
	struct coordinate_config config = { .events = &events };
	struct coordinate *client;
	const uint8_t *out;
	size_t sum = 0;

	config.user = &sum;
	if (coordinate_new(&config, 0, &client) < 0)
		return 0;
	while (c.left > 3 && cursor_ok(&c)) {
		uint32_t stream = 1u + 2u * (cursor_u8(&c) % 4u);
		size_t part = cursor_u16(&c);

		part = part < c.left ? part : c.left;
		frame(client, stream, cursor_bytes(&c, part), part);
		coordinate_sent(client, coordinate_output(client, &out), 0);
	}
	coordinate_free(client);
	return 0;
}
