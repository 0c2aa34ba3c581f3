/* The manners of Meta's Graph API: paths, tokens, errors. */
#include "simulate/simulator.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

bool graph_path(const char *path, char *ret_object, size_t size)
{
    static const char suffix[] = "/messages";
    if (path[0] != '/' || path[1] != 'v' || !isdigit((unsigned char)path[2])) {
        return false;
    }
    const char *object = strchr(path + 1, '/');
    const char *end = object ? strchr(object + 1, '/') : NULL;
    if (end == NULL || strcmp(end, suffix) != 0) {
        return false;
    }
    size_t length = (size_t)(end - object - 1);
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(ret_object, object + 1, length);
    ret_object[length] = '\0';
    return true;
}

const char *bearer_token(const struct http_request *request)
{
    const char *header = http_header(request, "Authorization");
    if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0) {
        return "";
    }
    return header + 7;
}

json_t *graph_error(int code, const char *details)
{
    char message[64];
    snprintf(message, sizeof(message), "(#%d) simulated", code);
    return json_pack("{s:{s:s,s:s,s:i,s:{s:s,s:s},s:s}}", "error", "message", message, "type", "OAuthException", "code",
                     code, "error_data", "messaging_product", "whatsapp", "details", details, "fbtrace_id",
                     "Asimulated");
}

int graph_status_of(int code)
{
    switch (code) {
    case 0:
    case 190:
        return 401;
    case 10:
    case 368:
    case 131031:
    case 130497:
        return 403;
    case 132001:
        return 404;
    case 2:
    case 133004:
        return 503;
    case 131000:
    case 131005:
    case 131016:
    case 131045:
    case 131057:
        return 500;
    default:
        return code >= 200 && code <= 299 ? 403 : 400;
    }
}

void graph_refuse(struct http_request *request, const struct fault *fault)
{
    int code = 131000;
    if (fault->kind == FAULT_RATE_LIMIT) {
        code = 130429;
    } else if (fault->kind == FAULT_PAIR_LIMIT) {
        code = 131056;
    } else if (fault->kind == FAULT_REFUSE) {
        code = fault->number >= 0 && fault->number < 10000000 ? (int)fault->number : 100;
    }
    answer_json(request, graph_status_of(code), graph_error(code, "refused on purpose"));
}
