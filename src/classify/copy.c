/* SPDX-License-Identifier: ISC */
/*
 * COPY: a query's walk, or a table whose name and columns say what is copied.
 */
#include "classify/query.h"

/* COPY table (columns) TO or FROM has been read. A dump of user_features (user_id, feature_id) or of
 * events (starts_at) is no export for a model. */
static void copy_table(struct reader *reader, struct statement *statement, const struct item *table,
	unsigned columns)
{
	statement->features |= FEATURE(COPY_TABLE);
	if (item_key(reader->now) == KEY_FROM) {
		statement->features |= FEATURE(COPY_FROM);
		statement->effects |= EFFECT_WRITE | EFFECT_SEQUENCE_MOVE;
		return;
	}
	enum table_kind kind = query_table_kind(reader->words, table->word, &table->token);
	statement->features |= FEATURE(COPY_TO);
	bool other = (kind == TABLE_FEATURES_LIKELY && columns & CATALOGUE_COLUMNS) ||
		     (kind == TABLE_EVENTS && columns & 1U << COLUMN_CALENDAR);
	if (!other)
		statement->features |= query_table_feature(kind);
}

void query_copy(struct reader *reader, struct statement *statement)
{
	if (item_is_punct(reader->now, '(')) {
		statement->features |= FEATURE(COPY_TO);
		query_walk(reader, true, statement);
		return;
	}
	struct item table = *reader->now;
	if (item_is_name(reader->now + 1)) { /* COPY BINARY t */
		enum key next = item_key(reader->now + 1);
		if (next != KEY_TO && next != KEY_FROM) {
			reader_next(reader);
			table = *reader->now;
		}
	}
	unsigned depth = 0, columns = 0;
	for (; !item_ends_statement(reader->now); reader_next(reader)) {
		enum key key = item_key(reader->now);
		if (item_is_punct(reader->now, '('))
			depth++;
		else if (item_is_punct(reader->now, ')') && depth > 0)
			depth--;
		else if (depth == 0 && (key == KEY_TO || key == KEY_FROM)) {
			copy_table(reader, statement, &table, columns);
			return;
		} else if (depth == 0 && item_is_punct(reader->now, '.')) {
			table = reader->now[1];
		} else if (depth > 0 && item_is_name(reader->now)) {
			columns |= 1U << reader->now->word->column;
		}
	}
}
