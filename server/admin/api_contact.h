/* Whom an event of the API is about. Handles are written here as rules write them for fx:emit, and mean the same. */
#ifndef ADMIN_API_CONTACT_H
#define ADMIN_API_CONTACT_H

#include "admin/api.h"

/* The contact of a canonical event, from "whatsapp:+1 555 0100", a list of such texts, {"identities": [...]}, or the
 * short forms {"whatsapp": "+1 555 0100", "email": "Ada@Example.com", "telegram": 42, "name": …, "language": …}. NULL
 * when it names nobody, or holds what is not understood; the call is answered then. */
json_t *api_contact_doc(struct api_call *call, const json_t *given);

#endif
