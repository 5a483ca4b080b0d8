/* SPDX-License-Identifier: ISC */
/*
 * The state of query.c's walk, shared by the files that make it: query.c (key words), level.c
 * (parentheses and scopes), mention.c (names), known.c (columns that the catalog knows), operand.c
 * (operators and what stands beside them), fixes.c (which keys a comparison fixes). Private to them.
 *
 * The state is a stack of levels, one for each open parenthesis or bracket. A level collects
 * *evidence* about the operand that is being read (a vector cast, a bracketed literal, an ST_
 * function …); when a distance operator comes, the evidence so far is its left side, and what comes
 * up to the end of the right operand is its right side: only then is it known whether <-> meant
 * vectors, places or trigrams.
 *
 * A level that holds a query also owns a *scope*: its clause, the tables it reads, and whether
 * their rows leave it or are only counted. When a scope closes, the tables it lets out become
 * tables of the scope around it, which may fold them in turn.
 */
#ifndef CLASSIFY_WALK_H
#define CLASSIFY_WALK_H

#include "classify/features.h"

#define DEPTH_MAX 48 /* deeper parentheses are read as if they were not there */
#define CTE_MAX 16   /* names of WITH that hide tables; further ones hide nothing */
/* With a catalog: columns it knows that are judged by their tables, further ones are by all tables
 * of the database; tables that are looked at for that; operators that wait for it. */
#define KNOWN_MAX 16
#define NAMED_MAX 32
#define DEFERRED_MAX 16
#define ALIASED_MAX 8 /* names it knows that the statement gives to something itself */

/* Evidence about an operand. */
enum evidence {
	EVIDENCE_VECTOR_TYPE =
		1 << 0, /* cast to a vector type, or made by a function that gives one */
	EVIDENCE_VECTOR_LITERAL = 1 << 1, /* '[…]' */
	EVIDENCE_VECTOR_NAME = 1 << 2,
	EVIDENCE_VECTOR_WEAK = 1 << 3,
	EVIDENCE_SPATIAL = 1 << 4, /* a geometric type or function */
	EVIDENCE_SPATIAL_NAME = 1 << 5,
	EVIDENCE_TEXT_SEARCH = 1 << 6,
	EVIDENCE_OTHER = 1 << 7, /* another type with a distance of its own */
	EVIDENCE_JSON = 1 << 8,	 /* a jsonb column or a jsonpath */
	EVIDENCE_VALUE = 1 << 9, /* a parameter or a subquery: of any type */
	EVIDENCE_ARRAY = 1 << 10,
	EVIDENCE_NOT_VECTOR = 1 << 11, /* a column of another type, by the catalog */
	/* from KNOWN_SHIFT on: walk.known, to be decided at the end */
};
#define KNOWN_SHIFT 16
#define EVIDENCE_KNOWN (((1U << KNOWN_MAX) - 1) << KNOWN_SHIFT)
#define EVIDENCE_VECTOR_SURE (EVIDENCE_VECTOR_TYPE | EVIDENCE_VECTOR_LITERAL)
#define EVIDENCE_VECTOR (EVIDENCE_VECTOR_SURE | EVIDENCE_VECTOR_NAME | EVIDENCE_VECTOR_WEAK)

enum pending {
	PENDING_NONE,
	PENDING_DISTANCE,	 /* <-> <#> <=>: vectors, or one of many others */
	PENDING_VECTOR_DISTANCE, /* <+> <~> <%>: no other type has them */
	PENDING_OVERLAP,	 /* && */
	PENDING_CONTAINS,	 /* @> <@ */
	PENDING_TEXT,		 /* @@ */
	PENDING_MATCH,		 /* no operator: a function that searches if it is given a vector */
};

enum clause {
	CLAUSE_START,
	CLAUSE_WITH,
	CLAUSE_SELECT,
	CLAUSE_FROM,
	CLAUSE_ON,
	CLAUSE_WHERE,
	CLAUSE_GROUP,
	CLAUSE_OTHER
};

enum expect { EXPECT_NOTHING, EXPECT_READ, EXPECT_INSERT, EXPECT_WRITE };

/* What a comparison would fix if a constant follows. */
enum fixes { FIXES_NOTHING, FIXES_ENTITY, FIXES_SCOPE, FIXES_ROW, FIXES_MODEL, FIXES_STAGE };

