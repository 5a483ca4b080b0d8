/* SPDX-License-Identifier: ISC */
/*
 * The fingerprint of a statement: a hash of its tokens in which every constant is the same token,
 * and in which lists of constants have one length. The seed is fixed, so a fingerprint means the
 * same in every process and after a restart.
 *
 * Each pair of brackets is a level with a hash of its own, which its parent takes in as one value
 * when it closes. That makes two foldings possible without keeping any text:
 *  - an element that is only a constant (with a sign, a cast, a type name before it) is taken back
 *    if the element before it in the brackets was a constant of the same form: (1, 2, 3) is (1);
 *  - a bracketed row is taken back if the row before it, a comma between them, had the same hash:
 *    VALUES (1, now()), (2, now()) is VALUES (1, now()).
 */
#include "pgw/printer.h"

#include "hash_priv.h"

#include <stdbool.h>

/* What the present element of a list is, as far as it has been read. */
enum element {
	ELEMENT_EMPTY,
	ELEMENT_TYPED,	  /* words only: DATE, as in DATE '2024-01-01' */
	ELEMENT_CONSTANT,
	ELEMENT_CAST,	  /* a constant and :: and what belongs to the type */
	ELEMENT_OTHER,
};

enum row {
	ROW_NONE,
	ROW_CLOSED,	  /* a row has just closed */
	ROW_COMMA,	  /* and a comma followed it */
};

static bool same(struct pgw_hash128 a, struct pgw_hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

/* A-Z to a-z in all eight bytes at once. */
static uint64_t fold8(uint64_t x)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t seven = x & ones * 0x7f;
	uint64_t from_a = seven + ones * (0x80 - 'A');
	uint64_t beyond_z = seven + ones * (0x7f - 'Z');
	uint64_t upper = from_a & ~beyond_z & ~x & ones * 0x80;

	return x | upper >> 2;
}

/* A word, operator or quoted identifier as written, but for the case of words. */
static void stir_text(struct pgw_hash128 *sum, const struct pgw_token *token)
{
	const unsigned char *p = (const unsigned char *)token->at;
	size_t n = token->len;
	bool folds = token->kind == PGW_TOK_WORD;
	uint64_t x;
	uint64_t y;

	sum->lo += ((uint64_t)n << 8 | token->kind) * PGW__ROOT_3;
	for (; n > 16; p += 16, n -= 16) {
		x = pgw__load8(p);
		y = pgw__load8(p + 8);
		pgw__stir(sum, folds ? fold8(x) : x, folds ? fold8(y) : y);
	}
	pgw__load_tail(p, n, &x, &y);
	pgw__stir(sum, folds ? fold8(x) : x, folds ? fold8(y) : y);
}

static void stir_mark(struct pgw_hash128 *sum, char mark)
{
	pgw__stir(sum, (uint64_t)(unsigned char)mark * PGW__ROOT_5, PGW__ROOT_7);
}

static void begin_level(struct pgw_printer_level *level, char bracket, bool is_row)
{
	*level = (struct pgw_printer_level){
		.sum = { .lo = PGW__ROOT_2, .hi = PGW__ROOT_3 },
		.is_row = is_row,
	};
	stir_mark(&level->sum, bracket);
	level->element_from = level->sum;
}

/* ---- elements of lists ---- */

/* Takes the element back if it only repeats the one before it. */
static void end_element(struct pgw_printer_level *level)
{
	bool constant = level->element == ELEMENT_CONSTANT || level->element == ELEMENT_CAST;

	if (constant && level->last_constant && same(level->form, level->last_form))
		level->sum = level->element_from;
	level->last_constant = constant;
	level->last_form = level->form;
	level->form = (struct pgw_hash128){ 0 };
	level->element = ELEMENT_EMPTY;
}

static void on_constant(struct pgw_printer *pr)
{
	struct pgw_printer_level *level = pr->level;

	stir_mark(&level->sum, '$');
	level->row = ROW_NONE;
	if (level->element <= ELEMENT_TYPED)
		level->element = ELEMENT_CONSTANT;
	else
		level->element = ELEMENT_OTHER;
}

