#include "domain/identity.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/text.h"
#include "domain/message.h"
#include "domain/settlement.h"
#include "domain/timer.h"

#define IDENTITY_MAX 300
#define GIVEN_UP "former:"

const char *identity_value(const char *identity, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(identity, prefix, length) == 0 && identity[length] == ':' ? identity + length + 1 : NULL;
}

bool identity_is_handle(const char *identity)
{
    return !identity_value(identity, "phone") && !identity_value(identity, "email");
}

static bool is_digits(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (!isdigit((unsigned char)*text))
            return false;
    return true;
}

/* The number without the digit that Argentina, Brazil and Mexico have in some notations of their mobile numbers, and
 * not in others: Meta answers with another one than it was given. */
static void add_plain_number(struct buf *plain, const char *number)
{
    static const struct {
        const char *country;
        size_t at, length; /* of the digit; of the number with it */
        char digit;
    } optional[] = { { "52", 2, 13, '1' }, { "54", 2, 13, '9' }, { "55", 4, 13, '9' } };
    for (size_t i = 0; i < ARRAY_LEN(optional); i++) {
        size_t at = optional[i].at;
        if (strlen(number) == optional[i].length && strncmp(number, optional[i].country, 2) == 0 &&
            number[at] == optional[i].digit) {
            buf_add(plain, number, at);
            number += at + 1;
            break;
        }
    }
    buf_add_text(plain, number);
}

bool identity_same_number(const char *a, const char *b)
{
    const char *left = identity_value(a, "whatsapp"), *right = identity_value(b, "whatsapp");
    if (!left || !right || !is_digits(left) || !is_digits(right))
        return false;
    struct buf first CLEANUP(buf_done), second CLEANUP(buf_done);
    buf_init(&first, IDENTITY_MAX);
    buf_init(&second, IDENTITY_MAX);
    add_plain_number(&first, left);
    add_plain_number(&second, right);
    return !first.overflowed && !second.overflowed && bytes_equal(buf_bytes(&first), buf_bytes(&second));
}

static bool is_given_up(const json_t *row)
{
    return strncmp(json_str_or(row, "proven_by", ""), GIVEN_UP, strlen(GIVEN_UP)) == 0;
}

static json_t *find_exact(const struct desk *desk, const char *identity)
{
    json_t *row = rows_by_key(desk->rows, ROWS_IDENTITY, identity);
    return row && !is_given_up(row) ? row : NULL;
}

json_t *identity_find(const struct desk *desk, const char *identity)
{
    json_t *row = find_exact(desk, identity);
    if (row)
        return row;
    const char *number = identity_value(identity, "phone");
    const char *other = "whatsapp";
    if (!number) {
        number = identity_value(identity, "whatsapp");
        other = "phone";
    }
    if (!number || !is_digits(number))
        return NULL;
    char twin[IDENTITY_MAX];
    size_t length = text_append(twin, sizeof(twin), 0, other);
    length = text_append(twin, sizeof(twin), length, ":");
    text_append(twin, sizeof(twin), length, number);
    return find_exact(desk, twin);
}

json_t *identity_follow_merge(const struct desk *desk, json_t *contact)
{
    for (int i = 0; contact && i < 16; i++) {
        int64_t into = json_int(contact, "merged_into", 0);
        json_t *next = into > 0 ? rows_by_id(desk->rows, ROWS_CONTACT, into) : NULL;
        if (!next)
            return contact;
        contact = next;
    }
    return contact;
}

json_t *identity_owner(const struct desk *desk, const char *identity)
{
    const json_t *row = identity_find(desk, identity);
    if (!row)
        return NULL;
    return identity_follow_merge(desk, rows_by_id(desk->rows, ROWS_CONTACT, json_int(row, "contact_id", 0)));
}

bool identity_attach(struct scene *scene, json_t *contact, const char *identity, const char *proven_by)
{
    struct rows *rows = scene->desk->rows;
    if (strlen(identity) >= IDENTITY_MAX)
        return false;
    json_t *row = rows_by_key(rows, ROWS_IDENTITY, identity);
    if (row && !is_given_up(row))
        return json_int(row, "contact_id", 0) == row_id(contact);
    if (row) {
        rows_edit(rows, ROWS_IDENTITY, row);
        rows_move(rows, ROWS_IDENTITY, row, row_id(contact));
        json_put_str(row, "proven_by", proven_by);
        json_put_bool(row, "moves", true);
        return true;
    }
    row = json_object();
    json_put_str(row, "identity", identity);
    json_put_int(row, "contact_id", row_id(contact));
    json_put_time(row, "created_at", scene->now);
    json_put_str(row, "proven_by", proven_by);
    rows_insert(rows, ROWS_IDENTITY, row);
    return true;
}

static void leave_address(struct scene *scene, json_t *address, const char *reason)
{
    rows_edit(scene->desk->rows, ROWS_ADDRESS, address);
    json_put_time(address, "unreachable_at", scene->now);
    json_put_str(address, "unreachable_reason", reason);
}

