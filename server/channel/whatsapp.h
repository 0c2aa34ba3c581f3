/* Parts of the WhatsApp Cloud API channel; only whatsapp*.c include this. */
#ifndef CHANNEL_WHATSAPP_H
#define CHANNEL_WHATSAPP_H

#include "channel/event.h"
#include "channel/meta.h"

#define WHATSAPP "whatsapp"

/* One "changes" element, as the parts see it. */
struct whatsapp_change {
    const struct meta_entry *entry;
    const char *field;
    json_t *value;    /* an object */
    json_t *contacts; /* value.contacts or NULL */
};

/* A person as a message, a status or a preference names them; either id may be missing since user names exist. */
struct whatsapp_person {
    const char *number;  /* "16505551234", or what else the provider wrote there */
    const char *user_id; /* business-scoped user id: "US.1349…" */
    const char *parent_user_id;
};

/* Completes the event's contact: identities with the user id first, name, recipient. */
void whatsapp_put_contact(json_t *event, const struct whatsapp_change *change, const struct whatsapp_person *person);
/* The same for one that gave up `former` for `person`. */
void whatsapp_put_former(json_t *event, const struct whatsapp_person *former);

/* Appends `webhook.SOURCE` for an element of this change; `key` may be NULL when the element has no id. */
json_t *whatsapp_add_unknown(const struct whatsapp_change *change, const char *provider_type, const char *key,
                             msec_t at, json_t *element);

/* {code, title, detail} of an element of an "errors" list. */
json_t *whatsapp_error_doc(const json_t *error);

void whatsapp_parse_message(const struct whatsapp_change *change, json_t *message);
void whatsapp_parse_echo(const struct whatsapp_change *change, json_t *message); /* sent from the phone's app */
void whatsapp_parse_status(const struct whatsapp_change *change, json_t *status);
void whatsapp_parse_preference(const struct whatsapp_change *change, json_t *preference);
void whatsapp_parse_user_id_update(const struct whatsapp_change *change, json_t *update);
void whatsapp_parse_template_status(const struct whatsapp_change *change, const json_t *around);

/* True for a business-scoped user id; numbers never look like one. */
bool whatsapp_is_user_id(const char *handle);

err_t whatsapp_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                      struct error *reterr);
err_t whatsapp_render_template(const json_t *approved, json_t *body, struct error *reterr);
void whatsapp_classify(const struct http_exchange *exchange, struct send_result *result);

err_t whatsapp_ask_templates(const char *after, const json_t *settings, struct outgoing_request *out,
                             struct error *reterr);
err_t whatsapp_read_templates(struct bytes answer, json_t *templates, struct buf *ret_after, struct error *reterr);

#endif
