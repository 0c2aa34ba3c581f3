#include "base/character.h"

#include <stdlib.h>

#include "base/macros.h"

uint32_t character_next(struct bytes text, size_t *at)
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

uint32_t character_fold(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    if (c >= 0xFF01 && c <= 0xFF5E) { /* full width */
        return character_fold(c - 0xFEE0);
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

/* The zeros of all scripts with decimal digits (general category Nd of Unicode 14); the other nine follow each. */
static const uint32_t zeros[] = {
    0x0030,  0x0660,  0x06F0,  0x07C0,  0x0966,  0x09E6,  0x0A66,  0x0AE6,  0x0B66,  0x0BE6,  0x0C66,
    0x0CE6,  0x0D66,  0x0DE6,  0x0E50,  0x0ED0,  0x0F20,  0x1040,  0x1090,  0x17E0,  0x1810,  0x1946,
    0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,  0x1C50,  0xA620,  0xA8D0,  0xA900,  0xA9D0,
    0xA9F0,  0xAA50,  0xABF0,  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0,
    0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60,
    0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
};

int character_digit(uint32_t c)
{
    if (c < 0x80) {
        return c >= '0' && c <= '9' ? (int)(c - '0') : -1;
    }
    size_t low = 0, high = ARRAY_LEN(zeros);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        *(zeros[middle] <= c ? &low : &high) = middle;
    }
    return c >= zeros[low] && c - zeros[low] <= 9 ? (int)(c - zeros[low]) : -1;
}
