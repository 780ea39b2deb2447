/*
 * tests/link/link.c: a network in user space, for tests of paths and of TCP
 * at a distance. Needs neither netem nor nft: root and /dev/net/tun.
 *
 *   network_link [SEED]
 *
 * Reads commands from standard input, a line each, and answers each by one
 * line, `ok …` or `error WHY`; ends at the end of input. NAME is a side:
 *
 *   side NAME ADDRESS/LEN…     a new namespace; `ok PATH` for nsenter --net=
 *   NAME address ADDRESS/LEN…  other addresses in the namespace
 *   NAME nat none|easy|address|port|hard [PUBLIC]   (see nat.h); mappings and
 *                              the old public address are forgotten
 *   NAME forget                the NAT's mappings
 *   NAME block|unblock udp|tcp
 *   NAME delay|jitter MS [up|down]                  both ways if not said
 *   NAME loss|reorder|duplicate|corrupt PERCENT [up|down]
 *   NAME rate MBIT [up|down]   0: no limit
 *   NAME queue KB [up|down]    before the rate
 *   stats                      `ok` and JSON
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/link/router.h"

#define LINE_CAP 512
#define WORDS_CAP 8
#define PRIORITY -10

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

static const char *add_side(struct router *router, char **words, size_t len)
{
	struct side *side = &router->sides[router->sides_len];
	const char *why;

	if (len < 3 || router->sides_len == ROUTER_SIDES_CAP ||
	    router_side(router, words[1]))
		return "side NAME ADDRESS/LEN…, each name once";
	why = side_open(side, words[1], words + 2, len - 2, &router->rng);
	if (why)
		return why;
	router->sides_len++;
	printf("ok /proc/%d/fd/%d\n", (int)getpid(), side->namespace);
	return "";
}

static const char *set_nat(struct side *side, char **words, size_t len)
{
	struct endpoint public;
	enum nat_kind kind;
	char text[ENDPOINT_TEXT_CAP];

	if (len < 3 || !nat_kind_parse(words[2], &kind))
		return "nat none|easy|address|port|hard [PUBLIC]";
	snprintf(text, sizeof(text), "%s:1", len > 3 ? words[3] : "");
	if (kind == NAT_NONE)
		nat_set(&side->nat, kind, NULL);
	else if (endpoint_parse(text, &public))
		nat_set(&side->nat, kind, public.address);
	else
		return "the NAT needs a public IPv4 address";
	return NULL;
}

static const char *set_block(struct side *side, char **words, size_t len)
{
	bool on = !strcmp(words[1], "block");

	if (len == 3 && !strcmp(words[2], "udp"))
		side->udp_blocked = on;
	else if (len == 3 && !strcmp(words[2], "tcp"))
		side->tcp_blocked = on;
	else
		return "block|unblock udp|tcp";
	return NULL;
}

static bool set_rule(struct lane_rules *rules, const char *name, double value)
{
	if (!strcmp(name, "delay"))
		rules->delay_us = (uint64_t)(value * US_PER_MS);
	else if (!strcmp(name, "jitter"))
		rules->jitter_us = (uint64_t)(value * US_PER_MS);
	else if (!strcmp(name, "loss"))
		rules->loss_ppm = (uint32_t)(value * 10000);
	else if (!strcmp(name, "reorder"))
		rules->reorder_ppm = (uint32_t)(value * 10000);
	else if (!strcmp(name, "duplicate"))
		rules->duplicate_ppm = (uint32_t)(value * 10000);
	else if (!strcmp(name, "corrupt"))
		rules->corrupt_ppm = (uint32_t)(value * 10000);
	else if (!strcmp(name, "rate"))
		rules->bits_per_s = (uint64_t)(value * 1000000);
	else if (!strcmp(name, "queue"))
		rules->queue_bytes = (uint64_t)(value * 1024);
	else
		return false;
	return true;
}

static const char *set_lanes(struct side *side, char **words, size_t len)
{
	const char *way = len > 3 ? words[3] : "";
	char *end = NULL;
	double value = len > 2 ? strtod(words[2], &end) : -1;
	bool known = true;

	if (!end || *end || value < 0 || value > 1e6)
		return "unknown command, or not a number";
	if (strcmp(way, "down"))
		known &= set_rule(&side->up.rules, words[1], value);
	if (strcmp(way, "up"))
		known &= set_rule(&side->down.rules, words[1], value);
	return known ? NULL : "unknown command";
}

static const char *change_side(struct side *side, char **words, size_t len)
{
	if (!strcmp(words[1], "address"))
		return side_readdress(side, words + 2, len - 2);
	if (!strcmp(words[1], "nat"))
		return set_nat(side, words, len);
	if (!strcmp(words[1], "block") || !strcmp(words[1], "unblock"))
		return set_block(side, words, len);
	if (!strcmp(words[1], "forget")) {
		nat_forget(&side->nat);
		return NULL;
	}
	return set_lanes(side, words, len);
}

static void print_lane(const char *name, const struct lane *lane)
{
	printf("\"%s\":{\"passed\":%llu,\"lost\":%llu,\"overflowed\":%llu}",
	       name, (unsigned long long)lane->passed,
	       (unsigned long long)lane->lost,
	       (unsigned long long)lane->overflowed);
}

static const char *print_stats(const struct router *router)
{
	printf("ok {\"dropped\":%zu", router->dropped);
	for (size_t i = 0; i < router->sides_len; i++) {
		printf(",\"%s\":{", router->sides[i].name);
		print_lane("up", &router->sides[i].up);
		putchar(',');
		print_lane("down", &router->sides[i].down);
		putchar('}');
	}
	puts("}");
	return "";
}

/* NULL: done; "": done and answered; else why not. */
static const char *command(struct router *router, char *line)
{
	char *words[WORDS_CAP], *rest = NULL;
	size_t len = 0;
	struct side *side;

	for (char *w = strtok_r(line, " ", &rest); w && len < WORDS_CAP;
	     w = strtok_r(NULL, " ", &rest))
		words[len++] = w;
	if (!len)
		return "an empty line";
	if (!strcmp(words[0], "side"))
		return add_side(router, words, len);
	if (!strcmp(words[0], "stats"))
		return print_stats(router);
	side = router_side(router, words[0]);
	if (!side || len < 2)
		return "no such side, or nothing to do";
	return change_side(side, words, len);
}

