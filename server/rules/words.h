/* Looking for words in what people write: without regard to case, in any script. */
#ifndef RULES_WORDS_H
#define RULES_WORDS_H

#include <stdbool.h>

#include "base/bytes.h"

#define WORDS_MAX_TEXT 16384

/* Does `phrase` occur in `text` as whole words? Punctuation and spaces between words do not matter. In scripts that
 * write no spaces (Chinese, Japanese) any occurrence counts. Only the first WORDS_MAX_TEXT bytes of the text are looked
 * at. */
bool words_has(struct bytes text, struct bytes phrase);

/* Is `text` nothing but `phrase`, apart from case, punctuation, emoji and spaces? */
bool words_is(struct bytes text, struct bytes phrase);

#endif
