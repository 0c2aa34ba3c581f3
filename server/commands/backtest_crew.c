#include "commands/backtest_crew.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_EVENTS 128
#define BLOCK_BYTES ((size_t)256 * 1024)
#define BLOCKS_WAITING 4 /* for each thread */

/* One row as it was read; its texts follow each other in the block. */
struct item {
    struct backtest_row row;
    int64_t order; /* of the contact */
    bool begins;   /* a contact */
};

/* Events of one or more contacts. A contact that goes on in the next block goes on in the same thread. */
struct block {
    struct block *next;
    struct item items[BLOCK_EVENTS];
    size_t count;
    struct buf texts;
};

struct worker {
    struct crew *crew;
    pthread_t thread;
    struct rule_set *before; /* NULL: those of the settings */
    struct rule_set *after;
    struct backtest *backtest;
    bool in_contact;
    int64_t events;
    int64_t contacts;

    struct block *first; /* waiting; these three are under the crew's lock */
    struct block **last;
    size_t waiting;
};

struct crew {
    struct crew_settings settings;
    struct worker *workers;
    size_t worker_count;
    size_t running; /* threads that were started */

    struct block *filling;
    struct worker *of_contact; /* who has the beginning of the contact in `filling`; NULL: anybody may take it */
    int64_t group_id;
    int64_t order; /* of the contact; 0 before the first */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
};

/* --- working ------------------------------------------------------------------------------------------------------ */

static void end_contact(struct worker *worker)
{
    if (worker->in_contact)
        backtest_end(worker->backtest, worker->crew->settings.until);
    worker->in_contact = false;
}

static void begin_contact(struct worker *worker, const struct backtest_row *row, int64_t order)
{
    json_t *seed = NULL;
    end_contact(worker);
    if (row->texts[BACKTEST_SEED].len > 0 && json_parse(row->texts[BACKTEST_SEED], &seed, NULL) != ERR_NONE)
        seed = NULL;
    backtest_begin(worker->backtest, row->contact_id, order, seed);
    json_decref(seed);
    worker->in_contact = true;
    worker->contacts += row->contact_id > 0;
}

/* The item's row, with its texts where they are now: at `*at`, which goes on behind them. */
static struct backtest_row row_of(const struct item *item, const char **at)
{
    struct backtest_row row = item->row;
    for (size_t i = 0; i < BACKTEST_TEXT_COUNT; i++) {
        row.texts[i].ptr = *at;
        *at += row.texts[i].len;
    }
    return row;
}

static void do_block(struct worker *worker, struct block *block)
{
    const char *at = block->texts.ptr;
    for (size_t i = 0; i < block->count; i++) {
        const struct item *item = &block->items[i];
        const struct backtest_row row = row_of(item, &at);
        if (item->begins)
            begin_contact(worker, &row, item->order);
        json_t *event = backtest_row_event(&row); /* what cannot be read is left out */
        if (event && simulation_takes(event)) {
            backtest_event(worker->backtest, event);
            worker->events++;
        }
        json_decref(event);
    }
    buf_done(&block->texts);
    free(block);
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct crew *crew = worker->crew;
    for (;;) {
        pthread_mutex_lock(&crew->lock);
        while (!worker->first && !crew->closed)
            pthread_cond_wait(&crew->changed, &crew->lock);
        struct block *block = worker->first;
        if (block) {
            worker->first = block->next;
            worker->last = worker->first ? worker->last : &worker->first;
            worker->waiting--;
            pthread_cond_broadcast(&crew->changed);
        }
        pthread_mutex_unlock(&crew->lock);
        if (!block)
            break;
        do_block(worker, block);
    }
    end_contact(worker);
    return NULL;
}

/* --- giving work -------------------------------------------------------------------------------------------------- */

static struct worker *least_busy(struct crew *crew)
{
    struct worker *best = &crew->workers[0];
    for (size_t i = 1; i < crew->worker_count; i++)
        if (crew->workers[i].waiting < best->waiting)
            best = &crew->workers[i];
    return best;
}

/* Gives the block away; `goes_on` says that its last contact has more events. */
static void hand_over(struct crew *crew, bool goes_on)
{
    struct block *block = crew->filling;
    crew->filling = NULL;
    if (!block)
        return;
    if (crew->running == 0) {
        do_block(&crew->workers[0], block);
        return;
    }
    pthread_mutex_lock(&crew->lock);
    struct worker *worker = crew->of_contact ? crew->of_contact : least_busy(crew);
    while (worker->waiting >= BLOCKS_WAITING) {
        pthread_cond_wait(&crew->changed, &crew->lock);
        worker = crew->of_contact ? crew->of_contact : least_busy(crew);
    }
    *worker->last = block;
    worker->last = &block->next;
    worker->waiting++;
    crew->of_contact = goes_on ? worker : NULL;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}