void identity_give_up(struct scene *scene, const char *identity)
{
    struct rows *rows = scene->desk->rows;
    json_t *row = rows_by_key(rows, ROWS_IDENTITY, identity);
    if (!row || is_given_up(row))
        return;
    char proven[IDENTITY_MAX];
    snprintf(proven, sizeof(proven), GIVEN_UP "%s", json_str_or(row, "proven_by", ""));
    rows_edit(rows, ROWS_IDENTITY, row);
    json_put_str(row, "proven_by", proven);

    json_t *addresses = rows_of_contact(rows, ROWS_ADDRESS, json_int(row, "contact_id", 0));
    size_t index;
    json_t *address;
    json_array_foreach (addresses, index, address) {
        if (strcmp(json_str_or(address, "identity", ""), identity) == 0)
            leave_address(scene, address, "the contact moved to another handle");
    }
}

static const char *provider_of(const struct desk *desk, const char *source)
{
    return json_str_or(desk_source(desk, source), "provider", "");
}

bool identity_is_claim(const struct desk *desk, const json_t *row)
{
    const char *proven_by = json_str(row, "proven_by");
    return identity_value(json_str_or(row, "identity", ""), "phone") && desk_source(desk, proven_by) &&
           !desk_source_sends(desk, proven_by);
}

/* Did the channel of the handle itself report it? */
static bool is_proof(const struct desk *desk, const json_t *row)
{
    const char *source = json_str(row, "proven_by");
    return desk_source_sends(desk, source) &&
           identity_value(json_str_or(row, "identity", ""), provider_of(desk, source));
}

bool identity_is_proven(const struct desk *desk, const json_t *contact)
{
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(desk->rows, ROWS_IDENTITY, row_id(contact)), index, row) {
        if (is_proof(desk, row))
            return true;
    }
    return false;
}

void identity_prove(struct scene *scene, const json_t *contact, const char *identity)
{
    const struct desk *desk = scene->desk;
    const char *source = json_str_or(scene->event, "source", "");
    json_t *row = find_exact(desk, identity);
    if (!row || json_int(row, "contact_id", 0) != row_id(contact) || !desk_source_sends(desk, source))
        return;
    /* A number that a channel reported is no claim, whichever channel it was. */
    if (is_proof(desk, row) ||
        (identity_value(identity, "phone") && desk_source_sends(desk, json_str(row, "proven_by"))))
        return;
    rows_edit(desk->rows, ROWS_IDENTITY, row);
    json_put_str(row, "proven_by", source);
}

void identity_take_over(struct scene *scene, const json_t *contact, json_t *row)
{
    struct rows *rows = scene->desk->rows;
    int64_t from = json_int(row, "contact_id", 0);
    const char *identity = json_str_or(row, "identity", ""), *number = identity_value(identity, "phone");
    json_t *addresses = json_copy(rows_of_contact(rows, ROWS_ADDRESS, from)); /* moving changes the list */
    size_t index;
    json_t *address;
    json_array_foreach (addresses, index, address) {
        const char *value = identity_value(json_str_or(address, "identity", ""), "whatsapp");
        if (value && number && strcmp(value, number) == 0)
            rows_move(rows, ROWS_ADDRESS, address, row_id(contact));
        else if (value && number && strcmp(json_str_or(address, "recipient", ""), number) == 0)
            leave_address(scene, address, "the number belongs to somebody else by now");
    }
    json_decref(addresses);
    rows_move(rows, ROWS_IDENTITY, row, row_id(contact));
    json_put_bool(row, "moves", true);
    json_put_str(row, "proven_by", json_str_or(scene->event, "source", ""));

    json_t *note = json_object();
    json_put_str(note, "do", "take_over");
    json_put_str(note, "identity", identity);
    json_put_int(note, "from", from);
    scene_note_built_in(scene, "identity", note);
}

static bool same_thread(const json_t *a, const json_t *b)
{
    return strcmp(json_str_or(a, "topic", ""), json_str_or(b, "topic", "")) == 0 &&
           strcmp(json_str_or(a, "reference", ""), json_str_or(b, "reference", "")) == 0;
}

/* One of them must give way: only one conversation may be open for a contact, topic and reference. */
static void settle_open_twins(struct scene *scene, const json_t *mine, json_t *moved)
{
    struct rows *rows = scene->desk->rows;
    if (strcmp(json_str_or(moved, "state", ""), "resolved") == 0)
        return;
    size_t index;
    json_t *other;
    json_array_foreach (mine, index, other) {
        if (strcmp(json_str_or(other, "state", ""), "resolved") == 0 || !same_thread(other, moved))
            continue;
        bool moved_is_newer = json_time(moved, "updated_at", 0) > json_time(other, "updated_at", 0);
        json_t *loser = moved_is_newer ? other : moved;
        rows_edit(rows, ROWS_CONVERSATION, loser);
        json_put_str(loser, "state", "resolved");
        json_put_time(loser, "resolved_at", scene->now);
        json_put_time(loser, "updated_at", scene->now);
        json_t *attributes = json_object_at(loser, "attributes");
        if (!attributes) {
            attributes = json_object();
            json_put(loser, "attributes", attributes);
        }
        json_put_int(attributes, "merged_into", row_id(moved_is_newer ? moved : other));
        timer_cancel_of_conversation(scene, row_id(loser));
        return;
    }
}

