/* SPDX-License-Identifier: ISC */
/*
 * Tokens with their meaning, one ahead. Inline, because it is the inner loop of classification.
 */
#ifndef CLASSIFY_READER_H
#define CLASSIFY_READER_H

#include "classify/names.h"
#include "classify/words.h"
#include "pgw/sqllex.h"

struct item {
	struct pgw_token token;
	const struct word *word; /* never NULL */
};

/* now and ahead change places instead of being copied: a copy of what was just written in parts
 * stalls the processor. */
struct reader {
	const struct words *words;
	struct pgw_lexer lexer;
	struct item *now;   /* the current token */
	struct item *ahead; /* the one behind it */
	struct item slots[2];
};

static inline const struct word *reader_word(
	const struct reader *reader, const struct pgw_token *token)
{
	if (token->kind == PGW_TOK_WORD)
		return words_find(reader->words, token->at, token->len, reader->lexer.end);
	if (token->kind != PGW_TOK_QUOTED_IDENT)
		return &word_unknown;
	struct name name;
	name_of_token(token, &name);
	return words_find(reader->words, name.text, name.len, name.text + sizeof(name.text));
}

static inline void reader_next(struct reader *reader)
{
	struct item *free_slot = reader->now;
	reader->now = reader->ahead;
	reader->ahead = free_slot;
	free_slot->token = pgw_lex(&reader->lexer);
	free_slot->word = reader_word(reader, &free_slot->token);
}

/* `now` is the first token afterwards. The reader must stay where it is. */
static inline void reader_init(
	struct reader *reader, const struct words *words, struct pgw_lexer lexer)
{
	reader->words = words;
	reader->lexer = lexer;
	reader->now = &reader->slots[0];
	reader->ahead = &reader->slots[1];
	reader_next(reader);
	reader_next(reader);
}

/* A quoted identifier is never a key word. */
static inline enum key item_key(const struct item *item)
{
	return item->token.kind == PGW_TOK_WORD ? (enum key)item->word->key : KEY_NONE;
}

static inline bool item_is_punct(const struct item *item, char c)
{
	return item->token.kind == PGW_TOK_PUNCT && item->token.at[0] == c;
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

#endif
