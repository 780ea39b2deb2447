/*
 * Is the certificate made out to whom we meant to reach?
 *
 * libwebsockets tells OpenSSL the name from the Host header, cut at the
 * first ':'. That checks nothing for an IPv6 literal, so the leaf is checked
 * here again against the whole name or address, whatever was set there. The
 * DERP map may say that a relay's certificate is made out to another name.
 */
#include <openssl/x509v3.h>
#include <string.h>

#include "core/io/dial.h"

static bool fits(X509 *leaf, const struct io_url *url, const char *cert_name)
{
	const char *name = cert_name ? cert_name : url->host;

	if (url->literal && !cert_name)
		return X509_check_ip_asc(leaf, name, 0) == 1;
	return X509_check_host(leaf, name, strlen(name),
			       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
			       NULL) == 1;
}

int tls_verify(const struct io_url *url, const char *cert_name,
	       X509_STORE_CTX *store, bool ok, int *verify_error)
{
	if (ok && X509_STORE_CTX_get_error_depth(store) == 0 &&
	    !fits(X509_STORE_CTX_get_current_cert(store), url, cert_name)) {
		X509_STORE_CTX_set_error(store,
					 url->literal && !cert_name ?
						 X509_V_ERR_IP_ADDRESS_MISMATCH :
						 X509_V_ERR_HOSTNAME_MISMATCH);
		ok = false;
	}
	if (!ok)
		*verify_error = X509_STORE_CTX_get_error(store);
	return ok ? 0 : 1;
}
