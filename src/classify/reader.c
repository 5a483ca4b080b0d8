/* SPDX-License-Identifier: ISC */
/*
 * Reading a token and what it means. One function for all who read, so that its code is fetched
 * once.
 */
#include "classify/reader.h"

/* What the lexer did not fold. */
NOINLINE static const struct word *unfolded_word(
	const struct reader *reader, const struct pgw_token *token)
{
	if (token->kind == PGW_TOK_WORD)
		return words_find(reader->words, token->at, token->len);
	struct name name;
	name_of_token(token, &name);
	return words_find(reader->words, name.text, name.len);
}

static inline void read_item(struct reader *reader, struct item *item)
{
	item->token = pgw_lex(&reader->lexer);
	item->word = &word_unknown;
	item->key = KEY_NONE;
	item->punct = '\0';
	if (item->token.kind == PGW_TOK_PUNCT)
		item->punct = item->token.at[0];
	if (!item_is_name(item))
		return;
	const uint64_t *folded = reader->lexer.folded;
	item->word = folded[0] != 0 ? words_find_folded(reader->words, folded[0], folded[1])
				    : unfolded_word(reader, &item->token);
	if (item->token.kind == PGW_TOK_WORD)
		item->key = item->word->key;
}

/* Apart: the tokens of a batch once more, while they are near. */
NOINLINE static void print(const struct reader *reader, const struct item *item)
{
	for (; item < reader->limit && item->token.kind != PGW_TOK_END; item++)
		pgw_printer_token(reader->printer, &item->token);
}

/* Reads up to the end, whose item stands there twice, or until the room is full. */
static void fill(struct reader *reader, struct item *item)
{
	struct item *end = reader->items + READER_ITEMS - 1, *first = item;
	enum pgw_token_kind kind;
	do {
		read_item(reader, item);
		kind = item++->token.kind;
	} while (kind != PGW_TOK_END && item < end);
	if (kind == PGW_TOK_END) {
		*item = item[-1];
		item++;
	}
	reader->limit = item;
	reader->now = reader->items;
	if (reader->printer != NULL)
		print(reader, first);
}

void reader_refill(struct reader *reader)
{
	reader->items[0] = *reader->now;
	fill(reader, reader->items + 1);
}

void reader_init(struct reader *reader, const struct words *words, const char *sql, size_t n,
	bool backslash_escapes, struct pgw_printer *printer)
{
	reader->words = words;
	reader->catalog = NULL;
	reader->printer = printer;
	reader->lexer = pgw_lexer_on(sql, n);
	reader->lexer.standard_conforming_strings = !backslash_escapes;
	fill(reader, reader->items);
}
