/* TLS in the server: requests, certificates by name and loaded again, old versions and weak ciphers, a peer that is
 * slow in the handshake or speaks no TLS at all. */
#include "io/http_server.h"

#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "io/http_tls.h"
#include "io/loop.h"

/* Only what is silent or slow meets a short deadline: a client that is halted would meet it as well. */
#define SHORT_MS 600
#define LONG_MS (4 * PATIENCE_MS)

static char directory[] = "/tmp/answerd-tls-XXXXXX";
static char certificate_file[64];
static char key_file[64];
static char other_certificate_file[64];
static char other_key_file[64];
static struct http_tls *tls;
static struct loop *loop;
static struct http_server *server;
static pthread_t thread;
static int port;

static void handle(struct http_request *request, void *arg)
{
    (void)arg;
    http_answer(request, 200, "text/plain", http_body(request), NULL);
}

static void *run(void *arg)
{
    loop_run(loop);
    http_server_free(server);
    return arg;
}

static void write_certificate(const char *certificate_path, const char *key_path, const char *host, long serial)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    char names[200];
    snprintf(names, sizeof(names), "DNS:%s", host);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *file = fopen(certificate_path, "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    file = fopen(key_path, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int load_certificates(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as the program does: a peer that left is an error of its connection */
    assert_non_null(mkdtemp(directory));
    snprintf(certificate_file, sizeof(certificate_file), "%s/cert.pem", directory);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", directory);
    snprintf(other_certificate_file, sizeof(other_certificate_file), "%s/other.pem", directory);
    snprintf(other_key_file, sizeof(other_key_file), "%s/other.key", directory);
    write_certificate(certificate_file, key_file, "localhost", 1);
    write_certificate(other_certificate_file, other_key_file, "*.example.com", 2);
    struct error e;
    const struct http_tls_files missing = { "/nonexistent.pem", key_file };
    const struct http_tls_files swapped[] = { { certificate_file, key_file }, { certificate_file, other_key_file } };
    const struct http_tls_files files[] = { { certificate_file, key_file },
                                            { other_certificate_file, other_key_file } };
    assert_int_equal(http_tls_new(&missing, 1, false, &tls, &e), ERR_INVALID);
    assert_string_equal(e.text, "cannot use '/nonexistent.pem' for TLS: No such file or directory");
    assert_int_equal(http_tls_new(swapped, 2, false, &tls, &e), ERR_INVALID);
    assert_int_equal(http_tls_new(files, 0, false, &tls, &e), ERR_LIMIT);
    assert_int_equal(http_tls_new(files, 2, false, &tls, &e), ERR_NONE);
    return 0;
}

static int free_certificates(void **state)
{
    (void)state;
    http_tls_free(tls);
    unlink(certificate_file);
    unlink(key_file);
    unlink(other_certificate_file);
    unlink(other_key_file);
    return rmdir(directory);
}

static int start_server_with(msec_t read_deadline_ms)
{
    const struct http_limits limits = { .read_deadline_ms = read_deadline_ms, .idle_ms = LONG_MS };
    struct error e;
    loop = loop_new();
    server = http_server_new(loop, &limits, handle, NULL);
    http_server_use_tls(server, tls);
    assert_int_equal(http_server_listen(server, "127.0.0.1:0", &port, &e), ERR_NONE);
    return pthread_create(&thread, NULL, run, NULL);
}

static int start_server(void **state)
{
    (void)state;
    return start_server_with(LONG_MS);
}

static int start_server_with_short_deadline(void **state)
{
    (void)state;
    return start_server_with(SHORT_MS);
}

static int stop_server(void **state)
{
    (void)state;
    loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(loop);
    return 0;
}

static int open_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int at_once = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void test_requests_over_tls(void **state)
{
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    for (int connection = 0; connection < 20; connection++) {
        int fd = open_client();
        SSL *ssl = SSL_new(context);
        SSL_set_fd(ssl, fd);
        assert_int_equal(SSL_connect(ssl), 1);
        for (int i = 0; i < 5; i++) {
            static char body[20000];
            memset(body, 'a' + i, sizeof(body) - 1);
            char head[200];
            int head_length = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                                       sizeof(body) - 1);
            assert_int_equal(SSL_write(ssl, head, head_length), head_length);
            assert_int_equal(SSL_write(ssl, body, (int)sizeof(body) - 1), (int)sizeof(body) - 1);
            static char answer[40000];
            int length = 0;
            while (length < (int)sizeof(body) || !strstr(answer, "\r\n\r\n") ||
                   length < strstr(answer, "\r\n\r\n") + 4 - answer + (int)sizeof(body) - 1) {
                int got = SSL_read(ssl, answer + length, (int)sizeof(answer) - 1 - length);
                assert_true(got > 0);
                length += got;
                answer[length] = '\0';
            }
            assert_non_null(strstr(answer, "200 OK"));
            assert_int_equal(answer[length - 1], 'a' + i);
        }
        if (connection % 2 == 0)
            SSL_shutdown(ssl);
        SSL_free(ssl);
        close(fd);
    }
    SSL_CTX_free(context);
}

/* The server closes at the deadline of a connection that began at `began` or later. */
static void expect_closed_by_deadline(int fd, msec_t began)
{
    char bytes[1000];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    do {
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    } while (recv(fd, bytes, sizeof(bytes), 0) > 0);
    assert_in_range(clock_steady() - began, SHORT_MS, LONG_MS / 2);
}

