#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "domain/survey.h"

#define STAR "\xE2\xAD\x90"            /* U+2B50 */
#define BLACK_STAR "\xE2\x98\x85"      /* U+2605 */
#define KEYCAP "\xE2\x83\xA3"          /* U+20E3, after a digit */
#define VARIATION "\xEF\xB8\x8F"       /* U+FE0F, emoji form */
#define THUMBS_UP "\xF0\x9F\x91\x8D"   /* U+1F44D */
#define THUMBS_DOWN "\xF0\x9F\x91\x8E" /* U+1F44E */

/* How good a word is, from 0 (worst) to 4 (best), spread over the scale. */
static const struct {
    const char *word;
    int quality;
} qualities[] = {
    { "terrible", 0 },  { "awful", 0 },     { "horrible", 0 }, { "very bad", 0 },  { "worst", 0 },
    { "useless", 0 },   { "bad", 1 },       { "poor", 1 },     { "not good", 1 },  { "ok", 2 },
    { "okay", 2 },      { "average", 2 },   { "so so", 2 },    { "neutral", 2 },   { "fine", 2 },
    { "good", 3 },      { "nice", 3 },      { "well", 3 },     { "great", 4 },     { "excellent", 4 },
    { "perfect", 4 },   { "amazing", 4 },   { "awesome", 4 },  { "very good", 4 }, { "best", 4 },
    { "wonderful", 4 }, { "fantastic", 4 }, { THUMBS_UP, 4 },  { THUMBS_DOWN, 0 }, { "love it", 4 },
};

static const char *const numbers[] = { "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten" };

static struct bytes strip(struct bytes text)
{
    while (text.len > 0 && (isspace((unsigned char)text.ptr[0]) || strchr("\"'(", text.ptr[0]))) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 &&
           (isspace((unsigned char)text.ptr[text.len - 1]) || strchr(".!,)\"'", text.ptr[text.len - 1])))
        text.len--;
    return text;
}

static int count_stars(struct bytes text)
{
    int count = 0;
    while (text.len > 0) {
        struct bytes star = BYTES_LITERAL(STAR), black = BYTES_LITERAL(BLACK_STAR), form = BYTES_LITERAL(VARIATION);
        if (bytes_start_with(text, star) || bytes_start_with(text, black)) {
            count++;
            text.ptr += star.len;
            text.len -= star.len;
        } else if (count > 0 && bytes_start_with(text, form)) {
            text.ptr += form.len;
            text.len -= form.len;
        } else {
            return 0;
        }
    }
    return count;
}

static int label_score(const json_t *labels, struct bytes text)
{
    size_t index;
    json_t *label;
    if (json_is_object(labels)) {
        const char *language;
        json_object_foreach((json_t *)(uintptr_t)labels, language, label)
        {
            int score = label_score(label, text);
            if (score > 0)
                return score;
        }
        return 0;
    }
    json_array_foreach(labels, index, label)
    {
        if (json_is_string(label) && text_equal_ignore_case(strip(bytes_of(json_string_value(label))), text))
            return (int)index + 1;
    }
    return 0;
}

static int word_score(const json_t *words, int scale, struct bytes text)
{
    const char *word;
    json_t *score;
    json_object_foreach((json_t *)(uintptr_t)words, word, score)
    {
        if (text_equal_ignore_case(bytes_of(word), text) && json_integer_value(score) >= 1 &&
            json_integer_value(score) <= scale)
            return (int)json_integer_value(score);
    }
    for (int i = 0; i < scale && i < 10; i++)
        if (text_equal_ignore_case(bytes_of(numbers[i]), text))
            return i + 1;
    for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++)
        if (text_equal_ignore_case(bytes_of(qualities[i].word), text))
            return 1 + (qualities[i].quality * (scale - 1) + 2) / 4;
    return 0;
}

static const char *skip_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i < length; i++)
        if (tolower((unsigned char)text[i]) != (unsigned char)word[i])
            return text;
    return text + length;
}

/* "4", "4/5", "4 stars", "4, thank you". A number that goes on ("4 days ago", "4pm") is not an answer. */
static int number_score(int scale, const char *text, const char **ret_rest)
{
    while (isspace((unsigned char)*text))
        text++;
    if (!isdigit((unsigned char)*text))
        return 0;
    char *end;
    long value = strtol(text, &end, 10);
    if (value < 1 || value > scale || end - text > 2)
        return 0;
    const char *at = skip_word(skip_word(end, VARIATION), KEYCAP);
    while (*at == ' ')
        at++;
    if (*at == '/' || strncmp(at, "out of ", 7) == 0 || strncmp(at, "of ", 3) == 0) {
        at += *at == '/' ? 1 : strncmp(at, "of ", 3) == 0 ? 3 : 7;
        while (*at == ' ')
            at++;
        long whole = strtol(at, &end, 10);
        if (end == at || whole != scale)
            return 0;
        at = end;
    }
    while (*at == ' ')
        at++;
    static const char *const units[] = { "stars", "star", "points", "point" };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        const char *after = skip_word(at, units[i]);
        if (after != at && !isalnum((unsigned char)*after)) {
            at = after;
            break;
        }
    }
    while (*at == ' ')
        at++;
    if (*at == '\0')
        return (int)value;
    if (!strchr(".,;:!-\n\r)", *at) || (at[0] == '.' && isdigit((unsigned char)at[1])))
        return 0;
    while (*at && (strchr(".,;:!-)", *at) || isspace((unsigned char)*at)))
        at++;
    *ret_rest = *at ? at : NULL;
    return (int)value;
}

int survey_score_of(const json_t *declaration, int scale, const char *text, const char **ret_rest)
{
    *ret_rest = NULL;
    struct bytes plain = strip(bytes_of(text));
    if (plain.len == 0)
        return 0;
    int score = label_score(json_object_get(declaration, "labels"), plain);
    if (score == 0)
        score = number_score(scale, text, ret_rest);
    if (score == 0)
        score = count_stars(plain);
    if (score == 0)
        score = word_score(json_object_at(declaration, "words"), scale, plain);
    return score <= scale ? score : 0;
}
