/* Known answers: RFC 4231, RFC 2202, FIPS 180-2, RFC 8032. */
#include "io/crypto.h"

#include "support.h"

#include <openssl/evp.h>

#include "base/macros.h"
#include "base/text.h"

static void check_hex(const unsigned char *data, size_t size, const char *expected)
{
    struct buf hex CLEANUP(buf_done);
    buf_init(&hex, 200);
    text_encode_hex((struct bytes){ (const char *)data, size }, &hex);
    assert_string_equal(hex.ptr, expected);
}

static void test_hashes(void **state)
{
    (void)state;
    unsigned char digest[HASH_MAX_SIZE];
    const struct bytes parts[] = { BYTES_LITERAL("a"), BYTES_LITERAL(""), BYTES_LITERAL("bc") };
    crypto_hash(HASH_SHA1, parts, 3, digest);
    check_hex(digest, hash_size(HASH_SHA1), "a9993e364706816aba3e25717850c26c9cd0d89d");
    crypto_hash(HASH_SHA256, parts, 3, digest);
    check_hex(digest, SHA256_SIZE, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_hash(HASH_SHA256, NULL, 0, digest);
    check_hex(digest, SHA256_SIZE, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_macs(void **state)
{
    (void)state;
    unsigned char mac[HASH_MAX_SIZE];
    const struct bytes parts[] = { BYTES_LITERAL("what do ya want "), BYTES_LITERAL("for nothing?") };
    crypto_hmac(HASH_SHA1, BYTES_LITERAL("Jefe"), parts, 2, mac);
    check_hex(mac, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    crypto_hmac(HASH_SHA256, BYTES_LITERAL("Jefe"), parts, 2, mac);
    check_hex(mac, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    crypto_hmac(HASH_SHA512, BYTES_LITERAL("Jefe"), parts, 2, mac);
    check_hex(mac, 64,
              "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd"
              "caeab1a34d4a6b4b636e070a38bce737");
    crypto_hmac(HASH_SHA256, BYTES_LITERAL(""), NULL, 0, mac);
    check_hex(mac, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_macs_of_long_keys(void **state)
{
    (void)state;
    char key[131];
    memset(key, 0xaa, sizeof(key));
    unsigned char mac[HASH_MAX_SIZE];
    const struct bytes text = BYTES_LITERAL("Test Using Larger Than Block-Size Key - Hash Key First");
    crypto_hmac(HASH_SHA1, (struct bytes){ key, 80 }, &text, 1, mac);
    check_hex(mac, 20, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    crypto_hmac(HASH_SHA256, (struct bytes){ key, 131 }, &text, 1, mac);
    check_hex(mac, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    crypto_hmac(HASH_SHA512, (struct bytes){ key, 131 }, &text, 1, mac);
    check_hex(mac, 64,
              "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e52"
              "95e64f73f63f0aec8b915a985d786598");
}

/* Copies of one context, keyed one after the other, against a context of its own for each key: keys shorter than a
 * block, as long as one, and longer. */
static void test_macs_of_all_keys(void **state)
{
    (void)state;
    static const char *const names[] = { [HASH_SHA1] = "SHA1", [HASH_SHA256] = "SHA256", [HASH_SHA512] = "SHA512" };
    unsigned char key[300];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (unsigned char)(i * 7);
    const struct bytes parts[] = { BYTES_LITERAL("{\"id\":"), { (const char *)key, 200 }, BYTES_LITERAL("}") };
    unsigned char text[300];
    size_t length = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); length += parts[i++].len)
        memcpy(text + length, parts[i].ptr, parts[i].len);
    for (size_t kind = 0; kind < ARRAY_LEN(names); kind++) {
        for (size_t size = 0; size <= sizeof(key); size++) {
            unsigned char ours[HASH_MAX_SIZE];
            unsigned char theirs[HASH_MAX_SIZE];
            size_t mac_size;
            crypto_hmac((enum hash_kind)kind, (struct bytes){ (const char *)key, size }, parts, 3, ours);
            assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, names[kind], NULL, key, size, text, length, theirs,
                                      sizeof(theirs), &mac_size));
            assert_int_equal(mac_size, hash_size((enum hash_kind)kind));
            assert_memory_equal(ours, theirs, mac_size);
        }
    }
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(crypto_equal(BYTES_LITERAL("abc"), BYTES_LITERAL("abc")));
    assert_false(crypto_equal(BYTES_LITERAL("abc"), BYTES_LITERAL("abd")));
    assert_false(crypto_equal(BYTES_LITERAL("abc"), BYTES_LITERAL("abcd")));
    assert_true(crypto_equal(BYTES_LITERAL(""), (struct bytes){ NULL, 0 }));
}

static void decode(const char *hex, struct buf *out)
{
    buf_init(out, 200);
    assert_true(text_decode_hex(bytes_of(hex), out));
}

static void test_ed25519(void **state)
{
    (void)state;
    struct buf key CLEANUP(buf_done);
    struct buf signature CLEANUP(buf_done);
    decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", &key);
    decode("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb43"
           "02aeeb00d"
           "291612bb0c00",
           &signature);
    assert_true(crypto_verify_ed25519(buf_bytes(&key), BYTES_LITERAL("\x72"), buf_bytes(&signature)));
    assert_false(crypto_verify_ed25519(buf_bytes(&key), BYTES_LITERAL("\x73"), buf_bytes(&signature)));
    assert_false(crypto_verify_ed25519(buf_bytes(&key), BYTES_LITERAL("\x72"), BYTES_LITERAL("short")));
    assert_false(crypto_verify_ed25519(BYTES_LITERAL("short"), BYTES_LITERAL("\x72"), buf_bytes(&signature)));
}

static void test_rsa_refuses_nonsense(void **state)
{
    (void)state;
    assert_false(crypto_verify_rsa_sha256(BYTES_LITERAL("not a certificate"), BYTES_LITERAL("m"), BYTES_LITERAL("s")));
    assert_false(crypto_verify_rsa_sha256(BYTES_LITERAL(""), BYTES_LITERAL("m"), BYTES_LITERAL("s")));
}

static void test_random(void **state)
{
    (void)state;
    unsigned char a[32] = { 0 };
    unsigned char b[32] = { 0 };
    crypto_random(a, sizeof(a));
    crypto_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    crypto_wipe(a, sizeof(a));
    assert_int_equal(a[0] | a[31], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_macs),
        cmocka_unit_test(test_macs_of_long_keys),
        cmocka_unit_test(test_macs_of_all_keys),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_ed25519),
        cmocka_unit_test(test_rsa_refuses_nonsense),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
