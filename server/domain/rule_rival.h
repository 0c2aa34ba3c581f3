/* A second rule set that is watched while a desk runs its own: would it do anything else on the same events and facts?
 *
 * As long as it would not, the worlds of the two sets are one world, which has to be computed only once. Rules that are
 * the same in both run once; of the others the rival's version runs, too, on the facts that the own one sees, and its
 * effects are compared and dropped. Where one cannot tell, they count as different.
 */
#ifndef DOMAIN_RULE_RIVAL_H
#define DOMAIN_RULE_RIVAL_H

#include "rules/rule_set.h"

struct rule_rival;

/* NULL when the two worlds can differ although no rule does anything else: templates, surveys, libraries, … differ. */
struct rule_rival *rule_rival_new(struct rule_set *own, struct rule_set *other);
void rule_rival_free(struct rule_rival *rival); /* NULL is fine */

/* A new world begins: nothing differs yet. */
void rule_rival_begin(struct rule_rival *rival);
/* Asks no more in this world: it counts as different. */
void rule_rival_give_up(struct rule_rival *rival);
bool rule_rival_differs(const struct rule_rival *rival);

/* --- for rule_turn.c --- */

/* A rule of both sets, or of one: in the order in which they run. */
struct rule_pair {
    const struct rule_info *own; /* NULL: only the rival has it */
    const struct rule_info *other;
    size_t own_index;
    size_t other_index;
    bool is_same;
};
size_t rule_rival_pairs(const struct rule_rival *rival, const struct rule_pair **ret_pairs);
struct rule_set *rule_rival_rules(const struct rule_rival *rival);

/* The outcomes of one pair, before effects are applied. */
void rule_rival_compare(struct rule_rival *rival, const struct rule_outcome *own, const struct rule_outcome *other);
/* A rule of this pair failed: its message names a file and line. */
void rule_rival_note_failure(struct rule_rival *rival, const struct rule_pair *pair);
/* Rules of this pair see the event of a timer, which names the version of the rules that set it. */
void rule_rival_note_timer(struct rule_rival *rival);

#endif
