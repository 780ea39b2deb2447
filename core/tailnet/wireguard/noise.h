/*
 * core/tailnet/wireguard/noise.h: the handshake Noise_IKpsk2, with no state
 * of peers.
 *
 * Initiator and responder are two structs that don't meet: ours waits in the
 * peer for its response (struct wg_handshake); theirs lives while the
 * response is written (struct wg_incoming). The preshared key is zero, as on
 * a tailnet. White paper, 5.4.2 and 5.4.3. MACs are cookie.h's. The owner
 * clears every struct on every way out. Internal to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_NOISE_H
#define TUNNELHOST_TAILNET_WIREGUARD_NOISE_H

#include "core/base/id.h"
#include "core/base/rng.h"
#include "core/tailnet/wireguard/messages.h"
#include "core/tailnet/wireguard/stamp.h"

struct wg_identity {
	struct key32 private_key;
	struct key32 public_key;
};

struct wg_noise {
	uint8_t hash[WG_HASH_LEN];
	uint8_t chain[WG_HASH_LEN];
};

struct wg_handshake {
	struct wg_noise noise;
	struct key32 ephemeral;
};

struct wg_incoming {
	struct wg_noise noise;
	struct key32 remote_static;
	uint8_t remote_ephemeral[WG_KEY_LEN];
	struct wg_stamp stamp;
	uint32_t remote_index;
};

void wg_noise_clear(struct wg_noise *noise);
void wg_handshake_clear(struct wg_handshake *handshake);
void wg_incoming_clear(struct wg_incoming *incoming);

/*
 * Writes an initiation up to its MACs; ERR_PROTOCOL when the remote key is of
 * low order. `static_static` is the DH of both static keys.
 */
int wg_initiation_write(struct wg_handshake *handshake,
			const struct wg_identity *self,
			const struct key32 *remote,
			const struct key32 *static_static,
			const struct wg_stamp *stamp, struct rng *rng,
			uint32_t index, uint8_t out[WG_INITIATION_LEN]);

/* Reads as far as the static key, which says whose static_static is next. */
int wg_initiation_read(struct wg_incoming *incoming,
		       const struct wg_identity *self,
		       const uint8_t message[WG_INITIATION_LEN]);
/* Authenticates the sender and gives its stamp. 0 or ERR_PROTOCOL. */
int wg_initiation_finish(struct wg_incoming *incoming,
			 const struct key32 *static_static,
			 const uint8_t message[WG_INITIATION_LEN]);

/* Writes a response up to its MACs; incoming->noise is then to be split. */
int wg_response_write(struct wg_incoming *incoming, struct rng *rng,
		      uint32_t index, uint8_t out[WG_RESPONSE_LEN]);

/* The handshake stays as it was: a forged response spoils nothing. */
int wg_response_read(const struct wg_handshake *handshake,
		     const struct wg_identity *self,
		     const uint8_t message[WG_RESPONSE_LEN],
		     struct wg_noise *out);

void wg_noise_split(const struct wg_noise *noise, bool initiator,
		    struct key32 *send, struct key32 *receive);

#endif
