/* PayPal: the signature, and the kind. Parsing is in paypal_parse.c.
 *
 * Signed is "TRANSMISSION-ID|TRANSMISSION-TIME|WEBHOOK-ID|CRC32" by RSA with SHA-256; the CRC-32 (as in zlib) of the
 * body is printed in decimal. The webhook id is not in the request, it comes from the configuration. The certificate is
 * the operator's too: nothing is fetched while a request waits. PAYPAL-CERT-URL must still be PayPal's, so that a
 * request that points elsewhere is refused whatever it is signed with.
 */
#include "channel/kinds.h"
#include "channel/paypal_parse.h"
#include "channel/signature.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define LARGEST_CERTIFICATE 16384
#define LARGEST_SIGNATURE 1024

/* Half a byte at a time: bit by bit, the largest bodies would cost a tenth of a second before anything is proved. */
static uint32_t crc32_of(struct bytes data)
{
    static const uint32_t halves[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < data.len; i++) {
        crc ^= (unsigned char)data.ptr[i];
        crc = (crc >> 4) ^ halves[crc & 15];
        crc = (crc >> 4) ^ halves[crc & 15];
    }
    return ~crc;
}

/* https, host exactly paypal.com or below it, nothing else before the path. */
static bool is_paypal_url(const char *url)
{
    struct bytes rest = bytes_of(url);
    struct bytes scheme = BYTES_LITERAL("https://");
    if (rest.len <= scheme.len || !text_equal_ignore_case((struct bytes){ rest.ptr, scheme.len }, scheme)) {
        return false;
    }
    rest.ptr += scheme.len;
    rest.len -= scheme.len;
    size_t length = 0;
    while (length < rest.len && rest.ptr[length] != '/') {
        char c = rest.ptr[length];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
        if (!plain) {
            return false; /* a user, a port, a query, a backslash, an escape */
        }
        length++;
    }
    struct bytes host = { rest.ptr, length };
    struct bytes domain = BYTES_LITERAL("paypal.com");
    struct bytes below = BYTES_LITERAL(".paypal.com");
    return text_equal_ignore_case(host, domain) ||
           (host.len > below.len &&
            text_equal_ignore_case((struct bytes){ host.ptr + host.len - below.len, below.len }, below));
}

/* One certificate may be given, or several while PayPal changes its own; each as PEM. */
static err_t read_certificates(const json_t *settings, struct secret_list *ret_list, struct error *reterr)
{
    static const char *const names[] = { "certificate", NULL };
    if (secrets_read(settings, names, ret_list, NULL) != ERR_NONE) {
        return fail(reterr, ERR_DENIED,
                    "no certificate is configured\n"
                    "HINT: set certificate to the PEM text behind PAYPAL-CERT-URL");
    }
    return ERR_NONE;
}

static err_t require_header(const struct webhook *w, const char *name, const char **ret_value, struct error *reterr)
{
    const char *value = webhook_header_value(w, name);
    if (value == NULL || *value == '\0') {
        return fail(reterr, ERR_DENIED, "the header %s is missing", name);
    }
    *ret_value = value;
    return ERR_NONE;
}

static err_t paypal_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    static const char *const id_names[] = { "webhook_id", NULL };
    struct secret_list ids;
    struct secret_list certificates;
    const char *id = NULL, *time = NULL, *signature = NULL, *url = NULL; /* required, so set when all is well */
    err_t err = secrets_read(settings, id_names, &ids, reterr);
    if (err != ERR_NONE || (err = require_header(w, "PAYPAL-TRANSMISSION-ID", &id, reterr)) != ERR_NONE ||
        (err = require_header(w, "PAYPAL-TRANSMISSION-TIME", &time, reterr)) != ERR_NONE ||
        (err = require_header(w, "PAYPAL-TRANSMISSION-SIG", &signature, reterr)) != ERR_NONE ||
        (err = require_header(w, "PAYPAL-CERT-URL", &url, reterr)) != ERR_NONE) {
        return err;
    }
    if (!is_paypal_url(url)) {
        return fail(reterr, ERR_DENIED, "PAYPAL-CERT-URL is not at paypal.com");
    }
    const char *algorithm = webhook_header_value(w, "PAYPAL-AUTH-ALGO");
    if (algorithm && !text_equal_ignore_case(bytes_of(algorithm), BYTES_LITERAL("SHA256withRSA"))) {
        return fail(reterr, ERR_DENIED, "PAYPAL-AUTH-ALGO is not SHA256withRSA");
    }
    err = read_certificates(settings, &certificates, reterr);
    if (err != ERR_NONE) {
        return err;
    }

    struct buf decoded CLEANUP(buf_done);
    buf_init(&decoded, LARGEST_SIGNATURE);
    if (!text_decode_base64(text_trim(bytes_of(signature)), &decoded) || decoded.overflowed || decoded.len == 0) {
        return fail(reterr, ERR_DENIED, "PAYPAL-TRANSMISSION-SIG is not base64");
    }
    uint32_t checksum = crc32_of(w->body);
    for (size_t i = 0; i < ids.count; i++) {
        struct buf message CLEANUP(buf_done);
        buf_init(&message, 8192);
        buf_addf(&message, "%s|%s|", id, time);
        buf_add_bytes(&message, ids.secrets[i]);
        buf_addf(&message, "|%" PRIu32, checksum);
        for (size_t k = 0; k < certificates.count && !message.overflowed; k++) {
            if (certificates.secrets[k].len <= LARGEST_CERTIFICATE &&
                crypto_verify_rsa_sha256(certificates.secrets[k], buf_bytes(&message), buf_bytes(&decoded))) {
                return ERR_NONE;
            }
        }
    }
    return fail(reterr, ERR_DENIED, "the signature does not match the webhook id and the certificate");
}

static const struct channel_setting settings[] = {
    { "webhook_id", SETTING_SECRETS, true, "the webhook's id at PayPal, which is part of what is signed" },
    { "certificate", SETTING_SECRETS, true,
      "PayPal's certificate as PEM text, from the address in PAYPAL-CERT-URL; a "
      "list while it changes" },
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_paypal = {
    .name = "paypal",
    .provider = "paypal",
    .settings = settings,
    .verify = paypal_verify,
    .parse = paypal_parse,
};
