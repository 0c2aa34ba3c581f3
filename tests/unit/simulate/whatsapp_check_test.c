/* The simulated WhatsApp must refuse what the real one refuses, or mistakes in sending would show up in production
 * only. */
#include "simulate/simulator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TO "{\"messaging_product\":\"whatsapp\",\"to\":\"+15550100\","
#define BUTTON(id) "{\"type\":\"reply\",\"reply\":{\"id\":\"" id "\",\"title\":\"" id "\"}}"
#define BUTTONS(list)                                                                                                  \
    TO "\"type\":\"interactive\",\"interactive\":{\"type\":\"button\",\"body\":{\"text\":\"q\"},\"action\":{"          \
       "\"buttons\":[" list "]}}}"
#define TEMPLATE(parameters)                                                                                           \
    TO "\"type\":\"template\",\"template\":{\"name\":\"a_b1\",\"language\":{\"code\":\"en\"},\"components\":[{"        \
       "\"type\":\"body\",\"parameters\":[" parameters "]}]}}"

static void accepts_and_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int code; /* 0: fine */
    } cases[] = {
        { TO "\"type\":\"text\",\"text\":{\"body\":\"hi\"}}", 0 },
        { "{\"messaging_product\":\"whatsapp\",\"recipient\":\"US.134\",\"type\":\"text\",\"text\":{\"body\":\"hi\"}}",
          0 },
        { "{\"messaging_product\":\"whatsapp\",\"to\":\"15550100\",\"type\":\"text\",\"text\":{\"body\":\"hi\"}}",
          100 },
        { TO "\"recipient\":\"US.134\",\"type\":\"text\",\"text\":{\"body\":\"hi\"}}", 100 },
        { "{\"messaging_product\":\"whatsapp\",\"type\":\"text\",\"text\":{\"body\":\"hi\"}}", 100 },
        { "{\"to\":\"+15550100\",\"type\":\"text\",\"text\":{\"body\":\"hi\"}}", 100 },
        { TO "\"type\":\"text\",\"text\":{\"body\":\"\"}}", 131008 },
        { TO "\"type\":\"text\"}", 131008 },
        { TO "\"type\":\"image\",\"image\":{\"link\":\"https://a\",\"caption\":\"c\"}}", 0 },
        { TO "\"type\":\"image\",\"image\":{\"link\":\"https://a\",\"id\":\"1\"}}", 100 },
        { TO "\"type\":\"audio\",\"audio\":{\"id\":\"1\",\"caption\":\"c\"}}", 100 },
        { BUTTONS(BUTTON("a") "," BUTTON("b")), 0 },
        { BUTTONS(BUTTON("a") "," BUTTON("a")), 100 },
        { BUTTONS(BUTTON("a") "," BUTTON("b") "," BUTTON("c") "," BUTTON("d")), 100 },
        { BUTTONS(BUTTON("a title of 21 letter")), 0 },
        { BUTTONS(BUTTON("a title of 21 letters")), 100 },
        { TEMPLATE("{\"type\":\"text\",\"text\":\"Ada\"}"), 0 },
        { TEMPLATE("{\"type\":\"text\",\"text\":\"\"}"), 131008 },
        { TEMPLATE("{\"type\":\"text\",\"text\":\"a\\nb\"}"), 132018 },
        { TEMPLATE("{\"type\":\"text\",\"text\":\"a\",\"parameter_name\":\"x\"},{\"type\":\"text\",\"text\":\"b\"}"),
          132012 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *body CLEANUP(json_free) = json_loads(cases[i].body, 0, NULL);
        assert_non_null(body);
        struct buf reason CLEANUP(buf_done);
        buf_init(&reason, 512);
        int code = 0;
        const char *problem = whatsapp_problem(body, &code, &reason);
        if ((problem ? code : 0) != cases[i].code) {
            print_error("case %zu: %d %s\n", i, code, problem ? problem : "fine");
        }
        assert_int_equal(problem ? code : 0, cases[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(accepts_and_refuses) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