struct scope {
	enum clause clause;
	uint16_t tables; /* 1 << enum table_kind, whose rows it takes */
	bool deletes;	 /* DELETE: FROM names the target */
	bool inserts;	 /* INSERT INTO …: its query, WITH or SELECT, is to come */
	bool folds;	 /* an aggregate in its list */
	bool collects;	 /* json_agg, array_agg: the rows leave inside one */
	bool groups;
	bool groups_by_key;
	bool distinct;
	bool where;
	bool few;
	bool lateral;
	bool lists_keys;   /* its list has keys or times … */
	bool lists_values; /* … and something else, or * */
	bool tests;	   /* EXISTS (…), IN (…): filters others' rows, lets none out */
	uint16_t serial;   /* of the statement's queries; 0: the outermost */
};

struct operand_name {
	const struct word *word; /* NULL: there is none */
	struct pgw_token token;
	struct item qualifier; /* word NULL: not qualified */
};

struct level {
	bool is_query;
	bool is_from_group; /* FROM (a JOIN b …) */
	bool is_cast;	    /* CAST( */
	bool has_key;	    /* an entity's key is among the names of a (…, …) group */
	bool group_had_key; /* the group just closed had one */
	uint8_t owner;	    /* index of the level whose scope this is part of */
	enum function_kind function;
	enum pending pending;
	unsigned pending_left;
	unsigned evidence;	    /* of the operand being read */
	unsigned all_evidence;	    /* of everything in it */
	struct scope scope;	    /* if is_query */
	/* of what follows, only the words are cleared when the level opens */
	struct operand_name name;   /* the last name of the operand */
	struct operand_name before; /* a comparison's left side, while its right side is awaited */
};

/* A column whose name the catalog knows; kind PGW_TOK_END: no qualifier. Or what such columns give
 * to a subquery that they are in. */
struct known_column {
	const struct catalog_name *name; /* NULL: a subquery, of the evidence `inner` */
	unsigned inner;
	const struct word *word;
	struct pgw_token token, qualifier;
	uint16_t scope; /* serial */
	bool beside;	/* an operator: its name counts, too */
};

/* A table of the statement. kind PGW_TOK_END: no schema, no alias. */
struct named_table {
	struct pgw_token name, schema, alias;
	uint16_t scope; /* serial */
};

/* An operator between operands that known columns are part of. */
struct deferred {
	enum pending pending;
	unsigned sides; /* evidence */
};

struct walk {
	struct reader *reader;
	const struct catalog *catalog; /* NULL: nothing is known */
	const char *begin;	       /* of the query's text */
	struct statement *statement;
	struct level *top;   /* the innermost level */
	struct scope *scope; /* that the level is part of */
	enum key previous; /* key word just before, KEY_NONE for other tokens */
	bool after_cast;   /* the token before is :: */
	enum expect expect;
	bool expect_lateral;
	enum function_kind call; /* of the parenthesis to come */
	enum fixes fixes;
	bool fixes_list;  /* by IN */
	bool awaits_cte;  /* WITH was read: a name follows */
	bool filter_open; /* FILTER ( … ) of an aggregate is open */
	bool vector_type_seen;
	bool undecided;	    /* a distance operator with no evidence at all */
	unsigned n_pending; /* levels with a distance operator that waits for its right side */
	unsigned n_tables;
	uint16_t few_tables; /* read by a scope that takes only a page */
	uint16_t folded_tables;
	uint16_t valued_tables; /* read by a scope whose list has more than keys and times */
	unsigned columns;	/* 1 << enum column_kind */
	bool star;	       /* lists * or t.* */
	bool quotes_features;  /* reads "user_features": an ORM wrote it */
	bool pages;	       /* LIMIT $1 */
	bool takes_window;     /* of one time's column */
	struct pgw_token since; /* the last name that WHERE compares with > */
	unsigned depth;
	unsigned too_deep;
	unsigned n_ctes;
	/* of known.c: */
	bool awaits_alias; /* AS follows the last of named */
	uint16_t n_scopes;
	unsigned n_known, n_named, n_deferred, n_aliased;
	/* what follows is not cleared at the start: there is too much of it */
	struct level levels[DEPTH_MAX];
	struct pgw_token ctes[CTE_MAX];
	struct known_column known[KNOWN_MAX];
	struct named_table named[NAMED_MAX];
	struct deferred deferred[DEFERRED_MAX];
	const struct catalog_name *aliased[ALIASED_MAX];
};

