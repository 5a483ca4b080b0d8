/* SPDX-License-Identifier: ISC */
#include "config/connstr.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

static const char *read_quoted(const char *p, struct strbuf *value, const char **error_r)
{
	for (;; p++) {
		if (*p == '\0') {
			*error_r = "the value's closing single quote is missing";
			return p;
		}
		if (*p == '\'' && *++p != '\'')
			break;
		strbuf_addc(value, *p);
	}
	if (*p && !is_blank(*p))
		*error_r =
			"a quoted value must be followed by a blank; write '' for a quote inside it";
	return p;
}

static const char *read_bare(const char *p, struct strbuf *value, const char **error_r)
{
	for (; *p && !is_blank(*p); p++)
		strbuf_addc(value, *p);
	if (value->len == 0)
		*error_r = "it has no value; expected key=value";
	return p;
}

enum connstr_event connstr_next(
	const char **p, struct strbuf *key, struct strbuf *value, const char **error_r)
{
	const char *s = skip_blanks(*p);

	strbuf_reset(key);
	strbuf_reset(value);
	*error_r = NULL;
	*p = s;
	if (*s == '\0')
		return CONNSTR_END;
	for (; *s && *s != '=' && !is_blank(*s); s++)
		strbuf_addc(key, *s);
	s = skip_blanks(s);
	if (*s != '=' || key->len == 0) {
		*error_r =
			"expected key=value pairs separated by blanks; quote a value that has blanks: key='a b'";
		return CONNSTR_ERROR;
	}
	s = skip_blanks(s + 1);
	s = *s == '\'' ? read_quoted(s + 1, value, error_r) : read_bare(s, value, error_r);
	*p = s;
	return *error_r ? CONNSTR_ERROR : CONNSTR_PAIR;
}
