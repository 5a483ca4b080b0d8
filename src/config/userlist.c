/* SPDX-License-Identifier: ISC */
#include "config/userlist.h"

#include <ctype.h>

#include "base/mem.h"
#include "pgw/scram.h"

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && isspace((unsigned char)*p))
		p++;
	return p;
}

/*
 * The quoted field at p. Returns what follows it, or NULL when there is none or it does not end on
 * this line.
 */
static const char *read_field(const char *p, const char *end, struct strbuf *field)
{
	strbuf_reset(field);
	if (p == end || *p != '"')
		return NULL;
	for (p++; p < end; p++) {
		if (*p == '"' && (p + 1 == end || p[1] != '"'))
			return p + 1;
		if (*p == '"')
			p++;
		strbuf_addc(field, *p);
	}
	return NULL;
}

static const char *wrong_with(const struct strbuf *user, const struct strbuf *secret)
{
	struct pgw_scram_secret scram;

	if (user->len == 0)
		return "the user name is empty";
	if (user->len > USERLIST_USER_MAX_BYTES)
		return "the user name is too long; 127 bytes is the most";
	if (secret->len > USERLIST_SECRET_MAX_BYTES)
		return "the secret is too long; 2047 bytes is the most";
	if (strlen(user->data) != user->len || strlen(secret->data) != secret->len)
		return "there is a zero byte in this line";
	/* A damaged secret must not pass for a plain text password. */
	if (strncmp(secret->data, "SCRAM-SHA-256$", 14) == 0 &&
		!pgw_scram_secret_parse(secret->data, &scram))
		return "the secret is cut short or damaged; expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>";
	return NULL;
}

static const char *parse_line(
	const char *line, const char *end, struct strbuf *user, struct strbuf *secret)
{
	const char *p = read_field(line, end, user);

	if (p == NULL)
		return "expected \"user\" \"secret\", each in double quotes";
	p = skip_blanks(p, end);
	if (read_field(p, end, secret) == NULL)
		return "expected a secret in double quotes after the user name; \"\" when there is none";
	return wrong_with(user, secret);
}

void userlist_parse(const char *file_name, const char *text, size_t n,
	struct config_secret **secrets, unsigned *n_secrets, struct config_problems *problems)
{
	struct strbuf user = STRBUF_INIT, secret = STRBUF_INIT;
	struct config_place place = { .file = file_name };
	const char *end = text + n, *next;
	const char *wrong;
	size_t cap = 0;

	for (const char *line = text; line < end; line = next) {
		const char *line_end = memchr(line, '\n', (size_t)(end - line));

		line_end = line_end ? line_end : end;
		next = line_end + 1;
		place.line++;
		line = skip_blanks(line, line_end);
		if (line == line_end || *line == ';')
			continue;
		wrong = parse_line(line, line_end, &user, &secret);
		if (wrong) {
			config_problem_add(problems, &place, "%s", wrong);
			continue;
		}
		if (*n_secrets >= cap) {
			cap = MAX_OF((size_t)*n_secrets * 2, (size_t)32);
			*secrets = mem_realloc(*secrets, cap * sizeof((*secrets)[0]));
		}
		(*secrets)[(*n_secrets)++] =
			(struct config_secret){ mem_strdup(user.data), mem_strdup(secret.data) };
	}
	strbuf_release(&secret);
	strbuf_release(&user);
}
