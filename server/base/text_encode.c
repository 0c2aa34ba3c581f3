/* The encodings of base/text.h: hexadecimal, base64, percent, UTF-8. */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

#include "base/macros.h"

/* On failure the buffer is cut back to what it was. */
static bool cut_back(struct buf *out, size_t len)
{
    if (out->len > len) {
        out->len = len;
        out->ptr[len] = '\0';
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_decode_hex(struct bytes text, struct buf *out)
{
    size_t before = out->len;
    if (text.len % 2 != 0)
        return false;
    char *to = buf_extend(out, text.len / 2);
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.ptr[i]);
        int low = hex_digit(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return cut_back(out, before);
        if (to)
            *to++ = (char)(high * 16 + low);
    }
    return true;
}

void text_encode_hex(struct bytes data, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < data.len; i++) {
        unsigned char byte = (unsigned char)data.ptr[i];
        char pair[2] = { digits[byte >> 4], digits[byte & 15] };
        buf_add(out, pair, sizeof(pair));
    }
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int base64_digit(const char alphabet[], char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == alphabet[62] ? 62 : c == alphabet[63] ? 63 : -1;
}

static bool decode_base64(const char alphabet[], struct bytes text, struct buf *out)
{
    size_t before = out->len;
    if (text.len > 0 && text.ptr[text.len - 1] == '=') {
        if (text.len % 4 != 0)
            return false;
        text.len -= text.ptr[text.len - 2] == '=' ? 2 : 1;
    }
    if (text.len % 4 == 1)
        return false;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(alphabet, text.ptr[i]);
        if (digit < 0)
            return cut_back(out, before);
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            buf_add_char(out, (char)(bits >> bit_count & 0xff));
        }
    }
    return true;
}

bool text_decode_base64(struct bytes text, struct buf *out)
{
    return decode_base64(base64_alphabet, text, out);
}

bool text_decode_base64url(struct bytes text, struct buf *out)
{
    return decode_base64(base64url_alphabet, text, out);
}

static void encode_base64(const char alphabet[], bool pad, struct bytes data, struct buf *out)
{
    for (size_t i = 0; i < data.len; i += 3) {
        size_t count = data.len - i < 3 ? data.len - i : 3;
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < count ? (unsigned char)data.ptr[i + j] : 0u);
        char group[4];
        for (size_t j = 0; j < 4; j++)
            group[j] = j <= count ? alphabet[bits >> (18 - 6 * j) & 63] : '=';
        buf_add(out, group, pad ? sizeof(group) : count + 1);
    }
}

void text_encode_base64(struct bytes data, struct buf *out)
{
    encode_base64(base64_alphabet, true, data, out);
}

void text_encode_base64url(struct bytes data, struct buf *out)
{
    encode_base64(base64url_alphabet, false, data, out);
}

bool text_decode_percent(struct bytes text, struct buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return cut_back(out, before);
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        buf_add_char(out, c);
    }
    return true;
}

void text_encode_percent(struct bytes text, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
            c == '_' || c == '~') {
            buf_add_char(out, (char)c);
        } else {
            char escape[3] = { '%', digits[c >> 4], digits[c & 15] };
            buf_add(out, escape, sizeof(escape));
        }
    }
}

/* Length of the valid UTF-8 sequence at the front of `text`, or 0. In that case `*ret_bad` is how many bytes one
 * replacement character stands for: the longest beginning of a valid sequence, at least 1 (Unicode 15, 3.9, U+FFFD
 * substitution of maximal subparts). Table 3-7 there gives the ranges of the second byte. */
static size_t utf8_sequence(struct bytes text, size_t *ret_bad)
{
    unsigned char first = (unsigned char)text.ptr[0];
    *ret_bad = 1;
    if (first < 0x80)
        return 1;
    size_t length;
    unsigned char least = 0x80;
    unsigned char most = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
        length = 3;
        least = first == 0xe0 ? 0xa0 : 0x80; /* shorter forms exist */
        most = first == 0xed ? 0x9f : 0xbf;  /* surrogates */
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        least = first == 0xf0 ? 0x90 : 0x80;
        most = first == 0xf4 ? 0x8f : 0xbf; /* beyond U+10FFFF */
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (i >= text.len || (unsigned char)text.ptr[i] < least || (unsigned char)text.ptr[i] > most) {
            *ret_bad = i;
            return 0;
        }
        least = 0x80;
        most = 0xbf;
    }
    return length;
}

/* How many of the bytes from `at` on are ASCII for sure: most text is, and is looked at by the word. */
static size_t ascii_words(struct bytes text, size_t at)
{
    size_t from = at;
    for (uint64_t word; text.len - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, text.ptr + at, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    return at - from;
}

bool text_is_utf8(struct bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        at += ascii_words(text, at);
        for (; at < text.len && (unsigned char)text.ptr[at] < 0x80; at++) {
        }
        if (at == text.len)
            break;
        size_t bad;
        size_t length = utf8_sequence((struct bytes){ text.ptr + at, text.len - at }, &bad);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

void text_add_clean(struct bytes text, struct buf *out)
{
    if (!text.ptr)
        text = BYTES_LITERAL("");
    size_t clean_from = 0;
    size_t at = 0;
    while (at < text.len) {
        size_t bad;
        size_t length = utf8_sequence((struct bytes){ text.ptr + at, text.len - at }, &bad);
        if (length > 0 && text.ptr[at] != '\0') {
            at += length;
            continue;
        }
        buf_add(out, text.ptr + clean_from, at - clean_from);
        buf_add_text(out, "\xef\xbf\xbd");
        at += bad;
        clean_from = at;
    }
    buf_add(out, text.ptr + clean_from, at - clean_from);
}

size_t text_utf8_length(struct bytes text)
{
    size_t length = 0;
    for (size_t i = 0; i < text.len; i++)
        length += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return length;
}
