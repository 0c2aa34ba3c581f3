/* Notices that the files of a rules directory have changed, by their names, sizes and times; to be asked every second.
 */
#ifndef COMMANDS_RULE_WATCH_H
#define COMMANDS_RULE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct rule_watch {
    uint64_t handled; /* what the files looked like when a change was last told */
    uint64_t last;    /* at the last look */
};

/* Takes what is there now for known. */
void rule_watch_begin(struct rule_watch *watch, const char *directory);
/* True once for each change, when it has come to rest: an editor or a checkout writes more than one file. */
bool rule_watch_look(struct rule_watch *watch, const char *directory);

#endif
