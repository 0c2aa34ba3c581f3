#include "domain/send.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "domain/address.h"
#include "domain/contact.h"
#include "domain/conversation.h"
#include "domain/message.h"
#include "domain/template.h"

#define TEXT_MAX_BYTES ((size_t)64 * 1024)

/* What rules need not say: the name we know. New reference. */
static json_t *all_vars(const json_t *contact, const json_t *given)
{
    json_t *vars = given ? json_copy((json_t *)(uintptr_t)given) : json_object();
    if (!json_object_get(vars, "name"))
        json_put_str(vars, "name", json_str(contact, "name"));
    return vars;
}

/* Replies to somebody who wrote in stay allowed; what we begin needs a topic that was not stopped. */
static const char *topic_of(const struct send_wish *wish, const json_t *template)
{
    if (wish->topic)
        return wish->topic;
    if (template && json_str(template, "topic"))
        return json_str(template, "topic");
    bool customer_began = json_str(wish->conversation, "last_inbound_at") != NULL;
    return customer_began ? NULL : json_str(wish->conversation, "topic");
}

static err_t draft_text(const struct send_wish *wish, const json_t *vars, struct message_draft *draft,
                        struct error *reterr)
{
    const json_t *what = wish->what;
    const json_t *media = json_object_at(what, "media");
    const char *text = json_str(what, "text");
    draft->free = json_object();
    draft->kind = media ? json_str_or(media, "kind", "document") : "text";
    if (text) {
        struct buf filled CLEANUP(buf_done);
        buf_init(&filled, TEXT_MAX_BYTES);
        /* Rules fill in their own texts; what is left in braces then came from a customer and stays as it is. */
        bool has_vars = !wish->is_outreach && json_object_size(json_object_at(what, "vars")) > 0;
        err_t err = ERR_NONE;
        if (has_vars || wish->survey_id > 0)
            err = template_fill(text, vars, has_vars, &filled, reterr);
        else
            buf_add_text(&filled, text);
        if (err != ERR_NONE)
            return err;
        json_put_bytes(draft->free, "text", buf_bytes(&filled));
    }
    if (media) {
        json_object_set(draft->free, "media", (json_t *)(uintptr_t)media);
        json_object_set(draft->content, "media", (json_t *)(uintptr_t)media);
    }
    const json_t *buttons = json_array_at(what, "buttons");
    if (json_array_size(buttons) > 0)
        json_object_set(draft->free, "buttons", (json_t *)(uintptr_t)buttons);
    if (!text && !media)
        return fail(reterr, ERR_INVALID, "there is nothing to send\nHINT: give text, template or media");
    return ERR_NONE;
}

static const char *provider_of(const struct desk *desk, const json_t *address)
{
    const json_t *settings = desk_source(desk, json_str(address, "source"));
    return settings ? json_str(settings, "provider") : NULL;
}

static err_t draft_template(const struct scene *scene, const struct send_wish *wish, const json_t *template,
                            const json_t *contact, const json_t *address, const json_t *vars,
                            struct message_draft *draft, struct error *reterr)
{
    const char *language = json_str_or(wish->what, "language", json_str(contact, "language"));
    struct rendered rendered;
    err_t err = template_render(template, vars, language, provider_of(scene->desk, address),
                                json_array_at(wish->what, "buttons"), &rendered, reterr);
    if (err != ERR_NONE)
        return err;
    draft->kind = "template";
    draft->free = rendered.free;
    draft->approved = rendered.approved;
    json_put_str(draft->content, "template", json_str(template, "name"));
    json_put_str(draft->content, "language", rendered.language);
    json_object_set(draft->content, "vars", (json_t *)(uintptr_t)vars);
    return ERR_NONE;
}

/* A survey is asked in its own words while the window is open, and by an approved template after that. */
static err_t add_survey_template(const struct scene *scene, const struct send_wish *wish, const json_t *contact,
                                 const json_t *address, const json_t *vars, struct message_draft *draft,
                                 struct error *reterr)
{
    const json_t *template = desk_declaration(scene->desk, "template", wish->survey_template);
    if (!template)
        return fail(reterr, ERR_INVALID, "there is no template '%s'", wish->survey_template);
    struct rendered rendered;
    const char *language = json_str(contact, "language");
    const json_t *buttons = json_array_at(wish->what, "buttons");
    /* Only as many answers as the approved template has buttons can be given back by it. */
    const json_t *languages = json_object_at(template, "languages");
    const char *chosen = template_language(languages, language, json_str(template, "default_language"));
    const json_t *own = chosen ? json_array_at(json_object_at(languages, chosen), "buttons") : NULL;
    if (json_array_size(own) != json_array_size(buttons))
        buttons = NULL;
    err_t err =
        template_render(template, vars, language, provider_of(scene->desk, address), buttons, &rendered, reterr);
    if (err != ERR_NONE)
        return err;
    draft->approved = json_incref(rendered.approved);
    rendered_done(&rendered);
    return ERR_NONE;
}

/* What a message quotes; NULL where its channel has no such message: each has its own ids, and a provider refuses a
 * wrong one. What an event brought is on its source; of others the effect may say where they are. */
