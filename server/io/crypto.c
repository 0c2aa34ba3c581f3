#include "io/crypto.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "base/macros.h"

#define MAX_BLOCK_SIZE 128

/* Fetching takes locks inside OpenSSL, so that it is done once. What was fetched may be used by all threads; the
 * contexts made from it may not, and are made for each call. */
static const struct {
    const char *name;
    size_t size;
    size_t block_size;
} kinds[] = {
    [HASH_SHA1] = { "SHA1", 20, 64 },
    [HASH_SHA256] = { "SHA256", SHA256_SIZE, 64 },
    [HASH_SHA512] = { "SHA512", 64, MAX_BLOCK_SIZE },
};
static EVP_MD *digests[ARRAY_LEN(kinds)];
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        digests[i] = EVP_MD_fetch(NULL, kinds[i].name, NULL);
        assert(digests[i]);
    }
}

void crypto_start(void)
{
    pthread_once(&fetched, fetch);
}

size_t hash_size(enum hash_kind kind)
{
    return kinds[kind].size;
}

/* OpenSSL fails here only without memory, or on a bug of ours; there is no answer that would be safe to give. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

/* The digest of `first` and then the parts; the context may be used again. */
static void digest(EVP_MD_CTX *context, enum hash_kind kind, struct bytes first, const struct bytes *parts,
                   size_t count, unsigned char *ret_digest)
{
    must(EVP_DigestInit_ex2(context, digests[kind], NULL));
    must(EVP_DigestUpdate(context, first.ptr, first.len));
    for (size_t i = 0; i < count; i++)
        must(EVP_DigestUpdate(context, parts[i].ptr, parts[i].len));
    must(EVP_DigestFinal_ex(context, ret_digest, NULL));
}

static EVP_MD_CTX *new_context(void)
{
    crypto_start();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context != NULL);
    return context;
}

void crypto_hash(enum hash_kind kind, const struct bytes *parts, size_t count, unsigned char *ret_digest)
{
    EVP_MD_CTX *context = new_context();
    digest(context, kind, BYTES_LITERAL(""), parts, count, ret_digest);
    EVP_MD_CTX_free(context);
}

/* RFC 2104 in its own words: H(K xor opad, H(K xor ipad, text)). EVP_MAC would look its digest up by name for each key,
 * which costs as much as to hash a webhook. */
void crypto_hmac(enum hash_kind kind, struct bytes key, const struct bytes *parts, size_t count, unsigned char *ret_mac)
{
    EVP_MD_CTX *context = new_context();
    unsigned char inner_key[MAX_BLOCK_SIZE] = { 0 };
    unsigned char outer_key[MAX_BLOCK_SIZE];
    unsigned char inner[HASH_MAX_SIZE];
    size_t block = kinds[kind].block_size;
    if (key.len > block)
        digest(context, kind, key, NULL, 0, inner_key);
    else if (key.len > 0)
        memcpy(inner_key, key.ptr, key.len);
    for (size_t i = 0; i < block; i++) {
        outer_key[i] = inner_key[i] ^ 0x5c;
        inner_key[i] ^= 0x36;
    }
    digest(context, kind, (struct bytes){ (const char *)inner_key, block }, parts, count, inner);
    const struct bytes inner_part = { (const char *)inner, kinds[kind].size };
    digest(context, kind, (struct bytes){ (const char *)outer_key, block }, &inner_part, 1, ret_mac);
    EVP_MD_CTX_free(context);
    OPENSSL_cleanse(inner_key, sizeof(inner_key));
    OPENSSL_cleanse(outer_key, sizeof(outer_key));
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
