#include "load/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection *connection_new(int epoll, int port, const char *path, const struct traffic *traffic)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c)
        abort();
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    char host[64];
    snprintf(host, sizeof(host), "127.0.0.1:%d", port);
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fprintf(stderr, "error: cannot connect to port %d: %s\n", port, strerror(errno));
        exit(2);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->request = traffic_request(traffic, host, path, &c->request_length);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    return c;
}

void connection_free(struct connection *c)
{
    close(c->fd);
    free(c->request);
    free(c);
}

void connection_send(struct connection *c, const struct traffic *traffic, uint64_t place, int64_t due_us)
{
    traffic_fill(traffic, c->request, place);
    c->busy = true;
    c->began_us = due_us;
    c->answer_length = 0;
    /* The socket's buffer is empty and larger than a request, so that this never blocks. A connection that is gone says
     * so when it is read. */
    if (send(c->fd, c->request, c->request_length, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET) {
        perror("send");
        exit(2);
    }
}

int connection_read(struct connection *c)
{
    ssize_t count = recv(c->fd, c->answer + c->answer_length, sizeof(c->answer) - 1 - c->answer_length, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN)
        return 0;
    if (count <= 0)
        return -1;
    c->answer_length += (size_t)count;
    c->answer[c->answer_length] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (!end || c->answer_length < 12)
        return 0;
    const char *field = strcasestr(c->answer, "\r\ncontent-length:");
    size_t body = field && field < end ? (size_t)strtoul(field + 17, NULL, 10) : 0;
    if (c->answer_length < (size_t)(end - c->answer) + 4 + body)
        return 0;
    c->busy = false;
    int status = (int)strtol(c->answer + 9, NULL, 10);
    return status > 0 ? status : -1;
}
