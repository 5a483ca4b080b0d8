/* SPDX-License-Identifier: ISC */
/*
 * What kind of work a statement is. Pure: a text and the session's facts in, a decision out. The meaning of the classes is given in
 * src/classify/README.md. One pass of the lexer collects features; an ordered table of rules decides; the first that matches wins and is named.
 * Threads: a struct classifier is immutable and shared by all workers.
 */
#ifndef CLASSIFY_CLASSIFY_H
#define CLASSIFY_CLASSIFY_H

#include "base/base.h"
#include "pgw/fingerprint.h"

enum query_class { QUERY_DEFAULT, QUERY_SERVING, QUERY_VECTOR, QUERY_HYBRID, QUERY_TRAINING, N_QUERY_CLASSES }; /* lightest to heaviest */
const char *query_class_name(enum query_class class);
bool query_class_parse(const char *text, size_t n, enum query_class *class_r);

/* What the statement does to the session or transaction, as far as the data path must know. */
enum statement_kind {
	STATEMENT_WORK,		/* everything else */
	STATEMENT_EMPTY,	/* no token at all, or only semicolons */
	STATEMENT_BEGIN,	/* a lone BEGIN / START TRANSACTION whose forms cannot fail: it may be deferred */
	STATEMENT_BEGIN_CHECKED, /* a lone one that can fail by itself (READ WRITE, SERIALIZABLE, DEFERRABLE …): not deferred */
	STATEMENT_COMMIT,	/* lone COMMIT / END [WORK|TRANSACTION] [AND NO CHAIN] */
	STATEMENT_ROLLBACK,	/* lone ROLLBACK / ABORT … (not TO SAVEPOINT) */
	STATEMENT_NEUTRAL,	/* SET, RESET, SHOW, SAVEPOINT, RELEASE, ROLLBACK TO, DISCARD, DEALLOCATE, LISTEN, UNLISTEN, CLOSE …: does not decide a class */
	STATEMENT_PREPARE,	/* PREPARE name AS …: name in `prepared_name` */
	STATEMENT_EXECUTE,	/* EXECUTE name, also under EXPLAIN: the class is that of what was prepared */
};

/* Effects on session state that transaction pooling must know of; bits. A string of several statements has the union. */
enum statement_effect {
	EFFECT_SET = 1 << 0,		/* SET / RESET / set_config() not LOCAL */
	EFFECT_LISTEN = 1 << 1,
	EFFECT_TEMP_TABLE = 1 << 2,
	EFFECT_ADVISORY_LOCK = 1 << 3,	/* session-level */
	EFFECT_HOLD_CURSOR = 1 << 4,
	EFFECT_LOAD = 1 << 5,
	EFFECT_PREPARE = 1 << 6,	/* SQL PREPARE */
	EFFECT_DEALLOCATE_ALL = 1 << 7,	/* DEALLOCATE ALL, DISCARD ALL: server-side statements are gone (DISCARD PLANS drops plans, not statements) */
	EFFECT_DISCARD_ALL = 1 << 8,
	EFFECT_NAMES = 1 << 10,		/* names a prepared statement: PREPARE, EXECUTE, DEALLOCATE name, in whatever form; prepared.h says which */
	EFFECT_RELEASE = 1 << 20,	/* may end what others left: DROP, CLOSE, UNLISTEN, DEALLOCATE, DISCARD, advisory unlocks */
	EFFECT_SET_LOCAL = 1 << 21,	/* SET LOCAL, set_config(…, true) */
	EFFECT_ROLLBACK_TO = 1 << 22,	/* a savepoint: what was set since holds no more */
	EFFECT_UNLISTEN = 1 << 23,	/* UNLISTEN */
	EFFECT_TRANSACTION = 1 << 9,	/* contains BEGIN/COMMIT/… amid other statements */
	EFFECT_CALL = 1 << 24,		/* runs what its text does not show: a function that is not known as PostgreSQL's own, CALL, DO. EXECUTE is what was prepared */
	EFFECT_WRITE = 1 << 25,		/* writes rows, where triggers may run: INSERT, UPDATE, DELETE, MERGE, COPY FROM */
	EFFECT_SEQUENCE_MOVE = 1 << 26, /* may take a sequence's next value: INSERT, MERGE, COPY FROM, nextval(), setval(); so may EFFECT_CALL */
	EFFECT_SEQUENCE_READ = 1 << 27,	/* currval(), lastval(): what the session was given last */
};

/* What annotations ask for beside a route; bits. Whether they can be honoured is for the reader of entity.h to say. */
enum annotation_action {
	ACTION_NOTE = 1 << 0,	/* ml_entity, in whatever form and place: the write is to be noted */
	ACTION_SEARCH = 1 << 1,	/* ml_near_text and the like: Weaviate is searched before it is sent, or it is not sent */
};

