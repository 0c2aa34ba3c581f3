/* Money without floating point, and who a customer is. */
#include "channel/channel_support.h"
#include "channel/payment.h"

static void decimal_texts_become_minor_units(void **state)
{
    (void)state;
    static const struct {
        const char *text, *currency;
        int64_t amount;
    } right[] = {
        { "10", "EUR", 1000 },
        { "10.5", "eur", 1050 },
        { "10.00", "usd", 1000 },
        { "0.01", "usd", 1 },
        { "-2.51", "usd", -251 },
        { "1000", "JPY", 1000 },
        { "1000.00", "jpy", 1000 },
        { "1.234", "KWD", 1234 },
        { "1", "bhd", 1000 },
        { "8.20", "usd", 820 },
        { "1.1", "usd", 110 },
        { "2.51", NULL, 251 },
        { "4503599627370497.27", "usd", 450359962737049727 },
        { " 5.00 ", "usd", 500 },
        { "500", "isk", 500 },
        { "500.00", "UGX", 500 },
        { "1.5", "iqd", 1500 },
        { "1.5", "lyd", 1500 },
        { "50", "xtr", 50 },
        { "12.300000", "usd", 1230 },
        { "007.10", "usd", 710 },
        { ".50", "usd", 50 },
    };
    for (size_t i = 0; i < ARRAY_LEN(right); i++) {
        int64_t amount = 0;
        if (!money_from_decimal(right[i].text, right[i].currency, &amount) || amount != right[i].amount) {
            fail_msg("%s %s gives %lld", right[i].text, right[i].currency, (long long)amount);
        }
    }
    static const struct {
        const char *text, *currency;
    } wrong[] = {
        { "", "usd" },      { "abc", "usd" },
        { "1.005", "usd" }, { "1.5", "jpy" },
        { "1,50", "usd" },  { "1e3", "usd" },
        { "--1", "usd" },   { "1.2.3", "usd" },
        { "10.", "usd" },   { "-", "usd" },
        { ".", "usd" },     { "+1.00", "usd" },
        { "NaN", "usd" },   { "92233720368547758.08", "usd" },
        { NULL, "usd" },    { "1 000.00", "usd" },
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        int64_t amount = 77;
        if (money_from_decimal(wrong[i].text, wrong[i].currency, &amount)) {
            fail_msg("%s is no amount of %s", wrong[i].text, wrong[i].currency);
        }
        assert_int_equal(amount, 77);
    }
}

static void amounts_that_are_counted_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *object;
        unsigned decimals;
        const char *amount;
    } cases[] = {
        { "{\"amount\":50000,\"currency\":\"isk\"}", 2, "500" },
        { "{\"amount\":-50000,\"currency\":\"isk\"}", 2, "-500" },
        { "{\"amount\":0,\"currency\":\"isk\"}", 2, "0" },
        { "{\"amount\":50050,\"currency\":\"isk\"}", 2, "50050" },
        { "{\"amount\":500,\"currency\":\"idr\"}", 0, "50000" },
        { "{\"amount\":9223372036854775807,\"currency\":\"idr\"}", 0, "9223372036854775807" },
        { "{\"amount\":500,\"currency\":\"usd\"}", 2, "500" },
        { "{\"currency\":\"isk\"}", 2, "-" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *object = NULL;
        assert_int_equal(json_parse(bytes_of(cases[i].object), &object, NULL), ERR_NONE);
        payment_recount(object, cases[i].decimals);
        expect_at(object, "amount", cases[i].amount);
        json_decref(object);
    }
}

/* The identities that `add` makes of a text; compared as JSON. */
static void expect_identities(void (*add)(json_t *event, const char *text), const char *text, const char *expected)
{
    json_t *event = json_object();
    add(event, text);
    expect_at(event, "contact.identities", expected);
    json_decref(event);
}

static void addresses_are_normalised_or_dropped(void **state)
{
    (void)state;
    expect_identities(customer_add_email, " Ada@Example.COM ", "[\"email:ada@example.com\"]");
    static const char *const no_email[] = { "", "ada", "@x", "ada@", "a b@x.y", "a@x,b@y", "<a@b.c>", NULL };
    for (size_t i = 0; i < ARRAY_LEN(no_email); i++) {
        expect_identities(customer_add_email, no_email[i], "-");
    }
    static const struct {
        const char *phone, *identity;
    } phones[] = {
        { "+48 600-100-200", "[\"phone:48600100200\"]" },
        { "+1 (415) 555-0100", "[\"phone:14155550100\"]" },
        { "+1 415 555 0100 ext. 12", "[\"phone:14155550100\"]" },
        { "+48 (0)600 100 200", "[\"phone:48600100200\"]" },
        { "+39 (0)6 1234567", "[\"phone:39061234567\"]" },
        { "0048600100200", "[\"phone:48600100200\"]" },
        { "(415) 555-0100", "-" }, /* national: another country's number when read as international */
        { "4155550100", "-" },
        { "9876543210", "-" },
        { "030 1234567", "-" },
        { "0301234567", "-" },
        { "+0123456789", "-" },
        { "+12345", "-" },
        { "+1234567890123456", "-" },
        { "call me", "-" },
        { "", "-" },
        { NULL, "-" },
    };
    for (size_t i = 0; i < ARRAY_LEN(phones); i++) {
        expect_identities(customer_add_phone, phones[i].phone, phones[i].identity);
    }
}