static void test_silent_before_the_handshake(void **state)
{
    (void)state;
    msec_t began = clock_steady();
    int fd = open_client();
    expect_closed_by_deadline(fd, began);
    close(fd);
}

static void test_slow_after_the_handshake(void **state)
{
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    msec_t first_began = clock_steady();
    bool is_connected = false;
    while (!is_connected) { /* one that is halted in its handshake is closed there: another tries */
        assert_true(clock_steady() - first_began < PATIENCE_MS);
        msec_t began = clock_steady();
        int fd = open_client();
        SSL *ssl = SSL_new(context);
        SSL_set_fd(ssl, fd);
        is_connected = SSL_connect(ssl) == 1 && SSL_write(ssl, "GET / HT", 8) == 8;
        if (is_connected)
            expect_closed_by_deadline(fd, began);
        ERR_clear_error();
        SSL_free(ssl);
        close(fd);
    }
    SSL_CTX_free(context);
}

static void test_plain_text_on_a_tls_port(void **state)
{
    (void)state;
    static char request[20000]; /* more than the server reads before it knows */
    memset(request, 'x', sizeof(request));
    static const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 19000\r\n\r\n";
    memcpy(request, head, sizeof(head) - 1);
    int fd = open_client();
    assert_int_equal(send(fd, request, sizeof(request), 0), (ssize_t)sizeof(request));
    char answer[1000] = "";
    size_t length = 0;
    ssize_t got;
    while ((got = recv(fd, answer + length, sizeof(answer) - 1 - length, 0)) > 0)
        length += (size_t)got;
    assert_int_equal(got, 0); /* an end, not a reset */
    assert_non_null(strstr(answer, "400 Bad Request"));
    assert_non_null(strstr(answer, "\r\n\r\nthis port speaks HTTPS.\n"));
    close(fd);
}

/* The serial number of the certificate that a client of this kind gets; 0 when the handshake fails. */
static long handshake(SSL_CTX *context, const char *name)
{
    long serial = 0;
    int fd = open_client();
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    if (name)
        SSL_set_tlsext_host_name(ssl, name);
    if (SSL_connect(ssl) == 1) {
        X509 *certificate = SSL_get1_peer_certificate(ssl);
        serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));
        X509_free(certificate);
    }
    ERR_clear_error();
    SSL_free(ssl);
    close(fd);
    return serial;
}

static void test_the_name_chooses_the_certificate(void **state)
{
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_int_equal(handshake(context, NULL), 1);
    assert_int_equal(handshake(context, "localhost"), 1);
    assert_int_equal(handshake(context, "hooks.example.com"), 2);
    assert_int_equal(handshake(context, "HOOKS.EXAMPLE.COM"), 2);
    assert_int_equal(handshake(context, "unknown.example.net"), 1);
    assert_int_equal(handshake(context, "a.b.example.com"), 1);
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    assert_int_equal(handshake(context, "hooks.example.com"), 2);
    SSL_CTX_free(context);
}

static void test_old_versions_and_weak_ciphers(void **state)
{
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    assert_int_equal(handshake(context, NULL), 0);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"), 1);
    assert_int_equal(handshake(context, NULL), 0);
    assert_int_equal(SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256"), 1);
    assert_int_equal(handshake(context, NULL), 1);
    SSL_CTX_free(context);
}

static void test_certificates_are_loaded_again(void **state)
{
    (void)state;
    struct error e;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int fd = open_client();
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "hooks.example.com");
    assert_int_equal(SSL_connect(ssl), 1);

    /* A file that cannot be used changes nothing. */
    write_certificate(certificate_file, key_file, "localhost", 11);
    FILE *file = fopen(other_key_file, "w");
    fputs("no key", file);
    fclose(file);
    assert_int_equal(http_tls_reload(tls, &e), ERR_INVALID);
    assert_int_equal(handshake(context, "localhost"), 1);
    write_certificate(other_certificate_file, other_key_file, "*.example.com", 12);
    assert_int_equal(http_tls_reload(tls, &e), ERR_NONE);
    assert_int_equal(handshake(context, "localhost"), 11);
    assert_int_equal(handshake(context, "hooks.example.com"), 12);

    /* The connection from before goes on. */
    static const char request[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok";
    char answer[1000] = "";
    assert_int_equal(SSL_write(ssl, request, sizeof(request) - 1), (int)sizeof(request) - 1);
    assert_true(SSL_read(ssl, answer, sizeof(answer) - 1) > 0);
    assert_non_null(strstr(answer, "200 OK"));
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);

    const char *name;
    msec_t at;
    assert_true(http_tls_expires_at(tls, 1, &name, &at));
    assert_string_equal(name, other_certificate_file);
    assert_in_range(at - clock_now(), 3500 * 1000, 3600 * 1000);
    assert_false(http_tls_expires_at(tls, 2, &name, &at));
}

#define CASE(f, start) cmocka_unit_test_setup_teardown(f, start, stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_requests_over_tls, start_server),
        CASE(test_silent_before_the_handshake, start_server_with_short_deadline),
        CASE(test_slow_after_the_handshake, start_server_with_short_deadline),
        CASE(test_plain_text_on_a_tls_port, start_server),
        CASE(test_the_name_chooses_the_certificate, start_server),
        CASE(test_old_versions_and_weak_ciphers, start_server),
        CASE(test_certificates_are_loaded_again, start_server),
    };
    return cmocka_run_group_tests(tests, load_certificates, free_certificates);
}