#define CLASSIFY_NAME_BYTES 64 /* PostgreSQL's NAMEDATALEN */

struct catalog;
struct classify_session {
	const char *user, *database, *application_name; /* never NULL */
	bool may_annotate;	/* annotations = route or all */
	uint8_t max_priority;
	bool has_class;		/* session setting pglane.class */
	enum query_class class;
	bool backslash_escapes;	/* standard_conforming_strings is off */
	bool only_session;	/* a whole session is judged: rules that ask about statements do not match */
	int32_t utc_offset_s;	/* what local time is ahead of UTC */
	const struct catalog *catalog; /* what is known of the database's columns, catalog.h; NULL: nothing */
	int64_t now_s;		/* since 1970 UTC. Both are read only if classifier_asks_time() */
};

/* What gave a statement its class; the stronger ones are behind. */
enum class_source { SOURCE_DEFAULT, SOURCE_LEARNED, SOURCE_BUILT_IN, SOURCE_RULE, SOURCE_SETTING, SOURCE_ANNOTATION, N_CLASS_SOURCES };
const char *class_source_name(enum class_source source);
bool class_source_parse(const char *text, enum class_source *source_r);

/* What a text does to pglane.class. */
enum class_change {
	CLASS_KEPT,
	CLASS_SET_LOCAL,	/* SET LOCAL: until the transaction ends */
	CLASS_SET,		/* SET, RESET */
};

struct classify_result {
	enum query_class class;
	uint8_t priority;	/* 1..10 */
	enum statement_kind kind;
	uint32_t effects;	/* enum statement_effect */
	uint64_t features;	/* enum feature bits, features.h */
	const char *rule;	/* which rule decided: "annotation", "setting", "rules:3", "vector-distance", "default" …; lives as long as the classifier */
	const char *deny;	/* the statement is refused with this message; NULL: it is not. As long as the classifier, as deny_rule and log_rule */
	const char *deny_rule;	/* if deny */
	const char *log_rule;	/* the first rule that wants it logged; NULL: none does */
	uint32_t timeout_ms;	/* a rule's limit instead of the lane's; 0: none */
	bool has_lane;		/* a rule names the lane: the class's does not count */
	uint8_t lane;		/* if has_lane: index in the lanes of classifier_new() */
	uint8_t change;		/* enum class_change */
	uint8_t changed_class;	/* if change: enum query_class; N_QUERY_CLASSES: none any more */
	bool bad_class;		/* if change: none, as the value is a word that is no class */
	bool annotated;		/* an annotation gave the class */
	uint8_t actions;	/* enum annotation_action; whether the user may annotate or not */
	uint8_t source;		/* enum class_source */
	bool bad_annotation;	/* malformed or not allowed; counted */
	bool has_organization;
	char organization[37];	/* if has_organization; else not written */
	char prepared_name[CLASSIFY_NAME_BYTES]; /* PREPARE, EXECUTE, DEALLOCATE name; "" without one */
};

struct classifier; /* the operator's rules and extra names, compiled */
/* The names that rules may give in `lane NAME`, by index; NULL: one that no rule may name. */
struct classifier_lanes {
	const char *const *names;
	unsigned n;
};
/* rules: the lines of [rules], in order. On error NULL, with the line index and a text (the caller's 256 bytes). */
struct classifier *classifier_new(const char *const *rules, unsigned n_rules, struct classifier_lanes lanes, unsigned *bad_line_r,
	char error[static 256]);
/* Whether a line is a rule, without keeping it; of the type that config_load_checked() asks for. */
bool classify_rule_check(const char *line, const char *const *lanes, unsigned n_lanes, char error[static 256]);
void classifier_free(struct classifier **classifier);
bool classifier_asks_time(const struct classifier *classifier); /* a rule has hour= or weekday=: a decision holds for this second only */

/* Never fails: any bytes get a decision. sql need not end in NUL. */
void classify(const struct classifier *classifier, const struct classify_session *session, const char *sql, size_t n, struct classify_result *result_r);
/* The same, with the statement's fingerprint, of the same pass of the lexer: pgw_fingerprint(), but that literals end where the session has them end. */
void classify_printed(const struct classifier *classifier, const struct classify_session *session, const char *sql, size_t n,
	struct classify_result *result_r, struct pgw_hash128 *print_r);
bool classify_declares_cursor(uint64_t features);
/* Appends names of the set feature bits, comma-separated. */
struct strbuf;
void classify_feature_names(uint64_t features, struct strbuf *out);

#endif
