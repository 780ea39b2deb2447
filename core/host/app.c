#include "core/host/app.h"

#include "core/base/list.h"

/* --- a script of its own --------------------------------------------------- */

static struct script *script_of_app(struct tunneler_app *app)
{
	return container_of(app, struct app_script, app)->script;
}

static bool script_job(struct tunneler_app *app)
{
	return script_is_job(script_of_app(app));
}

static int script_start(struct tunneler_app *app, struct script_conn *conn,
			unsigned attempt, script_done *done, void *user)
{
	return script_call_start(script_of_app(app), conn, attempt, done,
				 user);
}

static int script_close(struct tunneler_app *app,
			const struct script_reason *reason, script_done *done,
			void *user)
{
	return script_call_close(script_of_app(app), reason, done, user);
}

static void script_state(struct tunneler_app *app, const char *from,
			 const char *to)
{
	script_post_state(script_of_app(app), from, to);
}

static void script_end_conn(struct tunneler_app *app, struct script_conn *conn)
{
	script_conn_end(script_of_app(app), conn);
}

static int script_end_tasks(struct tunneler_app *app, script_done *done,
			    void *user)
{
	return script_cancel_tasks(script_of_app(app), SCRIPT_TREE_TUNNEL,
				   done, user);
}

static const struct tunneler_app_ops script_ops = {
	.is_job = script_job,
	.start = script_start,
	.close = script_close,
	.post_state = script_state,
	.conn_end = script_end_conn,
	.end_tasks = script_end_tasks,
};

void app_script_init(struct app_script *app, struct script *script)
{
	*app = (struct app_script){ .app = { &script_ops }, .script = script };
}

/* --- a guest, or nothing ---------------------------------------------------- */

static const struct script_result fine = { .ok = true };

static struct app_guest *self(struct tunneler_app *app)
{
	return container_of(app, struct app_guest, app);
}

static bool guest_job(struct tunneler_app *app)
{
	return self(app)->guest && script_guest_is_job(self(app)->guest);
}

static int guest_start(struct tunneler_app *app, struct script_conn *conn,
		       unsigned attempt, script_done *done, void *user)
{
	if (self(app)->guest)
		return script_guest_start(self(app)->guest, conn, attempt,
					  done, user);
	done(user, &fine);
	return 0;
}

static int guest_close(struct tunneler_app *app,
		       const struct script_reason *reason, script_done *done,
		       void *user)
{
	if (self(app)->guest)
		return script_guest_close(self(app)->guest, reason, done,
					  user);
	done(user, &fine);
	return 0;
}

static void guest_state(struct tunneler_app *app, const char *from,
			const char *to)
{
	struct app_guest *guest = self(app);

	guest->on_state(guest->user, to);
	if (guest->guest)
		script_guest_post_state(guest->guest, from, to);
}

static void guest_end_conn(struct tunneler_app *app, struct script_conn *conn)
{
	script_conn_end(self(app)->script, conn);
}

static int guest_end_tasks(struct tunneler_app *app, script_done *done,
			   void *user)
{
	if (self(app)->guest)
		return script_guest_end_tasks(self(app)->guest, done, user);
	done(user, &fine);
	return 0;
}

static const struct tunneler_app_ops guest_ops = {
	.is_job = guest_job,
	.start = guest_start,
	.close = guest_close,
	.post_state = guest_state,
	.conn_end = guest_end_conn,
	.end_tasks = guest_end_tasks,
};

void app_guest_init(struct app_guest *app, struct script *script,
		    struct script_guest *guest)
{
	*app = (struct app_guest){ .app = { &guest_ops }, .script = script,
				   .guest = guest };
}
