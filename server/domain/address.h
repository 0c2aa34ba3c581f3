/* Where a contact can be written to: one address for each source and identity. Internal to domain/. */
#ifndef DOMAIN_ADDRESS_H
#define DOMAIN_ADDRESS_H

#include "domain/scene.h"

/* Notes that the person wrote through the event's source: opens the window, proves the address to be alive.
 * `opens_window` is false for what providers do not count (reactions). */
void address_note_inbound(struct scene *scene, bool opens_window);

/* The person stopped this channel: its addresses of the event's contact cannot be reached until they write there again
 * or take it back. The provider's reason is kept with them. */
void address_note_blocked(struct scene *scene, const char *reason);
/* The address that `message` went to is dead; later messages look for another one. */
void address_note_dead(struct scene *scene, const json_t *message, const char *reason);

struct address_wish {
    const char *channel;        /* a source or provider name that it must be, or NULL */
    const json_t *conversation; /* its channel comes first; may be NULL */
    /* An outreach: the contact's preferred channel before the conversation's, and those first where it may leave now.
     */
    bool is_outreach;
    const json_t *template; /* the declaration of what will be said, or NULL; its approved forms may always leave */
    const json_t *excluded_sources; /* array of names, or NULL */
};

/* The address to use, or NULL when there is none. Makes rows for identities that no one has written from yet: any
 * handle at the provider of a source (whatsapp:N, telegram:42), known from a payment's metadata, say. phone:N stands in
 * for a WhatsApp number, but a person who never gave it to us on WhatsApp gets nothing there but approved templates. */
json_t *address_choose(struct scene *scene, json_t *contact, const struct address_wish *wish);

/* Is the provider's window open at `now`, or does the source have none? */
bool address_window_open(const struct desk *desk, const json_t *address, msec_t now);
/* Names of the sources that reach the contact; new reference. */
json_t *address_channels(const struct desk *desk, const json_t *contact);
/* True when `channel` names a source that sends, or the provider or kind of one. */
bool address_channel_known(const struct desk *desk, const char *channel);
/* ERR_INVALID for one that is not known, with the ones that are. */
err_t address_no_such_channel(const struct desk *desk, const char *channel, struct error *reterr);

#endif
