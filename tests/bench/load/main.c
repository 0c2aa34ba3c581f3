/* Posts signed WhatsApp webhooks to a server and says, as one JSON object, how many were answered and how fast. On
 * request it plays the provider too, so that the time from a POST to the message it leads to has one clock.
 *
 * Without a rate each connection sends its next webhook when the last one is answered. With a rate the webhooks are due
 * at fixed moments, whatever the server does: a webhook that finds no free connection waits, and its latency counts
 * from when it was due.
 *
 * With a secret that is not the server's all webhooks are forgeries, and 401 is the answer to expect.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "load/client.h"
#include "load/histogram.h"
#include "load/provider.h"
#include "load/traffic.h"

struct options {
    int port;
    const char *path;
    const char *secret;
    uint64_t connections;
    uint64_t idle; /* more connections that send nothing */
    double warmup; /* seconds that are not counted */
    double seconds;
    uint64_t requests; /* 0: as many as the time allows */
    double rate;       /* a second; 0: as fast as answers come */
    uint64_t first;
    uint64_t contacts;
    uint64_t first_contact;
    int provider;
    uint64_t deliveries; /* to wait for */
    double patience;     /* seconds that they may take */
    int expected;        /* status of the answers */
};

struct load {
    struct options options;
    int epoll;
    struct traffic traffic;
    struct connection **connections;
    struct connection *idle;
    struct provider *provider;
    int64_t start_us;
    int64_t count_from_us;
    int64_t count_until_us;
    int64_t last_answer_us;
    uint64_t sent;
    uint64_t answered;
    uint64_t counted;
    uint64_t unexpected; /* answered otherwise */
    uint64_t lost;       /* connections that broke */
    int last_unexpected;
    struct histogram latency;
    int64_t *due_of_contact; /* of the last webhook of each customer; 0: none is waited for */
    uint64_t contact_count;
    uint64_t delivered;
    int64_t first_delivery_us;
    int64_t last_delivery_us;
    struct histogram delivery_latency;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void message_taken(uint64_t contact, void *arg)
{
    struct load *l = arg;
    int64_t now = now_us();
    if (l->delivered++ == 0)
        l->first_delivery_us = now;
    l->last_delivery_us = now;
    uint64_t place = contact - l->options.first_contact;
    if (place < l->contact_count && l->due_of_contact[place] != 0) {
        if (l->due_of_contact[place] >= l->count_from_us)
            histogram_add(&l->delivery_latency, now - l->due_of_contact[place]);
        l->due_of_contact[place] = 0;
    }
}

static void send_next(struct load *l, struct connection *c, int64_t due_us)
{
    uint64_t place = l->sent++;
    uint64_t contact = traffic_contact(&l->traffic, place) - l->options.first_contact;
    if (contact < l->contact_count && l->due_of_contact[contact] == 0)
        l->due_of_contact[contact] = due_us;
    connection_send(c, &l->traffic, place, due_us);
}

static bool may_send(const struct load *l, int64_t now)
{
    return l->sent < l->traffic.count && (l->options.requests > 0 || now < l->count_until_us);
}

/* What is due by now goes to the connections that are free. Returns when the next one is due. */
static int64_t send_due(struct load *l, int64_t now)
{
    for (;;) {
        int64_t due = l->start_us + (int64_t)((double)l->sent * 1e6 / l->options.rate);
        if (due > now || !may_send(l, due))
            return due;
        struct connection *c = l->idle;
        if (!c)
            return INT64_MAX;
        l->idle = c->next_idle;
        send_next(l, c, due);
    }
}

static void answer_came(struct load *l, struct connection *c, int status, int64_t now)
{
    l->answered++;
    l->last_answer_us = now;
    if (status != l->options.expected) {
        l->unexpected++;
        l->last_unexpected = status;
    } else if (now >= l->count_from_us && (l->options.requests > 0 || now <= l->count_until_us)) {
        l->counted++;
        histogram_add(&l->latency, now - c->began_us);
    }
    if (l->options.rate == 0 && may_send(l, now)) {
        send_next(l, c, now_us());
    } else {
        c->next_idle = l->idle;
        l->idle = c;
    }
}

static void connection_event(struct load *l, struct connection *c, int64_t now)
{
    int status = connection_read(c);
    if (status == 0)
        return;
    if (status > 0) {
        answer_came(l, c, status, now);
        return;
    }
    if (c->busy)
        l->answered++;
    l->lost++;
    c->busy = false;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
}

static bool is_over(const struct load *l, int64_t now)
{
    if (stopped || (l->options.connections > 0 && l->lost >= l->options.connections + l->options.idle))
        return true;
    if (may_send(l, now) || l->answered < l->sent)
        return now > l->count_until_us + 20000000 && now > l->last_answer_us + 20000000; /* the answers do not come */
    if (l->delivered >= l->options.deliveries)
        return true;
    return now > (l->last_answer_us > 0 ? l->last_answer_us : l->start_us) + (int64_t)(l->options.patience * 1e6);
}

static void run(struct load *l)
{
    struct epoll_event events[256];
    l->start_us = now_us();
    l->count_from_us = l->start_us + (int64_t)(l->options.warmup * 1e6);
    l->count_until_us = l->count_from_us + (int64_t)(l->options.seconds * 1e6);
    if (l->options.rate == 0) {
        while (l->idle && may_send(l, l->start_us)) {
            struct connection *c = l->idle;
            l->idle = c->next_idle;
            send_next(l, c, l->start_us);
        }
    }
    for (int64_t now = l->start_us; !is_over(l, now); now = now_us()) {
        int64_t wait_us = 50000;
        if (l->options.rate > 0 && may_send(l, now)) {
            int64_t due = send_due(l, now);
            wait_us = due - now < wait_us ? due - now : wait_us;
        }
        struct timespec wait = { .tv_nsec = (wait_us > 0 ? wait_us : 0) * 1000 };
        int count = epoll_pwait2(l->epoll, events, 256, &wait, NULL);
        now = now_us();
        for (int i = 0; i < count; i++)
            if (!provider_event(l->provider, events[i].data.ptr))
                connection_event(l, events[i].data.ptr, now);
    }
}

static void print_latency(const char *name, const struct histogram *h)
{
    printf(", \"%s\": {\"count\": %llu, \"p50_us\": %lld, \"p90_us\": %lld, \"p99_us\": %lld, \"p999_us\": %lld, "
           "\"max_us\": %lld}",
           name, (unsigned long long)h->total, (long long)histogram_at(h, 0.5), (long long)histogram_at(h, 0.9),
           (long long)histogram_at(h, 0.99), (long long)histogram_at(h, 0.999), (long long)h->largest);
}

static void print(const struct load *l)
{
    /* By number: until the last answer. By time: the time, or less when the signed webhooks did not reach. */
    int64_t until =
        l->options.requests > 0 || l->last_answer_us < l->count_until_us ? l->last_answer_us : l->count_until_us;
    double seconds = (double)(until - l->count_from_us) / 1e6;
    double delivery_seconds = (double)(l->last_delivery_us - l->first_delivery_us) / 1e6;
    printf("{\"sent\": %llu, \"answered\": %llu, \"unexpected\": %llu, \"last_unexpected\": %d, \"lost\": %llu, "
           "\"counted\": %llu, \"seconds\": %.6f, \"per_second\": %.1f, \"body_bytes\": %zu, \"used_up\": %s",
           (unsigned long long)l->sent, (unsigned long long)l->answered, (unsigned long long)l->unexpected,
           l->last_unexpected, (unsigned long long)l->lost, (unsigned long long)l->counted, seconds,
           seconds > 0 ? (double)l->counted / seconds : 0, l->traffic.body_length,
           l->options.requests == 0 && l->sent >= l->traffic.count ? "true" : "false");
    print_latency("latency", &l->latency);
    printf(", \"delivered\": %llu, \"delivery_seconds\": %.6f, \"deliveries_per_second\": %.1f",
           (unsigned long long)l->delivered, delivery_seconds,
           delivery_seconds > 0 ? (double)l->delivered / delivery_seconds : 0);
    print_latency("delivery_latency", &l->delivery_latency);
    printf("}\n");
}

static void usage(void)
{
    fprintf(stderr,
            "usage: bench_load --port PORT --secret SECRET [--path PATH] [--connections N] [--idle N]\n"
            "         [--warmup S] [--seconds S | --requests N] [--rate N] [--first N] [--contacts N]\n"
            "         [--first-contact N] [--expect STATUS] [--provider PORT [--deliveries N] [--patience S]]\n");
    exit(2);
}

static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || value < 0) {
        fprintf(stderr, "error: '%s' is no number\n", text);
        usage();
    }
    return value;
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {
        { "port", required_argument, NULL, 'p' },
        { "path", required_argument, NULL, 'a' },
        { "secret", required_argument, NULL, 's' },
        { "connections", required_argument, NULL, 'c' },
        { "idle", required_argument, NULL, 'i' },
        { "warmup", required_argument, NULL, 'w' },
        { "seconds", required_argument, NULL, 't' },
        { "requests", required_argument, NULL, 'n' },
        { "rate", required_argument, NULL, 'r' },
        { "first", required_argument, NULL, 'f' },
        { "contacts", required_argument, NULL, 'k' },
        { "first-contact", required_argument, NULL, 'K' },
        { "provider", required_argument, NULL, 'P' },
        { "deliveries", required_argument, NULL, 'd' },
        { "patience", required_argument, NULL, 'W' },
        { "expect", required_argument, NULL, 'e' },
        { NULL, 0, NULL, 0 },
    };
    struct options o = {
        .path = "/webhooks/whatsapp", .connections = 64, .seconds = 5, .patience = 10, .expected = 200
    };
    int name;
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'a':
            o.path = optarg;
            break;
        case 's':
            o.secret = optarg;
            break;
        case 'p':
            o.port = (int)number(optarg);
            break;
        case 'c':
            o.connections = (uint64_t)number(optarg);
            break;
        case 'i':
            o.idle = (uint64_t)number(optarg);
            break;
        case 'w':
            o.warmup = number(optarg);
            break;
        case 't':
            o.seconds = number(optarg);
            break;
        case 'n':
            o.requests = (uint64_t)number(optarg);
            break;
        case 'r':
            o.rate = number(optarg);
            break;
        case 'f':
            o.first = (uint64_t)number(optarg);
            break;
        case 'k':
            o.contacts = (uint64_t)number(optarg);
            break;
        case 'K':
            o.first_contact = (uint64_t)number(optarg);
            break;
        case 'P':
            o.provider = (int)number(optarg);
            break;
        case 'd':
            o.deliveries = (uint64_t)number(optarg);
            break;
        case 'W':
            o.patience = number(optarg);
            break;
        case 'e':
            o.expected = (int)number(optarg);
            break;
        default:
            usage();
        }
    }
    if (optind != argc || (o.connections > 0 && (o.port == 0 || !o.secret)))
        usage();
    return o;
}

