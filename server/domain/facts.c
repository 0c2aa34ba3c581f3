#include "domain/facts.h"

#include "domain/address.h"
#include "domain/identity.h"
#include "domain/settlement.h"

void facts_forget(struct contact_facts *kept)
{
    json_decref(kept->document);
    *kept = (struct contact_facts){ .document = NULL };
}

static json_t *make_contact(const struct desk *desk, const json_t *row)
{
    json_t *contact = json_copy((json_t *)(uintptr_t)row), *identities = json_array();
    size_t index;
    json_t *identity_row;
    json_array_foreach (rows_of_contact(desk->rows, ROWS_IDENTITY, row_id(row)), index, identity_row) {
        const char *identity = json_str(identity_row, "identity");
        if (identity && identity_find(desk, identity) == identity_row)
            json_array_append(identities, json_object_get(identity_row, "identity"));
    }
    json_put(contact, "identities", identities);
    json_object_del(contact, "settled"); /* told of the event, where it matters */
    return contact;
}

/* The contact as rules see it: made anew when something of it may have changed. Borrowed. */
static json_t *contact_part(struct desk *desk, const json_t *row)
{
    struct contact_facts *kept = &desk->contact_facts;
    const uint64_t contacts = rows_version(desk->rows, ROWS_CONTACT),
                   identities = rows_version(desk->rows, ROWS_IDENTITY),
                   addresses = rows_version(desk->rows, ROWS_ADDRESS);
    bool is_same = kept->document && kept->row == row && kept->contacts == contacts && kept->identities == identities;
    if (is_same && kept->addresses == addresses)
        return kept->document;
    json_t *channels = address_channels(desk, row); /* addresses change with each message, but hardly ever this */
    if (is_same && json_equal(channels, json_array_at(kept->document, "channels"))) {
        json_decref(channels);
    } else {
        facts_forget(kept);
        kept->document = make_contact(desk, row);
        json_put(kept->document, "channels", channels);
    }
    kept->row = row;
    kept->contacts = contacts;
    kept->identities = identities;
    kept->addresses = addresses;
    return kept->document;
}

json_t *facts_make(const struct scene *scene)
{
    json_t *facts = json_object();
    if (scene->contact) {
        json_put(facts, "contact", json_incref(contact_part(scene->desk, scene->contact)));
        json_t *conversations = rows_of_contact(scene->desk->rows, ROWS_CONVERSATION, row_id(scene->contact));
        json_put(facts, "conversations", conversations ? json_copy(conversations) : json_array());
    }
    if (scene->conversation)
        json_put(facts, "conversation", json_incref(scene->conversation));
    if (scene->survey)
        json_put(facts, "survey", json_incref(scene->survey));
    if (scene->outreach)
        json_put(facts, "outreach", json_incref(scene->outreach));
    json_put(facts, "settled", settlement_of_event(scene));
    json_put_str(facts, "channel", scene->source);
    return facts;
}
