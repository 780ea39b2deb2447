#include "core/tailnet/wireguard/counter.h"

#include "core/tailnet/wireguard/messages.h"

/* Clears the words between the old greatest and the new one. */
static void advance(struct wg_counter *window, uint64_t counter)
{
	uint64_t word = window->greatest / 64;
	uint64_t steps = counter / 64 - word;

	if (steps > WG_COUNTER_WORDS)
		steps = WG_COUNTER_WORDS;
	for (uint64_t i = 1; i <= steps; i++)
		window->words[(word + i) % WG_COUNTER_WORDS] = 0;
	window->greatest = counter;
}

bool wg_counter_accept(struct wg_counter *window, uint64_t counter)
{
	uint64_t bit = 1ull << (counter % 64);
	uint64_t *word = &window->words[counter / 64 % WG_COUNTER_WORDS];

	if (counter >= WG_REJECT_AFTER_MESSAGES)
		return false;
	if (counter > window->greatest)
		advance(window, counter);
	else if (window->greatest - counter > WG_COUNTER_WINDOW)
		return false;
	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}
