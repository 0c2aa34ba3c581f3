#include "rules/words.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/character.h"
#include "base/memory.h"

#define MAX_TEXT_BYTES 16384

static bool is_word_character(uint32_t c)
{
    if (c < 0x80) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    }
    if (c < 0xC0) {
        return c == 0xAA || c == 0xB5 || c == 0xBA;
    }
    if (c == 0xD7 || c == 0xF7 || c == 0xFFFD || c == 0x60C || c == 0x61B || c == 0x61F || c == 0x1680) {
        return false;
    }
    bool sign = (c >= 0x2000 && c <= 0x206F) || (c >= 0x20A0 && c <= 0x20CF) || (c >= 0x2190 && c <= 0x2BFF) ||
                (c >= 0x3000 && c <= 0x3004) || (c >= 0x3007 && c <= 0x3030) || (c >= 0xFE00 && c <= 0xFE6F) ||
                (c >= 0xFF01 && c <= 0xFF0F) || (c >= 0xFF1A && c <= 0xFF20) || (c >= 0xFF3B && c <= 0xFF40) ||
                (c >= 0xFF5B && c <= 0xFF65) || (c >= 0x1F000 && c <= 0x1FAFF) || c >= 0xE0000;
    return !sign;
}

/* A character of a script that puts no spaces between words. */
static bool stands_alone(uint32_t c)
{
    return (c >= 0x0E00 && c <= 0x0EFF) || (c >= 0x3005 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) ||
           (c >= 0xAC00 && c <= 0xD7AF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFF);
}

struct words {
    uint32_t *characters; /* words in small letters with one space between them */
    size_t count;
};

static struct words words_of(struct bytes text)
{
    if (text.len > MAX_TEXT_BYTES) {
        text.len = MAX_TEXT_BYTES;
    }
    struct words words = { memory_new((text.len + 1) * sizeof(uint32_t)), 0 };
    bool gap = false;
    for (size_t at = 0; at < text.len;) {
        uint32_t c = character_next(text, &at);
        if (c == '\'' || c == 0x2019) { /* "don't" is one word */
            continue;
        }
        if (!is_word_character(c)) {
            gap = true;
            continue;
        }
        if (gap && words.count > 0) {
            words.characters[words.count++] = ' ';
        }
        gap = false;
        words.characters[words.count++] = character_fold(c);
    }
    return words;
}

static bool occurs_at(const struct words *text, const struct words *phrase, size_t at)
{
    for (size_t i = 0; i < phrase->count; i++) {
        if (text->characters[at + i] != phrase->characters[i]) {
            return false;
        }
    }
    size_t end = at + phrase->count;
    bool starts = at == 0 || text->characters[at - 1] == ' ' || stands_alone(phrase->characters[0]) ||
                  stands_alone(text->characters[at - 1]);
    bool ends = end == text->count || text->characters[end] == ' ' ||
                stands_alone(phrase->characters[phrase->count - 1]) || stands_alone(text->characters[end]);
    return starts && ends;
}

bool words_has(struct bytes text, struct bytes phrase)
{
    struct words haystack = words_of(text);
    struct words needle = words_of(phrase);
    bool found = false;
    if (needle.count > 0) {
        for (size_t at = 0; !found && at + needle.count <= haystack.count; at++) {
            found = occurs_at(&haystack, &needle, at);
        }
    }
    free(haystack.characters);
    free(needle.characters);
    return found;
}

bool words_is(struct bytes text, struct bytes phrase)
{
    struct words left = words_of(text);
    struct words right = words_of(phrase);
    bool same = left.count > 0 && left.count == right.count &&
                memcmp(left.characters, right.characters, left.count * sizeof(*left.characters)) == 0;
    free(left.characters);
    free(right.characters);
    return same;
}
