/* What proxies say of their clients is read without a slip. The input: one list in each line. */
#include "io/http_forwarded.h"

#include "fuzz.h"

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
    while (rest.len > 0) {
        struct bytes line = text_next_field(&rest, '\n');
        check_address(line);
        check_network(line);
        http_forwarded_is_https(line);
    }
    return 0;
}
