/* Names, addresses and changes of the memory network. */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/memory_private.h"

static const struct endpoint here = {
	.address = { [10] = 0xff, 0xff, 127, 0, 0, 1 },
};

struct network_lookup {
	struct list link;
	struct memory_network *memory;
	struct timer wake;
	network_resolved *done;
	void *user;
};

static void free_lookup(struct network_lookup *lookup)
{
	timer_stop(lookup->memory->config.loop, &lookup->wake);
	list_remove(&lookup->link);
	free(lookup);
}

static void answer(struct timer *timer)
{
	struct network_lookup *lookup = timer->user;
	network_resolved *done = lookup->done;
	void *user = lookup->user;

	free_lookup(lookup);
	done(user, 0, &here, 1);
}

int memory_resolve(struct network *network, const char *host,
		   network_resolved *done, void *user,
		   struct network_lookup **out)
{
	struct memory_network *memory = memory_self(network);
	struct network_lookup *lookup = calloc(1, sizeof(*lookup));

	(void)host;
	if (!lookup)
		return ERR_NOMEM;
	lookup->memory = memory;
	lookup->done = done;
	lookup->user = user;
	lookup->wake = (struct timer){ .fire = answer, .user = lookup };
	list_add_tail(&memory->lookups, &lookup->link);
	timer_set(memory->config.loop, &lookup->wake, memory_after(memory, 2));
	*out = lookup;
	return 0;
}

void memory_resolve_cancel(struct network *network,
			   struct network_lookup *lookup)
{
	(void)network;
	free_lookup(lookup);
}

void memory_lookups_free(struct memory_network *memory)
{
	while (!list_empty(&memory->lookups))
		free_lookup(container_of(memory->lookups.next,
					 struct network_lookup, link));
}

size_t memory_local_addresses(struct network *network, struct endpoint *out,
			      size_t cap)
{
	(void)network;
	if (cap == 0)
		return 0;
	out[0] = here;
	return 1;
}

int memory_monitor_add(struct network *network,
		       struct network_monitor *monitor)
{
	list_add_tail(&memory_self(network)->monitors, &monitor->link);
	return 0;
}

void memory_monitor_remove(struct network *network,
			   struct network_monitor *monitor)
{
	(void)network;
	list_remove(&monitor->link);
}

void memory_network_change(struct memory_network *memory)
{
	network_monitors_tell(&memory->monitors);
}