void crew_add(struct crew *crew, const struct backtest_row *row)
{
    bool begins = crew->order == 0 || row->group_id != crew->group_id;
    struct block *block = crew->filling;
    if (block && (block->count == BLOCK_EVENTS || block->texts.len > BLOCK_BYTES || (begins && crew->of_contact)))
        hand_over(crew, !begins);
    if (!crew->filling) {
        /* Its items are written before they are read: clearing them would cost more than filling them does. */
        crew->filling = memory_block(sizeof(*crew->filling));
        crew->filling->next = NULL;
        crew->filling->count = 0;
        buf_init(&crew->filling->texts, SIZE_MAX);
    }
    block = crew->filling;
    crew->order += begins;
    crew->group_id = row->group_id;
    block->items[block->count++] = (struct item){ .row = *row, .order = crew->order, .begins = begins };
    for (size_t i = 0; i < BACKTEST_TEXT_COUNT; i++)
        buf_add(&block->texts, row->texts[i].ptr, row->texts[i].len);
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

static void free_crew(struct crew *crew)
{
    for (size_t i = 0; i < crew->worker_count; i++) {
        struct worker *worker = &crew->workers[i];
        backtest_free(worker->backtest);
        rule_set_free(worker->before);
        rule_set_free(worker->after);
    }
    pthread_mutex_destroy(&crew->lock);
    pthread_cond_destroy(&crew->changed);
    free(crew->workers);
    free(crew);
}

static void join(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->closed = true;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    for (size_t i = 0; i < crew->running; i++)
        pthread_join(crew->workers[i].thread, NULL);
}

/* The first thread has the rule sets of the settings, each other one its own. */
static err_t equip(struct worker *worker, struct error *reterr)
{
    const struct crew_settings *settings = &worker->crew->settings;
    struct backtest_settings wanted = settings->backtest;
    if (worker != worker->crew->workers) {
        err_t err = rule_set_load(settings->before, &settings->limits, NULL, &worker->before, reterr);
        if (err == ERR_NONE)
            err = rule_set_load(settings->after, &settings->limits, NULL, &worker->after, reterr);
        if (err != ERR_NONE)
            return err;
        wanted.before = worker->before;
        wanted.after = worker->after;
    }
    worker->backtest = backtest_new(&wanted);
    worker->last = &worker->first;
    return ERR_NONE;
}

err_t crew_start(const struct crew_settings *settings, struct crew **ret_crew, struct error *reterr)
{
    struct crew *crew = memory_new(sizeof(*crew));
    crew->settings = *settings;
    crew->worker_count = settings->threads > 0 ? settings->threads : 1;
    crew->workers = memory_new(crew->worker_count * sizeof(*crew->workers));
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, NULL);
    err_t err = ERR_NONE;
    for (size_t i = 0; i < crew->worker_count && err == ERR_NONE; i++) {
        crew->workers[i].crew = crew;
        err = equip(&crew->workers[i], reterr);
    }
    for (size_t i = 0; i < settings->threads && err == ERR_NONE; i++) {
        int failure = pthread_create(&crew->workers[i].thread, NULL, work, &crew->workers[i]);
        if (failure != 0)
            err = fail(reterr, ERR_INTERNAL, "no thread could be started: %s", strerror(failure));
        else
            crew->running++;
    }
    if (err != ERR_NONE) {
        join(crew);
        free_crew(crew);
        return err;
    }
    *ret_crew = crew;
    return ERR_NONE;
}

struct crew_result crew_finish(struct crew *crew)
{
    hand_over(crew, false);
    join(crew);
    if (crew->running == 0)
        end_contact(&crew->workers[0]);
    struct crew_result result = { .events = 0 };
    for (size_t i = 0; i < crew->worker_count; i++) {
        result.events += crew->workers[i].events;
        result.contacts += crew->workers[i].contacts;
        if (i > 0)
            backtest_merge(crew->workers[0].backtest, crew->workers[i].backtest);
    }
    backtest_crons(crew->workers[0].backtest, crew->order + 1, crew->settings.since, crew->settings.until);
    result.report = backtest_report(crew->workers[0].backtest);
    free_crew(crew);
    return result;
}
