/* SPDX-License-Identifier: ISC */
/*
 * Tokens with their meaning: the inner loop of classification. What the walk asks of
 * each token (which key word, which punctuation) is decided once, when it is read.
 */
#ifndef CLASSIFY_READER_H
#define CLASSIFY_READER_H

#include "classify/catalog.h"
#include "classify/names.h"
#include "classify/words.h"
#include "pgw/printer.h"
#include "pgw/sqllex.h"

struct item {
	struct pgw_token token;
	const struct word *word; /* never NULL */
	uint8_t key;		 /* enum key; a quoted identifier is never a key word */
	char punct;		 /* of PUNCT tokens; else NUL */
};

#define READER_ITEMS 64

/*
 * Read in batches, so that what lexes and what walks do not take turns for each token. now[1], the
 * item ahead, can always be asked; behind the end it is END again.
 */
struct reader {
	const struct words *words;
	const struct catalog *catalog; /* NULL, until it is set behind reader_init() */
	struct item *now;
	struct item *limit; /* behind the last item that has been read */
	struct pgw_printer *printer; /* is given each token; NULL: nobody wants the fingerprint */
	struct pgw_lexer lexer;
	struct item items[READER_ITEMS];
};

/* `now` is the first token afterwards. The reader must stay where it is. printer: begun, or NULL. */
void reader_init(struct reader *reader, const struct words *words, const char *sql, size_t n,
	bool backslash_escapes, struct pgw_printer *printer);
/* Private: the current item is the last one; it becomes the first of the next batch. */
void reader_refill(struct reader *reader);

/* The token ahead becomes the current one. */
static inline void reader_next(struct reader *reader)
{
	reader->now++;
	if (UNLIKELY(reader->now + 1 == reader->limit))
		reader_refill(reader);
}

static inline enum key item_key(const struct item *item)
{
	return (enum key)item->key;
}

static inline bool item_is_punct(const struct item *item, char c)
{
	return item->punct == c;
}

static inline bool item_is_name(const struct item *item)
{
	return item->token.kind == PGW_TOK_WORD || item->token.kind == PGW_TOK_QUOTED_IDENT;
}

static inline bool item_ends_statement(const struct item *item)
{
	return item->token.kind == PGW_TOK_END || item_is_punct(item, ';');
}

/* Steps over the key word if it is the current one. */
static inline bool reader_accept(struct reader *reader, enum key key)
{
	if (item_key(reader->now) != key)
		return false;
	reader_next(reader);
	return true;
}

struct classifier;
const struct words *classifier_words(const struct classifier *classifier); /* classify.c; as long as it */

#endif
