/* Requests of three peers to a coordinator. */
#include "core/base/cursor.h"
#include "core/tailnet/coordinate/coordinator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int deliver(void *user, const void *data, size_t len, uint64_t now_us)
{
	(void)user;
	(void)now_us;
	return len > 3 && ((const uint8_t *)data)[len - 1] == 0xee;
}

static void hang_up(void *user, uint64_t now_us)
{
	(void)now_us;
	*(struct coordinator_peer **)user = NULL;
}

static const struct coordinator_events events = { deliver, hang_up };

/* Records: peer u8, length u16, bytes; length 0 leaves and joins. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cursor c = cursor_of(data, len);
	struct coordinator_peer *peers[3] = { NULL };
	struct coordinator *coordinator;
	struct rng rng;

	rng_seeded(&rng, 1);
	if (coordinator_new(&rng, &coordinator) < 0)
		return 0;
	while (c.left > 3) {
		size_t i = cursor_u8(&c) % 3u;
		size_t part = cursor_u16(&c);
		struct uuid id = { .bytes = { [15] = (uint8_t)i } };

		part = part < c.left ? part : c.left;
		if (part == 0 && peers[i]) {
			coordinator_leave(peers[i], 0);
			peers[i] = NULL;
		}
		if (!peers[i] &&
		    coordinator_join(coordinator, &id, i == 0, NULL, &events,
				     &peers[i], 0, &peers[i]) < 0)
			break;
		(void)coordinator_request(peers[i], cursor_bytes(&c, part),
					  part, 0);
	}
	coordinator_free(coordinator);
	return 0;
}
