/* Characters of UTF-8 text: reading them one by one, their small letters, their value as digits. */
#ifndef BASE_CHARACTER_H
#define BASE_CHARACTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* The character at byte `*at`, which moves behind it; `*at` is less than the length. Malformed bytes count as one
 * U+FFFD each. */
uint32_t character_next(struct bytes text, size_t *at);

/* The small letter of a character, for the alphabets that have two cases; what is full width becomes ASCII. */
uint32_t character_fold(uint32_t c);

/* 0 to 9 for a decimal digit of any script ("5", "\u0665", "\uFF15"), otherwise -1. */
int character_digit(uint32_t c);

#endif
