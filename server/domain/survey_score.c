#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/character.h"
#include "base/macros.h"
#include "base/text.h"
#include "domain/survey.h"
#include "rules/words.h"

#define STAR 0x2B50u
#define GLOWING_STAR 0x1F31Fu
#define BLACK_STAR 0x2605u
#define WHITE_STAR 0x2606u
#define KEYCAP 0x20E3u      /* after a digit */
#define KEYCAP_TEN 0x1F51Fu /* a character of its own */

/* What people see of an answer, character by character: in small letters, digits of any script as ASCII, every kind of
 * space as ' '. Marks that only steer the display are not there. */
struct answer {
    struct bytes text;
    size_t at;  /* behind `c` */
    uint32_t c; /* 0 at the end */
};

static bool is_invisible(uint32_t c)
{
    return (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
           (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFEFF || c == 0x61C;
}

static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= 9 && c <= 13) || c == 0xA0 || (c >= 0x2000 && c <= 0x200A) || c == 0x202F || c == 0x3000;
}

static void advance(struct answer *answer)
{
    do {
        if (answer->at >= answer->text.len) {
            answer->c = 0;
            return;
        }
        answer->c = character_next(answer->text, &answer->at);
    } while (is_invisible(answer->c));
    int digit = character_digit(answer->c);
    if (digit >= 0)
        answer->c = (uint32_t)('0' + digit);
    else if (is_space(answer->c))
        answer->c = answer->c == '\n' ? '\n' : ' ';
    else
        answer->c = character_fold(answer->c);
}

static struct answer answer_of(const char *text)
{
    struct answer answer = { bytes_of(text), 0, 0 };
    advance(&answer);
    return answer;
}

static void skip_spaces(struct answer *answer)
{
    while (answer->c == ' ' || answer->c == '\n')
        advance(answer);
}

static bool is_any_of(uint32_t c, const char *signs)
{
    return c != 0 && c < 0x80 && strchr(signs, (int)c) != NULL;
}

static bool ends_word(uint32_t c)
{
    return c == 0 || is_space(c) || c == '\n' || (c < 0x80 && !isalnum((int)c));
}

/* Skips `word` when it is next and goes no further. */
static bool skip_word(struct answer *answer, const char *word)
{
    struct answer ahead = *answer;
    for (struct answer wanted = answer_of(word); wanted.c != 0; advance(&wanted), advance(&ahead))
        if (ahead.c != wanted.c)
            return false;
    if (!ends_word(ahead.c))
        return false;
    *answer = ahead;
    return true;
}

static bool skip_any_word(struct answer *answer, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (skip_word(answer, words[i]))
            return true;
    return false;
}

static bool is_star(uint32_t c)
{
    return c == STAR || c == GLOWING_STAR || c == BLACK_STAR;
}

/* Digits, each perhaps on a keycap; one of the circled numbers; or the keycap of ten. -1: no number. */
static int read_number(struct answer *answer)
{
    int value = -1;
    if (answer->c >= 0x2460 && answer->c <= 0x2469)
        value = (int)(answer->c - 0x2460) + 1;
    else if (answer->c >= 0x2776 && answer->c <= 0x277F)
        value = (int)(answer->c - 0x2776) + 1;
    else if (answer->c == KEYCAP_TEN)
        value = 10;
    if (value >= 0) {
        advance(answer);
        return value;
    }
    while (is_any_of(answer->c, "0123456789")) {
        value = (value < 0 ? 0 : value * 10) + (int)(answer->c - '0');
        advance(answer);
        if (answer->c == KEYCAP)
            advance(answer);
        if (value > 1000)
            return -1;
    }
    return value;
}

/* "⭐⭐⭐", "★★★☆☆". */
static int count_stars(int scale, const char *text)
{
    int stars = 0, empty = 0;
    struct answer answer = answer_of(text);
    for (skip_spaces(&answer); is_star(answer.c) || (stars > 0 && answer.c == WHITE_STAR); skip_spaces(&answer)) {
        if (answer.c == WHITE_STAR)
            empty++;
        else if (empty > 0)
            return 0;
        else
            stars++;
        advance(&answer);
        if (stars + empty > scale)
            return 0;
    }
    return answer.c == 0 && (empty == 0 || stars + empty == scale) ? stars : 0;
}

/* A label may be "5 😀", and the answer "😀". */
static bool is_label(const char *label, const char *text)
{
    struct answer wanted = answer_of(label);
    for (int part = 0; part < 2; part++) {
        struct answer given = answer_of(text), rest = wanted;
        skip_spaces(&given);
        skip_spaces(&rest);
        bool some = rest.c != 0;
        while (rest.c != 0 && rest.c == given.c) {
            advance(&rest);
            advance(&given);
        }
        while (is_any_of(given.c, " \n.!,\"')"))
            advance(&given);
        if (some && rest.c == 0 && given.c == 0)
            return true;
        skip_spaces(&wanted);
        if (read_number(&wanted) < 0)
            return false;
    }
    return false;
}