static const char *quoted_there(const struct scene *scene, const json_t *what, const json_t *address)
{
    const char *quoted = json_str(what, "reply_to"), *on = json_str(what, "quoted_on");
    const char *arrived = json_str(json_object_at(scene->event, "message"), "id");
    if (!on && quoted && arrived && strcmp(quoted, arrived) == 0)
        on = json_str(scene->event, "source");
    return on && strcmp(on, json_str_or(address, "source", "")) != 0 ? NULL : quoted;
}

static void draft_done(struct message_draft *draft)
{
    json_decref(draft->content);
    json_decref(draft->free);
    json_decref(draft->approved);
}

/* What the message is on this address. The draft is the caller's, also after an error. */
static err_t make_draft(const struct scene *scene, const struct send_wish *wish, const json_t *template,
                        const json_t *contact, const json_t *address, struct message_draft *draft, struct error *reterr)
{
    json_t *vars = all_vars(contact, json_object_at(wish->what, "vars"));
    err_t err = template ? draft_template(scene, wish, template, contact, address, vars, draft, reterr)
                         : draft_text(wish, vars, draft, reterr);
    if (err == ERR_NONE && wish->survey_template)
        err = add_survey_template(scene, wish, contact, address, vars, draft, reterr);
    json_decref(vars);
    if (err != ERR_NONE)
        return err;
    draft->text = json_str(draft->free, "text");
    if (!draft->text)
        draft->text = json_str(json_object_at(draft->free, "media"), "caption");
    const json_t *buttons = json_array_at(draft->free, "buttons");
    if (buttons)
        json_object_set(draft->content, "buttons", (json_t *)(uintptr_t)buttons);
    return ERR_NONE;
}

static void queue_draft(struct scene *scene, const struct send_wish *wish, json_t *contact, const json_t *address,
                        struct message_draft *draft, json_t *made)
{
    char *text = memory_text(draft->text); /* the request takes the form over */
    draft->text = text;
    if (wish->approved_only) {
        json_decref(draft->free);
        draft->free = NULL;
    }
    int64_t delivery_id;
    const json_t *message = message_queue(scene, contact, wish->conversation, address, draft, &delivery_id);
    free(text);
    draft->text = NULL;
    json_put_int(made, "message", row_id(message));
    json_put_int(made, "delivery", delivery_id);
    json_put_str(made, "channel", json_str(message, "source"));
}

static const char *why_refused(const struct scene *scene, const json_t *contact, const char *topic)
{
    if (scene->confirms_opt_out || !contact_refuses(contact, topic))
        return NULL;
    return contact_refuses(contact, NULL) ? "the contact has opted out of everything"
                                          : "the contact has opted out of this topic";
}

err_t send_message(struct scene *scene, const struct send_wish *wish, json_t *made, const char **ret_refused,
                   struct error *reterr)
{
    struct desk *desk = scene->desk;
    const json_t *what = wish->what;
    json_t *contact = conversation_contact(desk, wish->conversation);
    const char *name = json_str(what, "template");
    const json_t *template = name ? desk_declaration(desk, "template", name) : NULL;
    if (name && !template)
        return fail(reterr, ERR_INVALID, "there is no template '%s'", name);
    if (!contact)
        return fail(reterr, ERR_INVALID, "the contact of conversation %lld is not known",
                    (long long)row_id(wish->conversation));
    const char *channel = json_str(what, "channel");
    if (channel && !address_channel_known(desk, channel))
        return address_no_such_channel(desk, channel, reterr);

    const char *topic = topic_of(wish, template);
    *ret_refused = why_refused(scene, contact, topic);
    if (*ret_refused)
        return ERR_NONE;
    struct address_wish address_wish = {
        .channel = channel,
        .conversation = wish->conversation,
        .is_outreach = wish->is_outreach,
        .template = template ? template : desk_declaration(desk, "template", wish->survey_template),
        .excluded_sources = wish->excluded_sources,
    };
    const json_t *address = address_choose(scene, contact, &address_wish);
    if (!address) {
        *ret_refused =
            channel ? "the contact has no address on this channel" : "the contact has no address to write to";
        return ERR_NONE;
    }

    struct message_draft draft = {
        .content = wish->extra_content ? json_copy((json_t *)(uintptr_t)wish->extra_content) : json_object(),
        .on_unknown = json_str_or(what, "on_unknown", json_str_or(template, "on_unknown", "hold")),
        .topic = topic,
        .reply_to = quoted_there(scene, what, address),
        .quiet = strcmp(json_str_or(what, "quiet", ""), "respect") == 0 ? "respect" : NULL,
        .outreach_id = wish->outreach_id,
        .survey_id = wish->survey_id,
    };
    err_t err = make_draft(scene, wish, template, contact, address, &draft, reterr);
    if (err == ERR_NONE && wish->approved_only && !draft.approved)
        *ret_refused = "there is no approved template";
    else if (err == ERR_NONE)
        queue_draft(scene, wish, contact, address, &draft, made);
    draft_done(&draft);
    return err;
}
