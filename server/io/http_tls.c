#include "io/http_tls_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/memory.h"

/* One loaded set of certificates. It lives as long as the first context, which every connection holds: OpenSSL counts
 * the references, and its destructor frees the set (tls_set_free). */
struct tls_set {
    SSL_CTX *contexts[HTTP_TLS_MAX_CERTIFICATES]; /* [0] is not owned: it owns the set */
    size_t count;
};

struct http_tls {
    struct http_tls_files *files;
    size_t count;
    bool only_1_3;
    pthread_mutex_t lock;
    SSL_CTX *current;
};

static int set_index = -1;
static pthread_once_t index_once = PTHREAD_ONCE_INIT;

static void tls_set_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent, (void)data, (void)index, (void)number, (void)arg;
    struct tls_set *set = ptr;
    for (size_t i = 1; set && i < set->count; i++)
        SSL_CTX_free(set->contexts[i]);
    free(set);
}

static void make_index(void)
{
    set_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tls_set_free);
    if (set_index < 0)
        abort();
}

/* Somebody speaks plain HTTP: says so in plain HTTP, as far as the socket takes it at once. Here, because evhttp shuts
 * the socket when it hears of the error. */
static void refuse_plain_http(int fd)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n"
                                 "Connection: close\r\n\r\nthis port speaks HTTPS.\n";
    char rest[16384];
    if (fd < 0 || send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return;
    /* Closing with unread bytes would reset the connection, and the answer with it. */
    for (int i = 0; i < 64 && recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++) {
    }
}

static void handshake_went_on(const SSL *ssl, int where, int result)
{
    if (where != SSL_CB_ACCEPT_EXIT || result > 0)
        return;
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
        (ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST || ERR_GET_REASON(code) == SSL_R_HTTPS_PROXY_REQUEST))
        refuse_plain_http(SSL_get_fd(ssl));
}

/* The client said which name it wants. */
static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const struct tls_set *set = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < set->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(set->contexts[i]);
        if (X509_check_host(certificate, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1)
            continue;
        if (i > 0)
            SSL_set_SSL_CTX(ssl, set->contexts[i]);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* HTTP/1.1 is what we speak; a client that offers others only finds out by itself. */
static int choose_protocol(SSL *ssl, const unsigned char **ret_chosen, unsigned char *ret_length,
                           const unsigned char *offered, unsigned offered_length, void *arg)
{
    (void)ssl, (void)arg;
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    int found = SSL_select_next_proto(&chosen, ret_length, ours, sizeof(ours) - 1, offered, offered_length);
    if (found != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *ret_chosen = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static err_t cannot_use(const char *file, struct error *reterr)
{
    const char *reason = NULL;
    unsigned long code;
    /* The first one is where it began; the later ones say where it was noticed. */
    while ((code = ERR_get_error()) != 0)
        if (!reason)
            reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    return fail(reterr, ERR_INVALID, "cannot use '%s' for TLS: %s", file, reason ? reason : "unknown reason");
}

/* A key that is encrypted must fail, and not ask for its passphrase on the terminal. */
static int no_passphrase(char *text, int size, int writing, void *arg)
{
    (void)text, (void)size, (void)writing, (void)arg;
    return 0;
}

static err_t load_context(const struct http_tls_files *files, bool only_1_3, SSL_CTX **ret_context,
                          struct error *reterr)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        abort();
    SSL_CTX_set_min_proto_version(context, only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    /* Of TLS 1.2 only what TLS 1.3 would offer as well: ephemeral keys, authenticated encryption. */
    if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
        abort();
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    /* A session that came back is worth a key exchange; tickets keep them on the client's side and not in our memory.
     */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_info_callback(context, handshake_went_on);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    ERR_clear_error();
    err_t result = ERR_NONE;
    if (SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1)
        result = cannot_use(files->certificate, reterr);
    else if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(context) != 1)
        result = cannot_use(files->key, reterr);
    if (result != ERR_NONE) {
        SSL_CTX_free(context);
        return result;
    }
    *ret_context = context;
    return ERR_NONE;
}

/* The first context of a new set, which owns the others. */
static err_t load_set(const struct http_tls *tls, SSL_CTX **ret_first, struct error *reterr)
{
    struct tls_set *set = memory_new(sizeof(*set));
    for (size_t i = 0; i < tls->count; i++) {
        err_t result = load_context(&tls->files[i], tls->only_1_3, &set->contexts[i], reterr);
        if (result != ERR_NONE) {
            for (size_t k = 0; k < i; k++)
                SSL_CTX_free(set->contexts[k]);
            free(set);
            return result;
        }
        set->count++;
    }
    SSL_CTX *first = set->contexts[0];
    SSL_CTX_set_tlsext_servername_callback(first, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(first, set);
    if (SSL_CTX_set_ex_data(first, set_index, set) != 1)
        abort();
    *ret_first = first;
    return ERR_NONE;
}

err_t http_tls_new(const struct http_tls_files *files, size_t count, bool only_1_3, struct http_tls **ret_tls,
                   struct error *reterr)
{
    if (count == 0 || count > HTTP_TLS_MAX_CERTIFICATES)
        return fail(reterr, ERR_LIMIT, "TLS takes 1 to %d certificates", HTTP_TLS_MAX_CERTIFICATES);
    pthread_once(&index_once, make_index);
    struct http_tls *tls = memory_new(sizeof(*tls));
    tls->count = count;
    tls->only_1_3 = only_1_3;
    tls->files = memory_new(count * sizeof(*tls->files));
    pthread_mutex_init(&tls->lock, NULL);
    for (size_t i = 0; i < count; i++) {
        tls->files[i].certificate = memory_text(files[i].certificate);
        tls->files[i].key = memory_text(files[i].key);
    }
    err_t result = http_tls_reload(tls, reterr);
    if (result != ERR_NONE) {
        http_tls_free(tls);
        return result;
    }
    *ret_tls = tls;
    return ERR_NONE;
}

err_t http_tls_reload(struct http_tls *tls, struct error *reterr)
{
    SSL_CTX *loaded = NULL;
    err_t result = load_set(tls, &loaded, reterr);
    if (result != ERR_NONE)
        return result;
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *former = tls->current;
    tls->current = loaded;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(former);
    return ERR_NONE;
}

bool http_tls_expires_at(struct http_tls *tls, size_t index, const char **ret_file, msec_t *ret_at)
{
    if (index >= tls->count)
        return false;
    pthread_mutex_lock(&tls->lock);
    const struct tls_set *set = SSL_CTX_get_ex_data(tls->current, set_index);
    const X509 *certificate = SSL_CTX_get0_certificate(set->contexts[index]);
    struct tm end = { .tm_year = 0 };
    bool known = ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1;
    pthread_mutex_unlock(&tls->lock);
    *ret_file = tls->files[index].certificate;
    *ret_at = known ? (msec_t)timegm(&end) * 1000 : 0;
    return true;
}

void http_tls_free(struct http_tls *tls)
{
    if (!tls)
        return;
    for (size_t i = 0; i < tls->count; i++) {
        free((char *)(uintptr_t)tls->files[i].certificate);
        free((char *)(uintptr_t)tls->files[i].key);
    }
    free(tls->files);
    SSL_CTX_free(tls->current);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

SSL *http_tls_accept(struct http_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->current);
    pthread_mutex_unlock(&tls->lock);
    if (!ssl)
        abort();
    return ssl;
}

bool http_tls_has_begun(SSL *ssl)
{
    return BIO_number_read(SSL_get_rbio(ssl)) > 0;
}
