/* What passes the guard is unambiguous; what proxies say is read without a slip. Header lines, then forwarded lists. */
#include "io/http_guard.h"

#include <strings.h>

#include "fuzz.h"
#include "io/http_forwarded.h"

static void check_address(struct bytes text)
{
    struct http_address address;
    struct http_address again;
    char printed[HTTP_ADDRESS_TEXT_SIZE];
    if (!http_address_parse(text, &address))
        return;
    http_address_print(&address, printed);
    MUST_HOLD(http_address_parse(bytes_of(printed), &again));
    MUST_HOLD(memcmp(&address, &again, sizeof(address)) == 0);
}

static void check_network(struct bytes text)
{
    struct http_network network;
    struct error e;
    if (http_network_parse(text, &network, &e) != ERR_NONE) {
        MUST_HOLD(e.text[0]);
        return;
    }
    MUST_HOLD(network.bits <= 128 && http_network_has(&network, &network.first));
    const struct http_networks proxies = { &network, 1 };
    struct http_address client = http_forwarded_client(&proxies, &network.first, text);
    (void)client;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bytes rest = { (const char *)data, size };
    struct http_guard guard = { .http_1_1 = true, .may_have_body = true };
    size_t lengths = 0;
    size_t hosts = 0;
    bool encoded = false;
    bool strange = false;
    while (rest.len > 0) {
        char *name = fuzz_line(&rest);
        char *value = strchr(name, ':');
        if (value)
            *value++ = '\0';
        else
            value = name + strlen(name);
        check_address(bytes_of(value));
        check_network(bytes_of(value));
        http_forwarded_is_https(bytes_of(value));
        http_guard_header(&guard, name, value);
        lengths += strcasecmp(name, "content-length") == 0;
        hosts += strcasecmp(name, "host") == 0;
        encoded = encoded || strcasecmp(name, "transfer-encoding") == 0;
        strange = strange || name[0] == '\0' || strpbrk(name, " \t\r\"(),/;<=>?@[\\]{}") || strchr(value, '\r');
        free(name);
    }
    const char *reason;
    int status = http_guard_verdict(&guard, &reason);
    MUST_HOLD((status == 0) == (reason[0] == '\0'));
    if (status == 0)
        MUST_HOLD(lengths == 1 && hosts == 1 && !encoded && !strange);
    return 0;
}