static void metadata_names_handles(void **state)
{
    (void)state;
    static const struct {
        const char *metadata, *identities;
    } cases[] = {
        { "{\"whatsapp\":\"+1 555 0100\"}", "[\"whatsapp:15550100\"]" },
        { "{\"WhatsApp\":\"US.13491208655302741918\"}", "[\"whatsapp:US.13491208655302741918\"]" },
        { "{\"telegram\":42}", "[\"telegram:42\"]" },
        { "{\"telegram\":\"-100123\"}", "[\"telegram:-100123\"]" },
        { "{\"telegram\":\"@ada\"}", "-" },
        { "{\"phone-number\":\"+15550100\",\"email\":\"A@B.C\"}", "[\"email:a@b.c\",\"phone:15550100\"]" },
        { "{\"contact_id\":\"4711\"}", "[\"contact:4711\"]" },
        { "{\"contact_id\":4711}", "[\"contact:4711\"]" },
        { "{\"contact\":\"telegram:42\"}", "[\"telegram:42\"]" },
        { "{\"contact\":\"whatsapp:nobody\"}", "-" },
        { "{\"contact\":\"phone:15550100\"}", "[\"phone:15550100\"]" },
        { "{\"phone\":\"4155550100\"}", "-" },
        { "{\"phone\":14155550100}", "-" },
        { "{\"phone\":\"+15550100\",\"telegram\":\"7\",\"whatsapp\":\"15550100\"}",
          "[\"whatsapp:15550100\",\"telegram:7\",\"phone:15550100\"]" },
        { "{\"whatsapp\":null,\"telegram\":{},\"phone\":[],\"email\":true,\"contact\":\"\"}", "-" },
        { "{\"unrelated\":\"+15550100\"}", "-" },
        { "[]", "-" },
        { "{}", "-" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *event = json_object();
        json_t *metadata = json_loads(cases[i].metadata, 0, NULL);
        assert_non_null(metadata);
        customer_add_metadata(event, metadata);
        expect_at(event, "contact.identities", cases[i].identities);
        json_decref(metadata);
        json_decref(event);
    }
}

static void names_stay_as_first_given(void **state)
{
    (void)state;
    json_t *event = json_object();
    customer_set_names(event, "", NULL);
    customer_set_name(event, "  ");
    expect_at(event, "contact", "-");
    customer_set_names(event, NULL, "Lovelace");
    customer_set_name(event, "Somebody Else");
    expect_at(event, "contact.name", "Lovelace");
    json_decref(event);

    /* a long name is cut between characters */
    char name[402];
    for (size_t i = 0; i < 400; i += 2) {
        memcpy(name + i + 1, "\xc5\xbb", 2);
    }
    name[0] = 'x';
    name[401] = '\0';
    event = json_object();
    customer_set_name(event, name);
    assert_int_equal(strlen(json_string_value(json_at(event, "contact.name"))), 199);
    json_decref(event);
}

static void amounts_of_any_type(void **state)
{
    (void)state;
    static const struct {
        const char *json, *minor, *decimal;
    } cases[] = {
        { "1999", "1999", "199900" },   { "\"1999\"", "1999", "199900" },
        { "19.99", "-", "1999" },       { "\"19.99\"", "-", "1999" },
        { "0.1", "-", "10" },           { "8.2", "-", "820" },
        { "null", "-", "-" },           { "{}", "-", "-" },
        { "true", "-", "-" },           { "\"x\"", "-", "-" },
        { "2000.0", "2000", "200000" }, { "1e300", "-", "-" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *amount = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        json_t *parts = json_pack("{s:{},s:{}}", "minor", "decimal");
        payment_put_amount(json_object_get(parts, "minor"), amount, "USD");
        payment_put_decimal(json_object_get(parts, "decimal"), amount, "USD");
        expect_at(parts, "minor.amount", cases[i].minor);
        expect_at(parts, "decimal.amount", cases[i].decimal);
        expect_at(parts, "minor.currency", "usd");
        json_decref(amount);
        json_decref(parts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimal_texts_become_minor_units),    cmocka_unit_test(amounts_that_are_counted_otherwise),
        cmocka_unit_test(addresses_are_normalised_or_dropped), cmocka_unit_test(metadata_names_handles),
        cmocka_unit_test(names_stay_as_first_given),           cmocka_unit_test(amounts_of_any_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