/* A name, key word, operator or anything else that stays as it is written. */
static void on_text(struct pgw_printer *pr, const struct pgw_token *token)
{
	struct pgw_printer_level *level = pr->level;
	bool cast = token->kind == PGW_TOK_OPERATOR && token->len == 2 && *token->at == ':' &&
		    token->at[1] == ':';
	bool word = token->kind == PGW_TOK_WORD || token->kind == PGW_TOK_QUOTED_IDENT ||
		    (token->kind == PGW_TOK_PUNCT && *token->at == '.');

	stir_text(&level->sum, token);
	level->row = ROW_NONE;
	if (cast && (level->element == ELEMENT_CONSTANT || level->element == ELEMENT_CAST))
		level->element = ELEMENT_CAST;
	else if (!word || level->element == ELEMENT_CONSTANT)
		level->element = ELEMENT_OTHER;
	else if (level->element == ELEMENT_EMPTY)
		level->element = ELEMENT_TYPED;
	if (level->element != ELEMENT_OTHER)
		stir_text(&level->form, token);
}

/* A sign is part of the constant that follows it, and an operator before anything else. */
static void settle_sign(struct pgw_printer *pr, bool before_constant)
{
	if (pr->sign.at && !before_constant)
		on_text(pr, &pr->sign);
	pr->sign.at = NULL;
}

/* ---- brackets, commas, semicolons ---- */

static void on_comma(struct pgw_printer *pr)
{
	struct pgw_printer_level *level = pr->level;

	if (level != pr->levels)
		end_element(level);
	level->row_from = level->sum;
	level->row = level->row == ROW_CLOSED ? ROW_COMMA : ROW_NONE;
	level->element_from = level->sum;
	stir_mark(&level->sum, ',');
}

static void on_open(struct pgw_printer *pr, const struct pgw_token *token)
{
	bool is_row;

	if (pr->level == pr->levels + PGW_PRINTER_LEVELS - 1) {
		pr->n_too_deep++;
		on_text(pr, token);
		return;
	}
	is_row = !pr->word.at || pgw_word_is(&pr->word, "values");
	if (!is_row)
		pr->level->row = ROW_NONE;
	begin_level(++pr->level, *token->at, is_row);
}

static void close_level(struct pgw_printer *pr)
{
	struct pgw_printer_level *inner = pr->level;
	struct pgw_printer_level *level = --pr->level;

	end_element(inner);
	if (level->row == ROW_COMMA && same(inner->sum, level->last_row)) {
		level->sum = level->row_from;
		level->row = ROW_CLOSED;
		level->element = ELEMENT_OTHER;
		return;
	}
	pgw__stir(&level->sum, inner->sum.lo, inner->sum.hi);
	level->row = inner->is_row ? ROW_CLOSED : ROW_NONE;
	level->last_row = inner->sum;
	if (level->element == ELEMENT_CAST)
		pgw__stir(&level->form, inner->sum.lo, inner->sum.hi); /* numeric(10,2) */
	else
		level->element = ELEMENT_OTHER;
}

static void on_close(struct pgw_printer *pr, const struct pgw_token *token)
{
	if (pr->n_too_deep) {
		pr->n_too_deep--;
		on_text(pr, token);
	} else if (pr->level == pr->levels) {
		on_text(pr, token);
	} else {
		close_level(pr);
	}
}

static void on_punct(struct pgw_printer *pr, const struct pgw_token *token)
{
	pr->value_may_follow = false;
	switch (*token->at) {
	case '(':
	case '[':
		pr->value_may_follow = true;
		on_open(pr, token);
		break;
	case ')':
	case ']':
		on_close(pr, token);
		break;
	case ',':
		pr->value_may_follow = true;
		on_comma(pr);
		break;
	case ';':
		pr->n_semicolons++;
		break;
	default:
		on_text(pr, token);
		break;
	}
}

/* ---- tokens ---- */

