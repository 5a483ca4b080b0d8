/* SPDX-License-Identifier: ISC */
/*
 * The operator's mistakes, collected while a configuration is read: each becomes one line that
 * names file, line, section and key, says what is wrong and what would be right. Loading goes on
 * after each, so that all are seen at once. Any thread, one owner.
 */
#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include "config/config.h"

#define CONFIG_PROBLEMS_MAX                                                                        \
	200 /* a binary file given by mistake has thousands: the rest is counted in one last line  \
	     */

/* Where something stands. NULL and 0: not known. All borrowed. */
struct config_place {
	const char *file;
	unsigned line;
	const char *section;
	const char *key;
};

void config_problem_add(struct config_problems *problems, const struct config_place *place,
	const char *fmt, ...) PRINTF_LIKE(3, 4);

/* What is no mistake, but hardly meant: the configuration is loaded all the same. Behind the mistakes,
 * so that none of those finds no room. */
void config_problem_warn(struct config_problems *problems, const struct config_place *place,
	const char *fmt, ...) PRINTF_LIKE(3, 4);

/* In the order of the lines of each file; files in the order of their first problem. */
void config_problems_sort(struct config_problems *problems);

#endif
