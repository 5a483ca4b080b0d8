/* SPDX-License-Identifier: ISC */
/*
 * Values of configuration keys: text of a file to a field of a struct and back. A type says how a
 * key is written, what it may be and how wide its field is. Pure; any thread.
 *
 * Written forms. Times: PgBouncer's plain seconds, fractions allowed, or a number with a unit: us,
 * ms, s, min, h, d. Sizes: bytes, or with kB, MB, GB (powers of 1024, as PostgreSQL). Switches: 0
 * and 1, on and off, yes and no, true and false. Numbers are decimal; a leading zero, which
 * PgBouncer would read as octal, is refused rather than given another meaning.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include "config/config.h"

enum value_kind {
	VALUE_TEXT,    /* char *; empty is NULL */
	VALUE_QUERY,   /* char *; empty is NULL, the word <empty> is "" */
	VALUE_UUID,    /* char *, lower case; empty is NULL */
	VALUE_LIST,    /* char **, NULL-terminated; comma-separated */
	VALUE_CLASSES, /* uint32_t, 1 << class; comma-separated names */
	VALUE_BOOL,    /* bool */
	VALUE_COUNT,   /* uint32_t */
	VALUE_PORT,    /* uint16_t */
	VALUE_RANK,    /* uint8_t */
	VALUE_AUTO,    /* uint32_t; the word auto is 0 */
	VALUE_MODE,    /* uint32_t; octal */
	VALUE_TIME,    /* uint64_t microseconds */
	VALUE_SECONDS, /* uint32_t whole seconds */
	VALUE_MILLIS,  /* uint32_t whole milliseconds */
	VALUE_SIZE,    /* uint64_t bytes */
	VALUE_RATIO,   /* uint32_t thousandths; written as 0.8 */
	VALUE_WORD,    /* an enum: the index in `words` */
};

struct value_type {
	enum value_kind kind;
	uint64_t min, max;	  /* of numbers, in the field's unit */
	const char *const *words; /* VALUE_WORD, and VALUE_TEXT that must be one of them;
				     NULL-terminated, case does not matter */
	bool inherits; /* "not set here" is a value: CONFIG_INHERIT, CONFIG_INHERIT_US, or the last
			  word */
};

#define VALUE_MAX_BYTES 32 /* the widest field */

/*
 * The names of enum query_class, in its order: a floor above this one owns the enum, a test holds
 * the two together.
 */
extern const char *const value_class_names[];

const char *value_unit(const struct value_type *type); /* for people: "s", "bytes", "0 or 1" … */
/*
 * Sets the field. false: the field is as it was, and why says what is wrong and what would be right
 * (never the value of a secret).
 */
bool value_set(const struct value_type *type, void *field, const char *text,
	struct strbuf *why) WARN_UNUSED;
void value_set_inherited(const struct value_type *type, void *field);
void value_format(const struct value_type *type, const void *field,
	struct strbuf *out); /* what value_set() reads back as the same */
void value_copy(
	const struct value_type *type, void *to, const void *from); /* `to` holds nothing before */
void value_release(const struct value_type *type, void *field);
size_t value_bytes(const struct value_type *type); /* width of the field */

#endif
