/* What evhttp alone can do: reads each request with its body and answers 200, on as many threads as asked for. It ends
 * with its standard input.
 *
 *   bench_bare_http PORT THREADS
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

static void answer(struct evhttp_request *request, void *arg)
{
    (void)arg;
    evhttp_send_reply(request, 200, "OK", NULL);
}

static void *serve(void *arg)
{
    const struct sockaddr_in *address = arg;
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    struct evhttp *http = evhttp_new(base);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_POST);
    evhttp_set_gencb(http, answer, NULL);
    struct evconnlistener *listener = evconnlistener_new_bind(
        base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT,
        1024, (const struct sockaddr *)address, sizeof(*address));
    if (!listener || !evhttp_bind_listener(http, listener)) {
        perror("listen");
        exit(2);
    }
    event_base_dispatch(base);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bench_bare_http PORT THREADS\n");
        return 2;
    }
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (long i = strtol(argv[2], NULL, 10); i > 0; i--) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, &address) != 0)
            return 2;
    }
    char c;
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return 0;
}
