#include "io/crypto.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "base/macros.h"

static const struct {
    const char *name;
    size_t size;
} kinds[] = {
    [HASH_SHA1] = { "SHA1", 20 },
    [HASH_SHA256] = { "SHA256", SHA256_SIZE },
    [HASH_SHA512] = { "SHA512", 64 },
};

/* Looking an algorithm up takes locks inside OpenSSL, so that it is done once. All threads may use what was found, and
 * copy the contexts of the MACs, which have looked up their digest and hold no secret; a context that is worked with is
 * made for each call. */
static EVP_MD *digests[ARRAY_LEN(kinds)];
static EVP_MAC_CTX *macs[ARRAY_LEN(kinds)];
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

/* OpenSSL fails here only without memory, or on a bug of ours; there is no answer that would be safe to give. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

static EVP_MAC_CTX *new_mac(EVP_MAC *hmac, const char *digest)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    must(context != NULL);
    must(EVP_MAC_init(context, (const unsigned char *)"", 0, params)); /* only what has a key can be copied */
    return context;
}

static void fetch(void)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(hmac != NULL);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        digests[i] = EVP_MD_fetch(NULL, kinds[i].name, NULL);
        must(digests[i] != NULL);
        macs[i] = new_mac(hmac, kinds[i].name);
    }
    EVP_MAC_free(hmac);
}

void crypto_start(void)
{
    pthread_once(&fetched, fetch);
}

size_t hash_size(enum hash_kind kind)
{
    return kinds[kind].size;
}

void crypto_hash(enum hash_kind kind, const struct bytes *parts, size_t count, unsigned char *ret_digest)
{
    crypto_start();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context != NULL);
    must(EVP_DigestInit_ex2(context, digests[kind], NULL));
    for (size_t i = 0; i < count; i++)
        must(EVP_DigestUpdate(context, parts[i].ptr, parts[i].len));
    must(EVP_DigestFinal_ex(context, ret_digest, NULL));
    EVP_MD_CTX_free(context);
}

void crypto_hmac(enum hash_kind kind, struct bytes key, const struct bytes *parts, size_t count, unsigned char *ret_mac)
{
    crypto_start();
    EVP_MAC_CTX *context = EVP_MAC_CTX_dup(macs[kind]);
    must(context != NULL);
    must(EVP_MAC_init(context, (const unsigned char *)(key.len > 0 ? key.ptr : ""), key.len, NULL));
    for (size_t i = 0; i < count; i++)
        must(EVP_MAC_update(context, (const unsigned char *)parts[i].ptr, parts[i].len));
    must(EVP_MAC_final(context, ret_mac, NULL, kinds[kind].size));
    EVP_MAC_CTX_free(context); /* wipes the key */
}

bool crypto_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

static bool verify(EVP_PKEY *key, const EVP_MD *digest, struct bytes message, struct bytes signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool valid = context && EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
                 EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                                  (const unsigned char *)(message.len > 0 ? message.ptr : ""), message.len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error(); /* the queue belongs to the thread; what stays in it misleads the next reader */
    return valid;
}

#define ED25519_KEY_SIZE 32
#define ED25519_SIGNATURE_SIZE 64

bool crypto_verify_ed25519(struct bytes public_key, struct bytes message, struct bytes signature)
{
    if (public_key.len != ED25519_KEY_SIZE || signature.len != ED25519_SIGNATURE_SIZE)
        return false;
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)public_key.ptr, public_key.len);
    bool valid = key && verify(key, NULL, message, signature);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return valid;
}

bool crypto_verify_rsa_sha256(struct bytes certificate_pem, struct bytes message, struct bytes signature)
{
    crypto_start();
    if (certificate_pem.len > INT_MAX)
        return false;
    BIO *pem = BIO_new_mem_buf(certificate_pem.ptr, (int)certificate_pem.len);
    X509 *certificate = pem ? PEM_read_bio_X509(pem, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
    bool valid = key && EVP_PKEY_is_a(key, "RSA") && verify(key, digests[HASH_SHA256], message, signature);
    X509_free(certificate);
    BIO_free(pem);
    ERR_clear_error();
    return valid;
}

void crypto_random(void *ptr, size_t len)
{
    if (len > INT_MAX || RAND_bytes(ptr, (int)len) != 1)
        abort();
}

uint32_t crypto_random_u32(void)
{
    uint32_t number;
    crypto_random(&number, sizeof(number));
    return number;
}

void crypto_wipe(void *ptr, size_t len)
{
    OPENSSL_cleanse(ptr, len);
}
