#include "channel/handle.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"

#define DOMESTIC_ZERO "(0)"

static const char national[] = "a phone number begins with its country, as in \"+1 555 0100\"";

bool handle_is_domestic_zero(const char *text, struct bytes digits)
{
    return digits.len > 0 && strncmp(text, DOMESTIC_ZERO, strlen(DOMESTIC_ZERO)) == 0 &&
           !bytes_start_with(digits, BYTES_LITERAL("39")) && !bytes_start_with(digits, BYTES_LITERAL("378"));
}

static bool has_letters(const char *handle)
{
    return strpbrk(handle, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;
}

static bool has_blanks(const char *handle)
{
    for (; *handle; handle++) {
        if ((unsigned char)*handle <= ' ' || *handle == 0x7f) {
            return true;
        }
    }
    return false;
}

/* As people write numbers. How many digits one has is the business of its country. */
static const char *read_number(const char *written, struct buf *known)
{
    if (strspn(written, "0123456789 \t+-().,/") != strlen(written) || strpbrk(written, "0123456789") == NULL) {
        return "a phone number has digits, as in \"+1 555 0100\"";
    }
    struct buf digits CLEANUP(buf_done);
    buf_init(&digits, HANDLE_MAX_BYTES);
    bool is_international = strchr(written, '+') != NULL;
    for (const char *p = written; *p; p++) {
        if (handle_is_domestic_zero(p, buf_bytes(&digits))) {
            p += strlen(DOMESTIC_ZERO) - 1;
        } else if (isdigit((unsigned char)*p)) {
            buf_add_char(&digits, *p);
        }
        if (!is_international && bytes_equal(buf_bytes(&digits), BYTES_LITERAL("00"))) {
            buf_clear(&digits); /* dialled instead of the '+' */
            is_international = true;
        }
    }
    buf_add_bytes(known, buf_bytes(&digits));
    return digits.len == 0 || digits.ptr[0] == '0' ? national : NULL;
}

/* Business-scoped user ids ("US.1349…") stay as they are. */
static const char *read_whatsapp(const char *written, struct buf *known)
{
    if (!has_letters(written)) {
        return read_number(written, known);
    }
    buf_add_text(known, written);
    bool is_scoped = isupper((unsigned char)written[0]) && isupper((unsigned char)written[1]) && written[2] == '.' &&
                     isalnum((unsigned char)written[3]) && !has_blanks(written);
    return is_scoped ? NULL : "WhatsApp knows people by a number, as in \"+1 555 0100\", or an id, as in \"US.1349\"";
}

static const char *read_email(const char *written, struct buf *known)
{
    struct buf address CLEANUP(buf_done);
    buf_init(&address, HANDLE_MAX_BYTES);
    for (const char *p = written; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (!isspace(c)) {
            buf_add_char(&address, (char)(c < 0x80 ? tolower(c) : c));
        }
    }
    buf_add_bytes(known, buf_bytes(&address));
    const char *at = address.len > 0 ? strchr(address.ptr, '@') : NULL;
    return at && at != address.ptr && at[1] != '\0' && !strpbrk(address.ptr, "<>,")
               ? NULL
               : "an address is like ada@example.com";
}

const char *handle_read(const char *kind, const char *handle, struct buf *known)
{
    int64_t number;
    if (strlen(handle) > HANDLE_MAX_BYTES) {
        return "a handle has at most 200 bytes";
    }
    if (strcmp(kind, "phone") == 0) {
        return read_number(handle, known);
    }
    if (strcmp(kind, "whatsapp") == 0) {
        return read_whatsapp(handle, known);
    }
    if (strcmp(kind, "email") == 0) {
        return read_email(handle, known);
    }
    buf_add_text(known, handle);
    if (strcmp(kind, "telegram") == 0 || strcmp(kind, "messenger") == 0 || strcmp(kind, "instagram") == 0) {
        return text_to_i64(bytes_of(handle), &number) ? NULL
                                                      : "the provider knows people by a number; a user name is none";
    }
    return has_blanks(handle) || *handle == '\0' ? "a handle has no blanks" : NULL;
}

const char *handle_wrong_identity(const char *identity)
{
    const char *colon = strchr(identity, ':');
    char kind[HANDLE_KIND_MAX_BYTES + 1];
    if (colon == NULL || colon == identity || colon - identity > HANDLE_KIND_MAX_BYTES) {
        return "an identity is written like email:ada@example.com";
    }
    memcpy(kind, identity, (size_t)(colon - identity));
    kind[colon - identity] = '\0';
    struct buf known CLEANUP(buf_done);
    buf_init(&known, HANDLE_MAX_BYTES);
    return handle_read(kind, colon + 1, &known);
}