/* Behind an operator, comma or bracket these are values; behind a word they are syntax: IS NULL. */
static bool is_value_word(const struct pgw_token *token)
{
	switch (*token->at | 0x20) {
	case 'n':
		return pgw_word_is(token, "null");
	case 't':
		return pgw_word_is(token, "true");
	case 'f':
		return pgw_word_is(token, "false");
	case 'd':
		return pgw_word_is(token, "default");
	default:
		return false;
	}
}

static bool is_constant(const struct pgw_printer *pr, const struct pgw_token *token)
{
	switch (token->kind) {
	case PGW_TOK_STRING:
	case PGW_TOK_BITS:
	case PGW_TOK_NUMBER:
	case PGW_TOK_PARAM:
		return true;
	case PGW_TOK_ERROR:
		return token->unterminated; /* of no use, but it may be long, and private */
	case PGW_TOK_WORD:
		return pr->value_may_follow && is_value_word(token);
	case PGW_TOK_END:
	case PGW_TOK_QUOTED_IDENT:
	case PGW_TOK_OPERATOR:
	case PGW_TOK_PUNCT:
	case PGW_TOK_COMMENT:
		break;
	}
	return false;
}

/* Behind these words an operand begins, so a sign there is not between two. */
static bool operand_follows(const struct pgw_token *word)
{
	static const char *const words[] = {
		"and", "between", "else", "or", "select", "then", "when" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (pgw_word_is(word, words[i]))
			return true;
	return false;
}

static bool is_sign_of_operand(const struct pgw_printer *pr, const struct pgw_token *token)
{
	if (token->len != 1 || (*token->at != '-' && *token->at != '+'))
		return false;
	return pr->value_may_follow || (pr->word.at && operand_follows(&pr->word));
}

static void on_operator(struct pgw_printer *pr, const struct pgw_token *token)
{
	if (is_sign_of_operand(pr, token)) {
		pr->value_may_follow = true;
		pr->sign = *token;
		return;
	}
	on_text(pr, token);
	pr->value_may_follow = *token->at != ':' || token->at[1] != ':';
}

/* A semicolon at the end, or a row of them, makes no other statement. */
static void settle_semicolons(struct pgw_printer *pr)
{
	if (!pr->n_semicolons)
		return;
	pr->n_semicolons = 0;
	stir_mark(&pr->level->sum, ';');
	pr->level->row = ROW_NONE;
	pr->level->element = ELEMENT_OTHER;
}

void pgw_printer_token(struct pgw_printer *pr, const struct pgw_token *token)
{
	bool constant = is_constant(pr, token);

	settle_sign(pr, constant);
	if (token->kind != PGW_TOK_PUNCT || *token->at != ';')
		settle_semicolons(pr);
	if (token->kind == PGW_TOK_PUNCT) {
		on_punct(pr, token);
	} else if (token->kind == PGW_TOK_OPERATOR) {
		on_operator(pr, token);
	} else {
		if (constant)
			on_constant(pr);
		else
			on_text(pr, token);
		pr->value_may_follow = false;
		if (!constant) {
			pr->word = *token;
			return;
		}
	}
	pr->word.at = NULL;
}

void pgw_printer_begin(struct pgw_printer *pr)
{
	pr->level = pr->levels;
	pr->n_too_deep = 0;
	pr->n_semicolons = 0;
	pr->sign.at = NULL;
	pr->word.at = NULL;
	pr->value_may_follow = false;
	begin_level(pr->level, ';', false);
	pr->level->element = ELEMENT_OTHER; /* a list without brackets is not folded */
}

struct pgw_hash128 pgw_printer_end(struct pgw_printer *pr)
{
	settle_sign(pr, false);
	while (pr->level != pr->levels)
		close_level(pr);
	return pgw__settle(pr->level->sum);
}

struct pgw_hash128 pgw_fingerprint(const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token token;
	struct pgw_printer printer;

	pgw_printer_begin(&printer);
	while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END)
		pgw_printer_token(&printer, &token);
	return pgw_printer_end(&printer);
}
