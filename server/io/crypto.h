/* Digests, MACs, signatures and random bytes by OpenSSL. Compares are constant-time. */
#ifndef IO_CRYPTO_H
#define IO_CRYPTO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum hash_kind { HASH_SHA1, HASH_SHA256, HASH_SHA512 };

#define HASH_MAX_SIZE 64
#define SHA256_SIZE 32

size_t hash_size(enum hash_kind kind);

/* Fetches what all threads share; once, from main, before threads start. */
void crypto_start(void);

/* The digest or MAC of the concatenated parts; `ret_digest` has room for hash_size(kind) bytes. */
void crypto_hash(enum hash_kind kind, const struct bytes *parts, size_t count, unsigned char *ret_digest);
void crypto_hmac(enum hash_kind kind, struct bytes key, const struct bytes *parts, size_t count,
                 unsigned char *ret_mac);

/* False when the lengths differ; otherwise takes the same time whatever the difference. */
bool crypto_equal(struct bytes a, struct bytes b);

bool crypto_verify_ed25519(struct bytes public_key, struct bytes message, struct bytes signature);
/* PKCS#1 v1.5 with SHA-256; `certificate_pem` is one X.509 certificate. */
bool crypto_verify_rsa_sha256(struct bytes certificate_pem, struct bytes message, struct bytes signature);

void crypto_random(void *ptr, size_t len); /* aborts when the system has none */
uint32_t crypto_random_u32(void);
void crypto_wipe(void *ptr, size_t len);

#endif
