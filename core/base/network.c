#include "core/base/network.h"

void network_monitors_tell(struct list *monitors)
{
	struct list told;
	struct list *at;

	list_init(&told);
	while ((at = list_pop(monitors)) != NULL)
		list_add_tail(&told, at);
	while ((at = list_pop(&told)) != NULL) {
		struct network_monitor *monitor =
			container_of(at, struct network_monitor, link);

		list_add_tail(monitors, at);
		monitor->changed(monitor);
	}
}