static void settle_active_twins(struct scene *scene, const json_t *mine, json_t *moved)
{
    if (strcmp(json_str_or(moved, "state", ""), "active") != 0)
        return;
    size_t index;
    json_t *other;
    json_array_foreach (mine, index, other) {
        if (strcmp(json_str_or(other, "state", ""), "active") != 0 || !same_thread(other, moved))
            continue;
        rows_edit(scene->desk->rows, ROWS_OUTREACH, moved);
        json_put_str(moved, "state", "canceled");
        json_put_time(moved, "ended_at", scene->now);
        json_put_int(moved, "ended_by", scene->event_id);
        timer_cancel_of_outreach(scene, row_id(moved));
        message_cancel_queued_of_outreach(scene, row_id(moved));
        return;
    }
}

static void move_rows(struct scene *scene, enum rows_table table, int64_t from, int64_t to)
{
    struct rows *rows = scene->desk->rows;
    json_t *list = json_copy(rows_of_contact(rows, table, from)); /* moving changes the list */
    size_t index;
    json_t *row;
    json_array_foreach (list, index, row) {
        if (table == ROWS_CONVERSATION)
            settle_open_twins(scene, rows_of_contact(rows, table, to), row);
        if (table == ROWS_OUTREACH)
            settle_active_twins(scene, rows_of_contact(rows, table, to), row);
        rows_move(rows, table, row, to);
        if (table == ROWS_IDENTITY)
            json_put_bool(row, "moves", true);
    }
    json_decref(list);
}

static void fill_missing(json_t *to, const json_t *from, const char *key)
{
    if (!json_str(to, key))
        json_put_str(to, key, json_str(from, key));
}

json_t *identity_merge(struct scene *scene, json_t *a, json_t *b)
{
    struct rows *rows = scene->desk->rows;
    msec_t a_time = json_time(a, "created_at", 0), b_time = json_time(b, "created_at", 0);
    bool a_is_older = a_time != b_time ? a_time < b_time : row_id(a) < row_id(b);
    json_t *older = a_is_older ? a : b;
    json_t *younger = a_is_older ? b : a;
    int64_t from = row_id(younger), to = row_id(older);

    json_t *body = json_object();
    json_put_int(body, "from", from);
    json_put_int(body, "into", to);
    json_t *moved = json_array();
    size_t index;
    json_t *identity;
    json_array_foreach (rows_of_contact(rows, ROWS_IDENTITY, from), index, identity)
        json_array_append(moved, json_object_get(identity, "identity"));
    json_put(body, "identities", moved);

    static const enum rows_table tables[] = { ROWS_IDENTITY, ROWS_ADDRESS,  ROWS_CONVERSATION,
                                              ROWS_SURVEY,   ROWS_OUTREACH, ROWS_TIMER };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        move_rows(scene, tables[i], from, to);
    json_t *messages = json_copy(rows_of_contact(rows, ROWS_MESSAGE, from));
    json_t *message;
    json_array_foreach (messages, index, message) {
        if (rows_is_new(rows, ROWS_MESSAGE, message)) /* older ones stay with their conversation, which moves */
            rows_move(rows, ROWS_MESSAGE, message, to);
    }
    json_decref(messages);

    rows_edit(rows, ROWS_CONTACT, older);
    fill_missing(older, younger, "name");
    fill_missing(older, younger, "language");
    fill_missing(older, younger, "timezone");
    fill_missing(older, younger, "preferred_channel");
    json_t *attributes = json_object_at(younger, "attributes");
    json_t *kept = json_object_at(older, "attributes");
    if (attributes && kept)
        json_object_update_missing(kept, attributes);
    /* Who stopped messages as one of the two has stopped them as one. */
    json_t *topic;
    json_array_foreach (json_array_at(younger, "opted_out"), index, topic) {
        if (!json_list_has(json_array_at(older, "opted_out"), json_string_value(topic)))
            json_array_append(json_array_at(older, "opted_out"), topic);
    }
    if (!json_str(older, "opted_out_at"))
        json_put_str(older, "opted_out_at", json_str(younger, "opted_out_at"));
    settlement_merge(older, younger);
    json_put_time(older, "updated_at", scene->now);

    rows_edit(rows, ROWS_CONTACT, younger);
    json_put_int(younger, "merged_into", to);
    json_put_time(younger, "updated_at", scene->now);
    scene_emit(scene, "contact.merged", older, NULL, body, NULL);
    return older;
}
