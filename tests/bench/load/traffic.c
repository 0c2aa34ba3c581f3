#include "load/traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#define NUMBER_DIGITS 12
#define CONTACT_DIGITS 8

/* Where digits differ: # is the number of the webhook, @ the customer's. */
static const char body_format[] =
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\",\"changes\":[{\"value\":{"
    "\"messaging_product\":\"whatsapp\",\"metadata\":{\"display_phone_number\":\"15550783881\","
    "\"phone_number_id\":\"106540352242922\"},\"contacts\":[{\"profile\":{\"name\":\"Ada Lovelace\"},"
    "\"wa_id\":\"1555@@@@@@@@\"}],\"messages\":[{\"from\":\"1555@@@@@@@@\","
    "\"id\":\"wamid.HBgLMTU1NTAwMDAwMDAVAgASGBQzQTAyMzQ2Nzg5############\",\"timestamp\":\"%lld\","
    "\"text\":{\"body\":\"Hello, I ordered two weeks ago and the parcel has still not arrived. Can you tell me where "
    "it is? My order is ############.\"},\"type\":\"text\"}]},\"field\":\"messages\"}]}]}";

static char *copy_of(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    if (!copy)
        abort();
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static void put_digits(char *to, unsigned width, uint64_t value)
{
    for (unsigned i = width; i > 0; i--, value /= 10)
        to[i - 1] = (char)('0' + value % 10);
}

/* The digits are where the format had its marks. */
static void fill_body(char *body, const char *marks, size_t length, uint64_t number, uint64_t contact)
{
    for (size_t i = 0; i < length; i++) {
        if (marks[i] == '#') {
            put_digits(body + i, NUMBER_DIGITS, number);
            i += NUMBER_DIGITS - 1;
        } else if (marks[i] == '@') {
            put_digits(body + i, CONTACT_DIGITS, contact);
            i += CONTACT_DIGITS - 1;
        }
    }
}

void traffic_init(struct traffic *t, const char *secret, uint64_t first, uint64_t count, uint64_t contacts,
                  uint64_t first_contact)
{
    char text[2048];
    int length = snprintf(text, sizeof(text), body_format, (long long)time(NULL));
    *t = (struct traffic){
        .body = copy_of(text, (size_t)length),
        .body_length = (size_t)length,
        .first = first,
        .contacts = contacts,
        .first_contact = first_contact,
        .count = count,
        .signatures = malloc((count + 1) * sizeof(*t->signatures)),
    };
    char *body = copy_of(text, (size_t)length);
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_END };
    if (!t->signatures || !EVP_MAC_init(context, (const unsigned char *)secret, strlen(secret), params))
        abort();
    for (uint64_t i = 0; i < count; i++) {
        size_t size;
        fill_body(body, t->body, t->body_length, first + i, traffic_contact(t, i));
        if (!EVP_MAC_init(context, NULL, 0, NULL) ||
            !EVP_MAC_update(context, (const unsigned char *)body, t->body_length) ||
            !EVP_MAC_final(context, t->signatures[i], &size, sizeof(t->signatures[i])))
            abort();
    }
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(hmac);
    free(body);
}

void traffic_done(struct traffic *t)
{
    free(t->body);
    free(t->signatures);
}

uint64_t traffic_contact(const struct traffic *t, uint64_t place)
{
    uint64_t contact = t->contacts > 0 ? place % t->contacts : place;
    return (t->first_contact + contact) % TRAFFIC_MAX_CONTACTS;
}

#define SIGNATURE_HEADER "X-Hub-Signature-256: sha256="

char *traffic_request(const struct traffic *t, const char *host, const char *path, size_t *ret_length)
{
    char head[1024];
    int length = snprintf(head, sizeof(head),
                          "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: facebookexternalua\r\nAccept: */*\r\n"
                          "Accept-Encoding: deflate, gzip\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n" SIGNATURE_HEADER "%064d\r\n\r\n",
                          path, host, t->body_length, 0);
    if (length < 0 || (size_t)length >= sizeof(head))
        abort();
    char *request = copy_of(head, (size_t)length + t->body_length);
    memcpy(request + length, t->body, t->body_length);
    *ret_length = (size_t)length + t->body_length;
    return request;
}

void traffic_fill(const struct traffic *t, char *request, uint64_t place)
{
    static const char digits[] = "0123456789abcdef";
    char *signature = strstr(request, SIGNATURE_HEADER) + sizeof(SIGNATURE_HEADER) - 1;
    for (size_t i = 0; i < 32; i++) {
        signature[2 * i] = digits[t->signatures[place][i] >> 4];
        signature[2 * i + 1] = digits[t->signatures[place][i] & 15];
    }
    fill_body(signature + 64 + 4, t->body, t->body_length, t->first + place, traffic_contact(t, place));
}
