/* What a shadow desk gets to know: the contacts that an event is about, and nobody else. */
#include "domain/desk.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

static json_t *read_json(const char *text)
{
    json_error_t why;
    json_t *json = json_loads(text, 0, &why);
    if (json == NULL)
        fail_msg("%s: %s", text, why.text);
    return json;
}

static int64_t next_id(void *arg)
{
    int64_t *last = arg;
    return ++*last;
}

struct world {
    struct desk *desk;
    int64_t last_id;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct desk_settings settings = { .next_id = next_id, .id_arg = &world->last_id };
    world->last_id = 1000;
    world->desk = desk_new(&settings, NULL);
    desk_add_case(world->desk,
                  read_json("{\"contact\":{\"id\":1,\"name\":\"Ada\"},"
                            "\"identities\":[{\"identity\":\"whatsapp:15550100\",\"contact_id\":1}],"
                            "\"conversations\":[{\"id\":11,\"contact_id\":1,\"state\":\"open\",\"topic\":\"support\"}],"
                            "\"messages\":[{\"id\":12,\"contact_id\":1,\"provider_message_id\":\"wamid.1\"}]}"));
    desk_add_case(world->desk,
                  read_json("{\"contact\":{\"id\":2,\"name\":\"Ben\"},"
                            "\"identities\":[{\"identity\":\"stripe:cus_2\",\"contact_id\":2}],"
                            "\"outreaches\":[{\"id\":21,\"contact_id\":2,\"state\":\"active\",\"reference\":\"in_2\","
                            "\"topic\":\"billing\"}]}"));
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    desk_free(world->desk);
    free(world);
    return 0;
}

/* The names of the contacts in the cases for this event. */
static void expect_names(const struct world *world, const char *event_text, const char *wanted)
{
    json_t *event = read_json(event_text);
    json_t *cases = desk_copy_cases(world->desk, event);
    char names[200] = "";
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const char *name = json_str_or(json_object_at(json_array_get(cases, i), "contact"), "name", "?");
        size_t length = strlen(names);
        snprintf(names + length, sizeof(names) - length, "%s%s", i > 0 ? " " : "", name);
    }
    assert_string_equal(names, wanted);
    json_decref(cases);
    json_decref(event);
}

static void test_every_way_that_leads_to_a_contact(void **state)
{
    const struct world *world = *state;
    expect_names(world, "{\"contact\":{\"identities\":[\"whatsapp:15550100\"]}}", "Ada");
    expect_names(world, "{\"contact\":{\"identities\":[\"phone:15550100\"]}}", "Ada");
    expect_names(world, "{\"contact\":{\"identities\":[\"email:x@y.z\",\"stripe:cus_2\"]}}", "Ben");
    expect_names(world, "{\"contact_id\":2}", "Ben");
    expect_names(world, "{\"conversation_id\":11}", "Ada");
    expect_names(world, "{\"status\":{\"message_id\":\"wamid.1\"}}", "Ada");
    expect_names(world, "{\"message\":{\"id\":\"wamid.2\",\"reply_to\":\"wamid.1\"}}", "Ada");
    expect_names(world, "{\"payment\":{\"invoice\":\"in_2\"}}", "Ben");
    expect_names(world, "{\"contact_id\":1,\"payment\":{\"invoice\":\"in_2\"}}", "Ada Ben");
}

static void test_nobody(void **state)
{
    const struct world *world = *state;
    expect_names(world, "{}", "");
    expect_names(world, "{\"contact\":{\"identities\":[\"whatsapp:1\",5,null]}}", "");
    expect_names(world, "{\"status\":{\"message_id\":\"wamid.9\"},\"payment\":{\"invoice\":\"in_9\"}}", "");
}

/* Another desk works on the copies as on the facts, and the first one knows nothing of it. */
static void test_copies_are_for_another_desk(void **state)
{
    struct world *world = *state;
    json_t *event =
        read_json("{\"id\":5,\"type\":\"message.received\",\"source\":\"whatsapp\",\"occurred_at\":"
                  "\"2026-01-01T00:00:00.000Z\",\"contact\":{\"identities\":[\"whatsapp:15550100\"],"
                  "\"name\":\"Ada King\"},\"message\":{\"id\":\"wamid.3\",\"kind\":\"text\",\"text\":\"hi\"}}");
    json_t *cases = desk_copy_cases(world->desk, event);
    int64_t last_id = 9000;
    const struct desk_settings settings = { .next_id = next_id, .id_arg = &last_id };
    struct desk *other = desk_new(&settings, NULL);
    for (size_t i = 0; i < json_array_size(cases); i++)
        desk_add_case(other, json_incref(json_array_get(cases, i)));
    desk_handle(other, event, 1767225600000);
    json_t *theirs = desk_take_changes(other);
    assert_int_equal(json_array_size(json_array_at(theirs, "messages")), 1);
    json_t *ours = desk_take_changes(world->desk);
    assert_int_equal(json_object_size(ours), 0);
    json_decref(ours);
    json_decref(theirs);
    desk_free(other);
    json_decref(cases);
    json_decref(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_way_that_leads_to_a_contact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copies_are_for_another_desk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
