#include "core/io/tls_test_ca.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALID_S (10 * 24 * 3600)

static bool add_extension(X509 *cert, X509 *issuer, int nid,
			  const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool ok;

	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool set_serial(X509 *cert)
{
	uint64_t serial;

	return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert),
				       serial >> 1) == 1;
}

static X509 *new_cert(const char *name, EVP_PKEY *key)
{
	X509 *cert = X509_new();

	if (cert && X509_set_version(cert, X509_VERSION_3) == 1 &&
	    set_serial(cert) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) &&
	    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
				       MBSTRING_UTF8,
				       (const unsigned char *)name, -1, -1,
				       0) == 1 &&
	    X509_set_pubkey(cert, key) == 1)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool issue(X509 *cert, X509 *issuer, EVP_PKEY *issuer_key)
{
	return X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
	       X509_sign(cert, issuer_key, EVP_sha256()) > 0;
}

static X509 *make_ca(EVP_PKEY *key)
{
	X509 *ca = new_cert("tunnelhost test CA", key);

	if (ca && add_extension(ca, ca, NID_basic_constraints,
				"critical,CA:TRUE") &&
	    add_extension(ca, ca, NID_key_usage,
			  "critical,keyCertSign,cRLSign") &&
	    add_extension(ca, ca, NID_subject_key_identifier, "hash") &&
	    issue(ca, ca, key))
		return ca;
	X509_free(ca);
	return NULL;
}

static X509 *make_leaf(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key,
		       const char *names)
{
	X509 *leaf = new_cert("tunnelhost test server", key);

	if (leaf && add_extension(leaf, ca, NID_subject_alt_name, names) &&
	    add_extension(leaf, ca, NID_basic_constraints, "CA:FALSE") &&
	    add_extension(leaf, ca, NID_ext_key_usage, "serverAuth") &&
	    add_extension(leaf, ca, NID_authority_key_identifier, "keyid") &&
	    issue(leaf, ca, ca_key))
		return leaf;
	X509_free(leaf);
	return NULL;
}

static bool write_cert(const char *path, X509 *cert)
{
	FILE *file = fopen(path, "we");
	bool ok = file && PEM_write_X509(file, cert) == 1;

	return (!file || fclose(file) == 0) && ok;
}

static bool write_key(const char *path, EVP_PKEY *key)
{
	FILE *file = fopen(path, "we");
	bool ok = file && fchmod(fileno(file), 0600) == 0 &&
		  PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) ==
			  1;

	return (!file || fclose(file) == 0) && ok;
}

int tls_test_ca_write(const char *directory, const char *names,
		      struct tls_test_ca *out, struct error *error)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *ca = ca_key ? make_ca(ca_key) : NULL;
	X509 *leaf = ca && key ?
		make_leaf(ca, ca_key, key,
			  names ? names :
				  "DNS:localhost,IP:127.0.0.1,IP:::1") :
		NULL;
	bool ok = leaf != NULL;

	snprintf(out->ca_file, TLS_TEST_PATH_CAP, "%s/ca.pem", directory);
	snprintf(out->cert_file, TLS_TEST_PATH_CAP, "%s/cert.pem", directory);
	snprintf(out->key_file, TLS_TEST_PATH_CAP, "%s/key.pem", directory);
	ok = ok && write_cert(out->ca_file, ca) &&
	     write_cert(out->cert_file, leaf) && write_key(out->key_file, key);
	X509_free(ca);
	X509_free(leaf);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	return ok ? 0 : error_set(error, ERR_INTERNAL,
				  "cannot make a test certificate in %s",
				  directory);
}

void tls_test_ca_remove(const struct tls_test_ca *ca)
{
	unlink(ca->ca_file);
	unlink(ca->cert_file);
	unlink(ca->key_file);
}