static int label_score(const json_t *labels, const char *text)
{
    size_t index;
    json_t *label;
    if (json_is_object(labels)) {
        const char *language;
        json_object_foreach ((json_t *)(uintptr_t)labels, language, label) {
            int score = label_score(label, text);
            if (score > 0)
                return score;
        }
        return 0;
    }
    json_array_foreach (labels, index, label) {
        if (json_is_string(label) && (is_label(json_string_value(label), text) ||
                                      (!strpbrk(json_string_value(label), "0123456789") &&
                                       words_is(bytes_of(text), bytes_of(json_string_value(label))))))
            return (int)index + 1;
    }
    return 0;
}

static int word_score(const json_t *words, int scale, const char *text)
{
    const char *word;
    json_t *score;
    json_object_foreach ((json_t *)(uintptr_t)words, word, score) {
        bool same = words_is(bytes_of(text), bytes_of(word)) || is_label(word, text);
        if (same && json_integer_value(score) >= 1 && json_integer_value(score) <= scale)
            return (int)json_integer_value(score);
    }
    int number = survey_word_number(text);
    if (number >= 1 && number <= scale)
        return number;
    int quality = survey_word_quality(text);
    return quality < 0 ? 0 : 1 + (quality * (scale - 1) + 2) / 4;
}

/* "/5", "out of 5": the scale as the customer knows it. False: it is another one. */
static bool skip_whole(struct answer *answer, int scale)
{
    static const char *const words[] = { "of", "out of", "von", "de", "sur", "su", "van", "из", "من" };
    struct answer ahead = *answer;
    if (ahead.c == '/')
        advance(&ahead);
    else if (!skip_any_word(&ahead, words, ARRAY_LEN(words)))
        return true;
    skip_spaces(&ahead);
    if (read_number(&ahead) != scale)
        return false;
    *answer = ahead;
    return true;
}

static void skip_unit(struct answer *answer)
{
    static const char *const units[] = { "stars",     "star",     "points",   "point",   "stern",   "sterne", "punkte",
                                         "estrellas", "estrella", "estrelas", "estrela", "étoiles", "étoile", "puntos",
                                         "pontos",    "stelle",   "sterren",  "نجوم",    "星",      "分",     "点" };
    if (is_star(answer->c))
        advance(answer);
    else
        skip_any_word(answer, units, ARRAY_LEN(units));
}

static bool is_break(uint32_t c)
{
    return is_any_of(c, ".,;:!-\n)") || c == 0x3001 || c == 0x3002 || c == 0x60C || c == 0x61B || c == 0x6D4 ||
           c == 0x964 || c == 0x2013 || c == 0x2014;
}

static bool is_emoji(uint32_t c)
{
    return (c >= 0x1F000 && c <= 0x1FAFF) || (c >= 0x2600 && c <= 0x27BF) || c == 0x200D;
}

/* "4", "4/5", "4 stars", "4, thank you". A number that goes on ("4 days ago", "4pm", "4.5") is not an answer. */
static int number_score(int scale, const char *text, const char **ret_rest)
{
    struct answer answer = answer_of(text);
    while (is_space(answer.c) || is_any_of(answer.c, "\n\"'("))
        advance(&answer);
    int value = read_number(&answer);
    if (value < 1 || value > scale)
        return 0;
    while (answer.c == ' ')
        advance(&answer);
    if (!skip_whole(&answer, scale))
        return 0;
    while (answer.c == ' ')
        advance(&answer);
    skip_unit(&answer);
    while (is_any_of(answer.c, " \"'") || is_emoji(answer.c))
        advance(&answer);
    if (answer.c == 0)
        return value;
    bool point = answer.c == '.' || answer.c == ',';
    if (!is_break(answer.c))
        return 0;
    advance(&answer);
    if (point && is_any_of(answer.c, "0123456789"))
        return 0;
    size_t rest = answer.text.len;
    while (is_break(answer.c) || answer.c == ' ')
        advance(&answer);
    if (answer.c != 0) {
        rest = answer.at;
        do
            rest--;
        while (((unsigned char)text[rest] & 0xC0) == 0x80);
    }
    *ret_rest = text[rest] ? text + rest : NULL;
    return value;
}

int survey_score_of(const json_t *declaration, int scale, const char *text, const char **ret_rest)
{
    *ret_rest = NULL;
    struct answer answer = answer_of(text);
    skip_spaces(&answer);
    if (answer.c == 0)
        return 0;
    int score = label_score(json_object_get(declaration, "labels"), text);
    if (score == 0)
        score = number_score(scale, text, ret_rest);
    if (score == 0)
        score = count_stars(scale, text);
    if (score == 0)
        score = word_score(json_object_at(declaration, "words"), scale, text);
    return score <= scale ? score : 0;
}
