/* What people answer instead of a number, in the languages most of them write to us in. Only the whole answer counts:
 * "good" is one, "good morning" is not. */
#include "base/bytes.h"
#include "base/macros.h"
#include "domain/survey.h"
#include "rules/words.h"

static const struct {
    int quality;
    const char *words[48];
} qualities[] = {
    { 0, { "terrible",  "awful",         "horrible",    "very bad",        "worst",       "useless",   "schrecklich",
           "furchtbar", "sehr schlecht", "katastrophe", "pésimo",          "horrible",    "muy malo",  "muy mal",
           "nul",       "très mauvais",  "très mal",    "péssimo",         "horrível",    "muito mau", "muito ruim",
           "pessimo",   "orribile",      "molto male",  "verschrikkelijk", "heel slecht", "ужасно",    "очень плохо",
           "çok kötü",  "berbat",        "سيئ جدا",     "非常差",          "很差",        "最悪",      "👎" } },
    { 1, { "bad",      "poor",     "not good", "schlecht", "nicht gut", "malo",   "mal",    "mauvais",
           "mauvaise", "pas bien", "mau",      "ruim",     "male",      "scarso", "slecht", "niet goed",
           "плохо",    "kötü",     "buruk",    "سيئ",      "不好",      "差",     "悪い" } },
    { 2, { "ok",       "okay",      "average",     "so so",      "neutral", "fine",          "mittel",    "geht so",
           "es geht",  "regular",   "más o menos", "moyen",      "bof",     "mais ou menos", "così così", "matig",
           "gaat wel", "нормально", "orta",        "idare eder", "عادي",    "一般",          "还行",      "普通" } },
    { 3, { "good", "nice",   "well", "gut",   "bueno", "bien", "bon",  "bom", "bem",  "buono", "bene",
           "goed", "хорошо", "iyi",  "bagus", "baik",  "جيد",  "अच्छा", "好",  "不错", "良い" } },
    { 4, { "great",     "excellent", "perfect",  "amazing",  "awesome",    "very good",     "best",      "wonderful",
           "fantastic", "love it",   "super",    "sehr gut", "toll",       "ausgezeichnet", "perfekt",   "hervorragend",
           "excelente", "muy bueno", "muy bien", "genial",   "perfecto",   "parfait",       "très bien", "ótimo",
           "muito bom", "perfeito",  "ottimo",   "perfetto", "uitstekend", "heel goed",     "отлично",   "очень хорошо",
           "mükemmel",  "çok iyi",   "ممتاز",    "बहुत अच्छा", "很好",       "非常好",        "最高",      "👍" } },
};

static const char *const numbers[][14] = {
    { "one", "eins", "uno", "una", "un", "une", "um", "uma", "een", "один", "bir", "واحد", "एक", "一" },
    { "two", "zwei", "dos", "deux", "dois", "duas", "due", "twee", "два", "iki", "اثنان", "दो", "二" },
    { "three", "drei", "tres", "trois", "três", "tre", "drie", "три", "üç", "ثلاثة", "तीन", "三" },
    { "four", "vier", "cuatro", "quatre", "quatro", "quattro", "четыре", "dört", "أربعة", "चार", "四" },
    { "five", "fünf", "cinco", "cinq", "cinque", "vijf", "пять", "beş", "خمسة", "पांच", "五" },
    { "six", "sechs", "seis", "sei", "zes", "шесть", "altı", "ستة", "छह", "六" },
    { "seven", "sieben", "siete", "sept", "sete", "sette", "zeven", "семь", "yedi", "سبعة", "सात", "七" },
    { "eight", "acht", "ocho", "huit", "oito", "otto", "восемь", "sekiz", "ثمانية", "आठ", "八" },
    { "nine", "neun", "nueve", "neuf", "nove", "negen", "девять", "dokuz", "تسعة", "नौ", "九" },
    { "ten", "zehn", "diez", "dix", "dez", "dieci", "tien", "десять", "عشرة", "दस", "十" },
};

/* Longer texts than any of the words are stories, not answers. */
#define WORD_MAX_BYTES 80

/* A thumb of any colour: words_is() looks at letters alone. */
static bool is_thumb(struct bytes text, const char *word)
{
    struct bytes thumb = bytes_of(word);
    if ((unsigned char)word[0] != 0xF0 || !bytes_start_with(text, thumb))
        return false;
    struct bytes rest = { text.ptr + thumb.len, text.len - thumb.len };
    static const char tone[] = "\xF0\x9F\x8F"; /* U+1F3FB to U+1F3FF */
    return rest.len == 0 || (rest.len == 4 && bytes_start_with(rest, BYTES_LITERAL(tone)));
}

int survey_word_quality(const char *text)
{
    struct bytes answer = bytes_of(text);
    if (answer.len > WORD_MAX_BYTES)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(qualities); i++)
        for (const char *const *word = qualities[i].words; *word; word++)
            if (words_is(answer, bytes_of(*word)) || is_thumb(answer, *word))
                return qualities[i].quality;
    return -1;
}

int survey_word_number(const char *text)
{
    struct bytes answer = bytes_of(text);
    if (answer.len > WORD_MAX_BYTES)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        for (size_t j = 0; j < ARRAY_LEN(numbers[i]) && numbers[i][j]; j++)
            if (words_is(answer, bytes_of(numbers[i][j])))
                return (int)i + 1;
    return 0;
}
