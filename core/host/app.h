/*
 * core/host/app.h: what can be a tunnel's application.
 *
 * A script of its own (`run APP.lua`), a guest in the state of the script
 * that opened the tunnel, or nothing at all: then the tunnel's being up is
 * what it is for.
 */
#ifndef TUNNELHOST_HOST_APP_H
#define TUNNELHOST_HOST_APP_H

#include "core/host/tunneler.h"
#include "core/script/guest.h"

struct app_script {
	struct tunneler_app app;
	struct script *script;
};
void app_script_init(struct app_script *app, struct script *script);

struct app_guest {
	struct tunneler_app app;
	struct script *script;		/* that uses the connection */
	struct script_guest *guest;	/* NULL: none */
	void (*on_state)(void *user, const char *to);
	void *user;
};
void app_guest_init(struct app_guest *app, struct script *script,
		    struct script_guest *guest);

#endif
