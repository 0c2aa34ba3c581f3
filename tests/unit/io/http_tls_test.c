/* TLS in the server: a request, a connection that stays, a peer that is slow in the handshake or speaks no TLS at all.
 */
#include "io/http_server.h"

#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/macros.h"
#include "io/loop.h"

#define DEADLINE_MS 600

static char directory[] = "/tmp/answerd-tls-XXXXXX";
static char certificate_file[64];
static char key_file[64];
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

static void write_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *file = fopen(certificate_file, "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    file = fopen(key_file, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int start_server(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(certificate_file, sizeof(certificate_file), "%s/cert.pem", directory);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", directory);
    write_certificate();
    const struct http_limits limits = { .read_deadline_ms = DEADLINE_MS, .idle_ms = 2000 };
    struct error e;
    loop = loop_new();
    server = http_server_new(loop, &limits, handle, NULL);
    assert_int_equal(http_server_use_tls(server, "/nonexistent.pem", key_file, &e), ERR_INVALID);
    assert_int_equal(http_server_use_tls(server, certificate_file, certificate_file, &e), ERR_INVALID);
    assert_int_equal(http_server_use_tls(server, certificate_file, key_file, &e), ERR_NONE);
    assert_int_equal(http_server_listen(server, "127.0.0.1:0", &port, &e), ERR_NONE);
    return pthread_create(&thread, NULL, run, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(loop);
    unlink(certificate_file);
    unlink(key_file);
    return rmdir(directory);
}

static int open_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = 5 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
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

static long close_time(int fd)
{
    msec_t started = clock_steady();
    char bytes[1000];
    while (recv(fd, bytes, sizeof(bytes), 0) > 0) {
    }
    return (long)(clock_steady() - started);
}

static void test_silent_before_the_handshake(void **state)
{
    (void)state;
    int fd = open_client();
    assert_in_range(close_time(fd), DEADLINE_MS - 100, DEADLINE_MS + 800);
    close(fd);
}

static void test_slow_after_the_handshake(void **state)
{
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int fd = open_client();
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "GET / HT", 8), 8);
    assert_in_range(close_time(fd), DEADLINE_MS - 200, DEADLINE_MS + 800);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
}

static void test_plain_text_on_a_tls_port(void **state)
{
    (void)state;
    int fd = open_client();
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_int_equal(send(fd, request, sizeof(request) - 1, 0), (ssize_t)sizeof(request) - 1);
    char answer[1000] = "";
    ssize_t got = recv(fd, answer, sizeof(answer) - 1, 0);
    assert_true(got < 1 || !strstr(answer, "200 OK"));
    assert_in_range(close_time(fd), 0, DEADLINE_MS + 800);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_over_tls),
        cmocka_unit_test(test_silent_before_the_handshake),
        cmocka_unit_test(test_slow_after_the_handshake),
        cmocka_unit_test(test_plain_text_on_a_tls_port),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
