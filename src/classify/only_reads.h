/* SPDX-License-Identifier: ISC */
/*
 * May a statement run on a replica? A reading of the text that says yes only when nothing in it can
 * write, lock, notify, or ask what only the primary knows: what is in doubt is the primary's. What
 * a text cannot show (a function that writes, a view or an operator over one) PostgreSQL refuses on
 * a replica with 25006.
 *
 * Apart from classify(), because it is asked only for statements of lanes with target = replica.
 * Pure, no allocation, time linear in the text; any thread.
 */
#ifndef CLASSIFY_ONLY_READS_H
#define CLASSIFY_ONLY_READS_H

#include "base/base.h"

enum reads {
	READS_NOT,	      /* or not surely */
	READS_IN_TRANSACTION, /* DECLARE … CURSOR without hold: where it stands in a transaction */
	READS,		      /* one SELECT, WITH, VALUES, TABLE, COPY … TO STDOUT, or EXPLAIN of the first four */
};
/* backslash_escapes: standard_conforming_strings is off. */
enum reads only_reads(const char *sql, size_t n, bool backslash_escapes);

/*
 * Does this lone BEGIN or START TRANSACTION open a read-only transaction? By its text, or
 * (is_default) by default_transaction_read_only, unless the text takes that back.
 */
bool begins_read_only(const char *sql, size_t n, bool is_default);

#endif
