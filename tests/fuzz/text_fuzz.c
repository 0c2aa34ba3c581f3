/* Decoders and parsers of base/: they refuse or they give something that can be written again. */
#include "base/text.h"

#include <assert.h>

#include "base/clock.h"
#include "base/macros.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_back(bool (*decode)(struct bytes, struct buf *), void (*encode)(struct bytes, struct buf *),
                       struct bytes text)
{
    struct buf decoded CLEANUP(buf_done);
    struct buf encoded CLEANUP(buf_done);
    struct buf again CLEANUP(buf_done);
    buf_init(&decoded, text.len + 1);
    buf_init(&encoded, text.len * 4 + 8);
    buf_init(&again, text.len + 1);
    if (!decode(text, &decoded)) {
        assert(decoded.len == 0);
        return;
    }
    encode(buf_bytes(&decoded), &encoded);
    assert(!encoded.overflowed && decode(buf_bytes(&encoded), &again));
    assert(bytes_equal(buf_bytes(&decoded), buf_bytes(&again)));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bytes text = { (const char *)data, size };
    check_back(text_decode_hex, text_encode_hex, text);
    check_back(text_decode_base64, text_encode_base64, text);
    check_back(text_decode_base64url, text_encode_base64url, text);
    check_back(text_decode_percent, text_encode_percent, text);

    struct buf clean CLEANUP(buf_done);
    buf_init(&clean, size * 3);
    text_add_clean(text, &clean);
    assert(text_is_utf8(buf_bytes(&clean)) && !memchr(clean.ptr, '\0', clean.len));

    int64_t number;
    msec_t at;
    if (text_to_duration(text, &number)) {
        struct buf printed CLEANUP(buf_done);
        int64_t back;
        buf_init(&printed, 100);
        text_add_duration(&printed, number);
        assert(text_to_duration(buf_bytes(&printed), &back) && back == number);
    }
    if (clock_parse_iso(text, &at)) {
        struct buf printed CLEANUP(buf_done);
        msec_t back;
        buf_init(&printed, 100);
        clock_add_iso(&printed, at);
        assert(clock_parse_iso(buf_bytes(&printed), &back) &&
               (back == at || at < -62135596800000 || at > 253402300799999));
    }
    return 0;
}
