#include "rules/words.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"

#define MAX_TEXT_BYTES 16384

/* Reads one character; malformed bytes count as one each. */
static uint32_t next_character(struct bytes text, size_t *at)
{
    unsigned char first = (unsigned char)text.ptr[*at];
    size_t more = first >= 0xF0 && first < 0xF8 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
    if (first < 0x80 || first >= 0xF8 || more == 0 || *at + more >= text.len) {
        (*at)++;
        return first < 0x80 ? first : 0xFFFD;
    }
    uint32_t value = first & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        value = value << 6 | ((unsigned char)text.ptr[*at + i] & 0x3Fu);
    }
    *at += more + 1;
    return value;
}

/* The small letter of a character, for the alphabets that have two cases. */
static uint32_t fold(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    if (c >= 0xFF01 && c <= 0xFF5E) { /* full width */
        return fold(c - 0xFEE0);
    }
    if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3A9) || (c >= 0x410 && c <= 0x42F)) {
        return c + 32;
    }
    if (c == 0x130) {
        return 'i';
    }
    bool even_is_capital = (c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
                           (c >= 0x48A && c <= 0x4BF) || (c >= 0x4D0 && c <= 0x52F) || (c >= 0x1E00 && c <= 0x1EFF);
    bool odd_is_capital = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
    if ((even_is_capital && c % 2 == 0) || (odd_is_capital && c % 2 == 1)) {
        return c + 1;
    }
    switch (c) {
    case 0x178:
        return 0xFF;
    case 0x386:
        return 0x3AC;
    case 0x388:
    case 0x389:
    case 0x38A:
        return c + 37;
    case 0x38C:
        return 0x3CC;
    case 0x38E:
    case 0x38F:
        return c + 63;
    case 0x3C2: /* sigma at the end of a word */
        return 0x3C3;
    default:
        break;
    }
    if (c >= 0x400 && c <= 0x40F) {
        return c + 80;
    }
    if (c >= 0x531 && c <= 0x556) {
        return c + 48;
    }
    return c;
}

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
        uint32_t c = next_character(text, &at);
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
        words.characters[words.count++] = fold(c);
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