/* More than any server here answers in the time. */
#define MOST_PER_SECOND 80000

int main(int argc, char **argv)
{
    static struct load l;
    l.options = read_options(argc, argv);
    const struct options *o = &l.options;
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    double most = o->rate > 0 ? o->rate : MOST_PER_SECOND;
    uint64_t count = o->requests > 0 ? o->requests : (uint64_t)((o->warmup + o->seconds) * most) + 1;
    if (o->connections == 0)
        count = 0;
    traffic_init(&l.traffic, o->secret ? o->secret : "", o->first, count, o->contacts, o->first_contact);
    if (o->provider > 0) {
        l.contact_count = o->contacts > 0 ? o->contacts : count;
        l.due_of_contact = calloc(l.contact_count + 1, sizeof(*l.due_of_contact));
        l.provider = provider_new(l.epoll, o->provider, message_taken, &l);
    }
    l.connections = calloc(o->connections + o->idle + 1, sizeof(struct connection *));
    if (!l.connections || (o->provider > 0 && !l.due_of_contact))
        abort();
    for (uint64_t i = 0; i < o->connections + o->idle; i++) {
        struct connection *c = connection_new(l.epoll, o->port, o->path, &l.traffic);
        l.connections[i] = c;
        if (i < o->connections) {
            c->next_idle = l.idle;
            l.idle = c;
        }
    }
    run(&l);
    print(&l);
    for (uint64_t i = 0; i < o->connections + o->idle; i++)
        connection_free(l.connections[i]);
    provider_free(l.provider);
    traffic_done(&l.traffic);
    free(l.connections);
    free(l.due_of_contact);
    return 0;
}