static inline struct level *walk_top(struct walk *w)
{
	return w->top;
}

static inline struct scope *walk_scope(struct walk *w)
{
	return w->scope;
}

static inline void walk_add_feature(struct walk *w, uint64_t bit)
{
	w->statement->features |= bit;
}

static inline void walk_add_evidence(struct walk *w, unsigned evidence)
{
	walk_top(w)->evidence |= evidence;
	walk_top(w)->all_evidence |= evidence;
}

/* ---- level.c ---- */

/* Makes the level at w->depth the innermost one, all zero but for its owner. */
struct level *walk_begin_level(struct walk *w, uint8_t owner);
/* The current token is ( or [, ) or ]. */
void walk_open_level(struct walk *w);
void walk_close_level(struct walk *w);
/* The rows that a scope takes go out into the outer one, or are folded here. */
void walk_close_scope(struct walk *w, const struct scope *scope, struct scope *outer);

/* What a subquery gives to the operand it is part of, by the evidence inside. */
unsigned walk_query_evidence(unsigned inner);

/* ---- mention.c ---- */

/* The current token is a name, or the first part of one. */
void walk_name(struct walk *w);

/* ---- known.c: only with a catalog ---- */

/* The current token is the table's name. */
void walk_note_table(struct walk *w, const struct operand_name *name);
/* The current token is the column's name, or an alias. Its evidence; 0: the catalog does not know
 * such a name. */
unsigned walk_known_column(struct walk *w, const struct operand_name *name);
/* The name stands beside an operator. false: the catalog has nothing to say to it. */
bool walk_known_beside(struct walk *w, const struct pgw_token *token);
/* walk_query_evidence() of what has known columns in it. */
unsigned walk_known_query(struct walk *w, unsigned inner);
/* The operator is decided at the end. false: there is no room, decide it now. */
bool walk_defer(struct walk *w, enum pending pending, unsigned sides);
/* The same evidence with known columns decided by the tables that have been named so far. */
unsigned walk_known_evidence(const struct walk *w, unsigned sides);
/* The statement has ended: decides what was put off. */
void walk_settle(struct walk *w);

/* ---- operand.c ---- */

/* What an operator, or a call, means between operands of this evidence. */
void walk_decide(struct walk *w, enum pending pending, unsigned sides);
/* The evidence of a column by its name. beside: an operator; then a name that no dictionary has may
 * say something, too. */
unsigned walk_guess(const struct word *word, const struct pgw_token *token, bool beside);

/* The operand beside a distance operator, or one like it, has ended: now it can be decided. */
void walk_decide_pending(struct walk *w);

/* The operand has ended, and the next one begins. */
static inline void walk_end_operand(struct walk *w)
{
	struct level *level = walk_top(w);
	if (UNLIKELY(level->pending != PENDING_NONE))
		walk_decide_pending(w);
	level->evidence = 0;
	level->name.word = NULL;
	level->before.word = NULL;
	level->group_had_key = false;
}

/* The current token is an operator. */
void walk_operator(struct walk *w);
/* A column has been named (the last name of its level); it may stand beside a distance operator or
 * a comparison of times. known: walk_known_column() of it. */
void walk_column(struct walk *w);
void walk_column_known(struct walk *w, unsigned known);
void walk_begin_comparison(struct walk *w);
/* BETWEEN compares, too, with both ends. */
void walk_begin_between(struct walk *w);

/* ---- feature_set.c ---- */

/* 1 << enum table_kind, without those of which the name alone says little */
#define WALK_FEATURE_TABLES (1U << TABLE_FEATURES | 1U << TABLE_FEATURES_LIKELY)

/* Does the statement, which has ended, read a feature set? tables: all that it reads. */
bool walk_reads_features(const struct walk *w, uint16_t tables);

/* ---- fixes.c ---- */

/* user_id, "userId": FIXES_ENTITY; id: FIXES_ROW; organization_id: FIXES_SCOPE. tail is
 * name_tail() of the name. */
enum fixes fixes_of_name(const struct operand_name *name, uint64_t tail);
/* At = or IN: what does the left side fix, should a constant follow? */
void fixes_begin(struct walk *w, bool list);
/* The current token is a constant. */
void fixes_end(struct walk *w);

#endif