static void answer(struct router *router, char *line)
{
	const char *why;

	errno = 0;
	why = command(router, line);
	if (!why)
		puts("ok");
	else if (*why)
		printf("error %s%s%s\n", why, errno ? ": " : "",
		       errno ? strerror(errno) : "");
	fflush(stdout);
}

struct input {
	char bytes[LINE_CAP];
	size_t len;
};

/* False at the end of input. */
static bool read_commands(struct router *router, struct input *in)
{
	ssize_t n = read(STDIN_FILENO, in->bytes + in->len,
			 sizeof(in->bytes) - in->len);
	char *end;

	if (n <= 0)
		return false;
	in->len += (size_t)n;
	while ((end = memchr(in->bytes, '\n', in->len))) {
		size_t used = (size_t)(end - in->bytes) + 1;

		*end = '\0';
		answer(router, in->bytes);
		in->len -= used;
		memmove(in->bytes, in->bytes + used, in->len);
	}
	return in->len < sizeof(in->bytes);
}

/* Waits for input, packets or the next packet's time. */
static void wait_for(struct router *router, struct pollfd *polled)
{
	uint64_t deadline = heap_next_deadline(&router->timers), at = now();
	uint64_t left = deadline > at ? deadline - at : 0;
	struct timespec limit = { .tv_sec = (time_t)(left / US_PER_S),
				  .tv_nsec = (long)(left % US_PER_S) * 1000 };

	polled[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	for (size_t i = 0; i < router->sides_len; i++)
		polled[i + 1] = (struct pollfd){ .fd = router->sides[i].tun,
						 .events = POLLIN };
	if (ppoll(polled, router->sides_len + 1,
		  deadline == DEADLINE_NONE ? NULL : &limit, NULL) < 0)
		polled[0].revents = 0;
}

static void run(struct router *router)
{
	struct pollfd polled[ROUTER_SIDES_CAP + 1];
	struct input in = { .len = 0 };
	size_t sides;

	for (;;) {
		sides = router->sides_len;
		wait_for(router, polled);
		router_run(router, now());
		for (size_t i = 0; i < sides; i++)
			if (polled[i + 1].revents)
				router_read(router, &router->sides[i], now());
		router_run(router, now());
		if (polled[0].revents && !read_commands(router, &in))
			return;
	}
}

int main(int argc, char **argv)
{
	static struct router router;

	router_init(&router, argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
	/* The line must not wait for its ends; without the right it may. */
	(void)!setpriority(PRIO_PROCESS, 0, PRIORITY);
	run(&router);
	router_clear(&router);
	return 0;
}
