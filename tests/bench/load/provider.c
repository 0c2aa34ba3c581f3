#include "load/provider.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PEERS 4096
#define MAX_REQUEST 65536

/* A connection of the server's; free when fd is -1. */
struct peer {
    int fd;
    size_t length;
    char bytes[MAX_REQUEST + 1];
};

struct provider {
    int epoll;
    int listener;
    struct peer *peers[MAX_PEERS];
    uint64_t messages;
    void (*taken)(uint64_t contact, void *arg);
    void *arg;
};

struct provider *provider_new(int epoll, int port, void (*taken)(uint64_t contact, void *arg), void *arg)
{
    struct provider *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    p->epoll = epoll;
    p->taken = taken;
    p->arg = arg;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };
    if (bind(p->listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(p->listener, 1024) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, p->listener, &event) != 0) {
        fprintf(stderr, "error: cannot listen on port %d: %s\n", port, strerror(errno));
        exit(2);
    }
    return p;
}

void provider_free(struct provider *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < MAX_PEERS; i++) {
        if (p->peers[i] && p->peers[i]->fd >= 0)
            close(p->peers[i]->fd);
        free(p->peers[i]);
    }
    close(p->listener);
    free(p);
}

static void accept_peers(struct provider *p)
{
    int fd;
    while ((fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        size_t i = 0;
        while (i < MAX_PEERS && p->peers[i] && p->peers[i]->fd >= 0)
            i++;
        if (i == MAX_PEERS) {
            close(fd);
            continue;
        }
        if (!p->peers[i] && !(p->peers[i] = malloc(sizeof(struct peer))))
            abort();
        p->peers[i]->fd = fd;
        p->peers[i]->length = 0;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = p->peers[i] };
        epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

/* The length of the first whole request, or 0. */
static size_t whole_request(const struct peer *peer)
{
    const char *end = memmem(peer->bytes, peer->length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end - peer->bytes) + 4;
    const char *field = strcasestr(peer->bytes, "content-length:");
    size_t body = field && field < end ? (size_t)strtoul(field + 15, NULL, 10) : 0;
    return peer->length >= head + body ? head + body : 0;
}

/* The customer's number is "1555" and eight digits. */
static uint64_t recipient_of(const char *request)
{
    const char *to = strstr(request, "\"to\"");
    to = to ? strstr(to, "1555") : NULL;
    return to ? strtoull(to + 4, NULL, 10) : UINT64_MAX;
}

static void take(struct provider *p, struct peer *peer)
{
    size_t length;
    peer->bytes[peer->length] = '\0';
    while ((length = whole_request(peer)) > 0) {
        char body[256];
        char answer[512];
        uint64_t contact = recipient_of(peer->bytes);
        if (contact != UINT64_MAX)
            p->taken(contact, p->arg);
        int body_length = snprintf(body, sizeof(body),
                                   "{\"messaging_product\":\"whatsapp\",\"contacts\":[{\"input\":\"1555%08llu\","
                                   "\"wa_id\":\"1555%08llu\"}],\"messages\":[{\"id\":\"wamid.BENCH%d.%llu\"}]}",
                                   (unsigned long long)contact, (unsigned long long)contact, (int)getpid(),
                                   (unsigned long long)++p->messages);
        int answer_length = snprintf(
            answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
            body_length, body);
        if (send(peer->fd, answer, (size_t)answer_length, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
            perror("send to the server");
        memmove(peer->bytes, peer->bytes + length, peer->length - length + 1);
        peer->length -= length;
    }
}

static void read_peer(struct provider *p, struct peer *peer)
{
    ssize_t count = read(peer->fd, peer->bytes + peer->length, MAX_REQUEST - peer->length);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0) {
        close(peer->fd);
        peer->fd = -1;
        return;
    }
    peer->length += (size_t)count;
    take(p, peer);
}

int provider_event(struct provider *p, void *data)
{
    if (!p)
        return 0;
    if (data == p) {
        accept_peers(p);
        return 1;
    }
    for (size_t i = 0; i < MAX_PEERS && p->peers[i]; i++) {
        if (data == p->peers[i]) {
            if (p->peers[i]->fd >= 0)
                read_peer(p, p->peers[i]);
            return 1;
        }
    }
    return 0;
}
