#include "rules/words.h"

#include <stdint.h>

#include "base/character.h"

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

/* Of each ASCII character: its small letter, or 0 when it is in no word. */
static const unsigned char ascii_words[128] = {
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8',
    ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h',
    ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q',
    ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',
    ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r',
    ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

/* A text read as its words: in small letters, with one space between two words. */
struct reader {
    struct bytes text;
    size_t at;
    uint32_t waiting; /* the first letter of the next word, while its space is given */
    bool begun;
};

static struct reader read_words(struct bytes text)
{
    if (text.len > WORDS_MAX_TEXT) {
        text.len = WORDS_MAX_TEXT;
    }
    return (struct reader){ .text = text };
}

/* The next character; 0 at the end. */
static uint32_t next_of_words(struct reader *reader)
{
    bool gap = false;
    if (reader->waiting != 0) {
        uint32_t c = reader->waiting;
        reader->waiting = 0;
        return c;
    }
    while (reader->at < reader->text.len) {
        unsigned char first = (unsigned char)reader->text.ptr[reader->at];
        uint32_t letter = 0;
        if (first < 0x80) {
            reader->at++;
            letter = ascii_words[first];
            if (first == '\'') { /* "don't" is one word */
                continue;
            }
        } else {
            uint32_t c = character_next(reader->text, &reader->at);
            if (c == 0x2019) {
                continue;
            }
            letter = is_word_character(c) ? character_fold(c) : 0;
        }
        if (letter == 0) {
            gap = true;
        } else if (gap && reader->begun) {
            reader->waiting = letter;
            return ' ';
        } else {
            reader->begun = true;
            return letter;
        }
    }
    return 0;
}

/* Does the phrase, which is not empty, stand as words of its own where `text` is? `before` is the character ahead of
 * it. */
static bool occurs_at(struct reader text, struct reader phrase, uint32_t before)
{
    uint32_t last = 0;
    bool starts = before == 0 || before == ' ' || stands_alone(before);
    for (uint32_t wanted = next_of_words(&phrase); wanted != 0; wanted = next_of_words(&phrase)) {
        if (next_of_words(&text) != wanted) {
            return false;
        }
        starts = starts || (last == 0 && stands_alone(wanted));
        if (!starts) {
            return false;
        }
        last = wanted;
    }
    uint32_t behind = next_of_words(&text);
    return behind == 0 || behind == ' ' || stands_alone(last) || stands_alone(behind);
}

bool words_has(struct bytes text, struct bytes phrase)
{
    struct reader here = read_words(text), needle = read_words(phrase), first = needle;
    uint32_t wanted = next_of_words(&first), before = 0;
    while (wanted != 0) {
        struct reader from = here;
        uint32_t c = next_of_words(&here);
        if (c == 0) {
            return false;
        }
        if (c == wanted && occurs_at(from, needle, before)) {
            return true;
        }
        before = c;
    }
    return false;
}

/* Most phrases that a text is compared with can be told apart by their first letter. */
static bool begin_differently(struct bytes left, struct bytes right)
{
    unsigned char a = left.len > 0 ? (unsigned char)left.ptr[0] : 0,
                  b = right.len > 0 ? (unsigned char)right.ptr[0] : 0;
    return a < 0x80 && b < 0x80 && ascii_words[a] != 0 && ascii_words[b] != 0 && ascii_words[a] != ascii_words[b];
}

bool words_is(struct bytes text, struct bytes phrase)
{
    if (begin_differently(text, phrase)) {
        return false;
    }
    struct reader left = read_words(text), right = read_words(phrase);
    uint32_t c = next_of_words(&left);
    bool any = c != 0;
    for (; c != 0 && c == next_of_words(&right); c = next_of_words(&left)) {
    }
    return any && c == 0 && next_of_words(&right) == 0;
}
