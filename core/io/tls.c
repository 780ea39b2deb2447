/*
 * One SSL_CTX for all client connections: the system's CAs, the extra ones
 * and the client's certificate. libwebsockets takes it as it is.
 *
 * To parse the system's whole bundle takes 27 ms. Its directory of hashed
 * links holds the same certificates, and only the one needed is read.
 */
#include <dirent.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/internal.h"

static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "unknown error";
}

static int load_ca(SSL_CTX *tls, const char *file, struct error *error)
{
	if (SSL_CTX_load_verify_file(tls, file))
		return 0;
	return error_set(error, ERR_NOT_FOUND,
			 "CA certificates %s cannot be used: %s", file,
			 reason());
}

static int load_identity(SSL_CTX *tls, const char *cert, const char *key,
			 struct error *error)
{
	if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
		return error_set(error, ERR_NOT_FOUND,
				 "client certificate %s cannot be used: %s",
				 cert, reason());
	if (!key || SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		return error_set(error, ERR_NOT_FOUND,
				 "client key %s cannot be used: %s",
				 key ? key : "(none given)", reason());
	if (SSL_CTX_check_private_key(tls) != 1)
		return error_set(error, ERR_PROTOCOL,
				 "client key %s does not fit certificate %s",
				 key, cert);
	return 0;
}

/* "5ad8a5d6.0": the hash of a subject, as openssl rehash writes it. */
static bool is_hashed(const char *name)
{
	return strlen(name) == 10 &&
	       strspn(name, "0123456789abcdef") == 8 &&
	       strcmp(name + 8, ".0") == 0;
}

static bool has_hashed_directory(void)
{
	const char *path = getenv(X509_get_default_cert_dir_env());
	DIR *dir = opendir(path ? path : X509_get_default_cert_dir());
	const struct dirent *entry;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir)) != NULL)
		found = is_hashed(entry->d_name);
	closedir(dir);
	return found;
}

static void trust_system(SSL_CTX *tls)
{
	if (!getenv(X509_get_default_cert_file_env()) &&
	    has_hashed_directory())
		SSL_CTX_set_default_verify_dir(tls);
	else
		SSL_CTX_set_default_verify_paths(tls);
}

int io_tls_init(struct io *io, const struct io_config *config,
		struct error *error)
{
	int err = 0;

	ERR_clear_error();
	io->client_tls = SSL_CTX_new(TLS_client_method());
	if (!io->client_tls)
		return error_set(error, ERR_INTERNAL, "OpenSSL: %s", reason());
	SSL_CTX_set_min_proto_version(io->client_tls, TLS1_2_VERSION);
	SSL_CTX_set_options(io->client_tls, SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(io->client_tls,
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				 SSL_MODE_RELEASE_BUFFERS);
	trust_system(io->client_tls);
	if (config->ca_file)
		err = load_ca(io->client_tls, config->ca_file, error);
	if (err == 0 && config->client_cert_file)
		err = load_identity(io->client_tls, config->client_cert_file,
				    config->client_key_file, error);
	ERR_clear_error();
	return err;
}
