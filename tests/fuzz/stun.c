/* A datagram as a request, and as the answer to its own transaction. */
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/stun/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t txid[STUN_TXID_LEN] = { 0 };
	uint8_t response[STUN_RESPONSE_CAP];
	struct endpoint address, again;
	size_t response_len;

	if (len >= STUN_HEADER_LEN)
		memcpy(txid, data + 8, STUN_TXID_LEN);
	if (stun_parse_response(data, len, txid, &address) == 0) {
		response_len = stun_response(txid, &address, response);
		if (stun_parse_response(response, response_len, txid,
					&again) != 0 ||
		    memcmp(again.address, address.address, 16) != 0 ||
		    again.port != address.port)
			abort();
	}
	(void)stun_parse_request(data, len, txid);
	return 0;
}
