/* SPDX-License-Identifier: ISC */
/* The table of everything a client can be told, and the one way to make a value of a row. */
#include "pgw/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
	const char *name;
	const char *severity;
	const char *sqlstate;
	const char *message;
	const char *hint;
};

static const struct row rows[PGW_N_FAULTS] = {
#define FAULT_ROW(id, severity, sqlstate, message, hint)                                         \
	[PGW_FAULT_##id] = { #id, severity, sqlstate, message, hint },
	PGW_FAULTS(FAULT_ROW)
#undef FAULT_ROW
};

/*
 * Ends a text that was cut at `len` bytes before the first byte of the character that the cut went
 * through: half a character would make the client refuse the whole message as bad encoding.
 */
static void end_at_character(char *text, size_t len)
{
	size_t at = len;
	unsigned n_follow = 0;
	unsigned char lead;

	text[len] = '\0';
	while (at > 0 && n_follow < 3 && ((unsigned char)text[at - 1] & 0xC0) == 0x80) {
		at--;
		n_follow++;
	}
	if (at == 0)
		return;
	lead = (unsigned char)text[at - 1];
	if ((lead >= 0xC0 && n_follow < 1) || (lead >= 0xE0 && n_follow < 2) ||
		(lead >= 0xF0 && n_follow < 3))
		text[at - 1] = '\0';
}

/* Appends to a text of PGW_FAULT_TEXT_BYTES that holds n bytes; returns how many it holds then. */
static size_t append(char *text, size_t n, const char *more)
{
	size_t room = PGW_FAULT_TEXT_BYTES - 1 - n;
	size_t n_more = strnlen(more, room + 1);

	if (n_more > room) {
		memcpy(text + n, more, room);
		end_at_character(text, n + room);
		return n + room; /* full: what comes behind is dropped as well */
	}
	memcpy(text + n, more, n_more + 1);
	return n + n_more;
}

/* The message of a row and what is known at the site: in the place of its %s, else behind its end. */
static void compose(char *text, const char *message, const char *what)
{
	const char *place = strstr(message, "%s");
	size_t n;

	if (place == NULL) {
		n = append(text, 0, message);
		if (what && n > 0)
			n = append(text, n, ": ");
		if (what)
			append(text, n, what);
		return;
	}
	memcpy(text, message, (size_t)(place - message));
	n = append(text, (size_t)(place - message), what ? what : "");
	append(text, n, place + 2);
}

/* Fills all but the detail, which only the site knows; not the whole value: it is 1.5 kB. */
static void set_row(struct pgw_fault *fault, enum pgw_fault_id id, const char *what)
{
	const struct row *row = &rows[id];

	fault->id = id;
	fault->severity = row->severity;
	fault->sqlstate = row->sqlstate;
	compose(fault->message, row->message, what);
	append(fault->hint, 0, row->hint);
	fault->detail[0] = '\0';
}

struct pgw_fault pgw_fault_make(enum pgw_fault_id id)
{
	struct pgw_fault fault;

	set_row(&fault, id, NULL);
	return fault;
}

void pgw_fault_set(struct pgw_fault *fault, enum pgw_fault_id id, const char *what,
	const char *detail_format, ...)
{
	va_list args;
	int n;

	set_row(fault, id, what);
	if (detail_format == NULL)
		return;
	va_start(args, detail_format);
	n = vsnprintf(fault->detail, sizeof(fault->detail), detail_format, args);
	va_end(args);
	if (n < 0)
		fault->detail[0] = '\0';
	else if ((size_t)n >= sizeof(fault->detail))
		end_at_character(fault->detail, sizeof(fault->detail) - 1);
}

int pgw_fault_is_notice(enum pgw_fault_id id)
{
	return strcmp(rows[id].severity, "NOTICE") == 0 ||
	       strcmp(rows[id].severity, "WARNING") == 0;
}

const char *pgw_fault_name(enum pgw_fault_id id)
{
	return rows[id].name;
}
