/*
 * core/io/tls_test_ca.h: a throw-away CA and a server certificate.
 *
 * For the embedded deployment with --tls and for tests. P-256, valid from an
 * hour ago for ten days; the CA's key is forgotten at once.
 */
#ifndef TUNNELHOST_IO_TLS_TEST_CA_H
#define TUNNELHOST_IO_TLS_TEST_CA_H

#include <stdbool.h>

#include "core/base/err.h"

#define TLS_TEST_PATH_CAP 256

struct tls_test_ca {
	char ca_file[TLS_TEST_PATH_CAP];	/* for clients */
	char cert_file[TLS_TEST_PATH_CAP];	/* for the server */
	char key_file[TLS_TEST_PATH_CAP];
};

/*
 * Writes ca.pem, cert.pem and key.pem into the directory. `names`: as in
 * the certificate ("DNS:localhost,IP:127.0.0.1,IP:::1", which is what NULL
 * means). 0 or a negative enum err.
 */
int tls_test_ca_write(const char *directory, const char *names,
		      struct tls_test_ca *out, struct error *error);
/* Removes the files again. */
void tls_test_ca_remove(const struct tls_test_ca *ca);

#endif
