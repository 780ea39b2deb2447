/*
 * core/tailnet/coordinate/resume_token.h: tokens that keep a peer's id.
 *
 * What the embedded deployment gives out and takes back: a compact JWS, HS512
 * with a `kid`, subject the peer id, with an expiry (coder: tailnet/resume.go,
 * coderd/jwtutils; peer/coordinator.go). Wall time is handed in.
 */
#ifndef TUNNELHOST_COORDINATE_RESUME_TOKEN_H
#define TUNNELHOST_COORDINATE_RESUME_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/rng.h"

#define RESUME_TOKEN_CAP 512		/* with the NUL */
#define RESUME_TOKEN_KEY_LEN 64

struct resume_tokens {
	uint8_t key[RESUME_TOKEN_KEY_LEN];
	char kid[UUID_TEXT_CAP];
	int64_t lifetime_s;
};

void resume_tokens_init(struct resume_tokens *tokens, struct rng *rng,
			int64_t lifetime_s);
void resume_tokens_wipe(struct resume_tokens *tokens);

/* Valid until `expires_s`; writes at most RESUME_TOKEN_CAP. */
void resume_token_sign(const struct resume_tokens *tokens,
		       const struct uuid *peer, int64_t expires_s,
		       char out[RESUME_TOKEN_CAP]);
/* 0, or ERR_UNAUTHORIZED with the reason. */
int resume_token_verify(const struct resume_tokens *tokens, const char *text,
			int64_t now_s, struct uuid *peer, struct error *error);

#endif
