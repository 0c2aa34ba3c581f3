#include "deliver/webhook_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/crypto.h"

#define MAX_URL_BYTES 2048
#define MAX_BODY_BYTES ((size_t)256 * 1024)
#define MAX_SECRET_BYTES 512

#define PAUSE_MS ((msec_t)5000)
#define LONGEST_PAUSE_MS ((msec_t)5 * 60 * 1000)

#define ADDRESS_HINT                                                                                                   \
    "\nHINT: deliver { allowed_networks = \"10.1.2.0/24\" } in the configuration, with its network, allows it"

/* Secrets are shown as whsec_ and base64; what is not base64 is taken as it stands. */
static bool secret_key(const char *secret, struct buf *out)
{
    struct bytes text = bytes_of(secret);
    if (bytes_start_with(text, BYTES_LITERAL("whsec_"))) {
        text.ptr += strlen("whsec_");
        text.len -= strlen("whsec_");
        return text_decode_base64(text, out) && !out->overflowed && out->len > 0;
    }
    buf_add_bytes(out, text);
    return !out->overflowed && out->len > 0;
}

static err_t add_signature(struct buf *header, const char *secret, struct bytes signed_text, struct error *reterr)
{
    struct buf key;
    buf_init(&key, MAX_SECRET_BYTES);
    if (!secret_key(secret, &key)) {
        buf_done(&key);
        return fail(reterr, ERR_INVALID, "a secret of the endpoint is no base64 text after 'whsec_'");
    }
    unsigned char mac[SHA256_SIZE];
    crypto_hmac(HASH_SHA256, buf_bytes(&key), &signed_text, 1, mac);
    crypto_wipe(key.ptr, key.len);
    buf_done(&key);
    buf_add_text(header, " v1,");
    text_encode_base64((struct bytes){ (const char *)mac, sizeof(mac) }, header);
    return ERR_NONE;
}

/* One secret as a text, or several as a list. */
static err_t sign(const json_t *secrets, struct bytes signed_text, struct buf *header, struct error *reterr)
{
    if (json_is_string(secrets)) {
        return add_signature(header, json_string_value(secrets), signed_text, reterr);
    }
    size_t index;
    json_t *secret;
    err_t err = ERR_NONE;
    json_array_foreach (secrets, index, secret) {
        if (err == ERR_NONE && json_is_string(secret)) {
            err = add_signature(header, json_string_value(secret), signed_text, reterr);
        }
    }
    return err;
}

static void add_body(const json_t *request, msec_t now, struct buf *out)
{
    json_t *body = json_object();
    json_put_str(body, "type", json_str_or(request, "type", "event"));
    json_put_time(body, "timestamp", json_time(request, "at", now));
    const json_t *data = json_object_get(request, "body");
    json_put(body, "data", data != NULL ? json_deep_copy(data) : json_object());
    json_add(out, body);
    json_decref(body);
}

err_t webhook_call_render(int64_t delivery_id, const json_t *request, const json_t *endpoint, msec_t now,
                          struct outgoing_request *out, struct error *reterr)
{
    const char *url = json_str(endpoint, "url");
    if (url == NULL) {
        url = json_str(request, "url");
    }
    if (url == NULL) {
        return fail(reterr, ERR_INVALID, "the endpoint has no url");
    }
    const json_t *secrets = json_object_get(endpoint, "secrets");
    if (json_array_size(secrets) == 0 && !json_is_string(secrets)) {
        return fail(reterr, ERR_INVALID,
                    "the endpoint has no secret to sign with\nHINT: endpoint \"NAME\" { secrets = { … } }");
    }
    buf_init(&out->url, MAX_URL_BYTES);
    buf_add_text(&out->url, url);
    buf_init(&out->body, MAX_BODY_BYTES);
    add_body(request, now, &out->body);
    if (out->url.overflowed || out->body.overflowed) {
        return fail(reterr, ERR_TOO_BIG, "the webhook is larger than %zu bytes", MAX_BODY_BYTES);
    }

    char id[40];
    char seconds[24];
    snprintf(id, sizeof(id), "msg_%lld", (long long)delivery_id);
    snprintf(seconds, sizeof(seconds), "%lld", (long long)(now / 1000));
    struct buf signed_text CLEANUP(buf_done);
    buf_init(&signed_text, MAX_BODY_BYTES + 128);
    buf_addf(&signed_text, "%s.%s.", id, seconds);
    buf_add_bytes(&signed_text, buf_bytes(&out->body));

    struct buf header CLEANUP(buf_done);
    buf_init(&header, 2048);
    buf_add_text(&header, "webhook-signature:");
    err_t err = sign(secrets, buf_bytes(&signed_text), &header, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    size_t count = 0;
    char line[80];
    out->headers[count++] = memory_text("Content-Type: application/json");
    snprintf(line, sizeof(line), "webhook-id: %s", id);
    out->headers[count++] = memory_text(line);
    snprintf(line, sizeof(line), "webhook-timestamp: %s", seconds);
    out->headers[count++] = memory_text(line);
    out->headers[count++] = buf_take(&header);
    out->headers[count] = NULL;
    return ERR_NONE;
}

static msec_t pause_of(msec_t asked)
{
    return asked < PAUSE_MS ? PAUSE_MS : asked < LONGEST_PAUSE_MS ? asked : LONGEST_PAUSE_MS;
}

void webhook_call_classify(const struct http_exchange *exchange, struct send_result *result, bool *ret_gone)
{
    *result = (struct send_result){ .verdict = SEND_RETRY, .retry_after_ms = exchange->retry_after_ms };
    *ret_gone = false;
    if (exchange->outcome != HTTP_ANSWERED) {
        snprintf(result->reason, sizeof(result->reason), "%.100s%s", exchange->error,
                 exchange->refused_address ? ADDRESS_HINT : "");
        result->pause_ms = pause_of(-1);
        return;
    }
    int status = exchange->status;
    snprintf(result->code, sizeof(result->code), "%d", status);
    if (status >= 200 && status < 300) {
        result->verdict = SEND_ACCEPTED;
        return;
    }
    snprintf(result->reason, sizeof(result->reason), "the endpoint answered %d", status);
    if (status == 410) {
        result->verdict = SEND_REFUSED;
        *ret_gone = true;
    } else if (status == 429 || (status >= 502 && status <= 504)) {
        result->pause_ms = pause_of(exchange->retry_after_ms);
    }
}
