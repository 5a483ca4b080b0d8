/* SPDX-License-Identifier: ISC */
#include "base/strbuf.h"

#include "base/mem.h"

char strbuf_empty[1] = "";

void strbuf_init(struct strbuf *sb)
{
	*sb = (struct strbuf)STRBUF_INIT;
}

void strbuf_release(struct strbuf *sb)
{
	if (sb->cap)
		mem_free(sb->data);
	strbuf_init(sb);
}

void strbuf_reset(struct strbuf *sb)
{
	sb->len = 0;
	if (sb->cap)
		sb->data[0] = '\0';
}

void strbuf_reserve(struct strbuf *sb, size_t n_more)
{
	size_t need = sb->len + n_more + 1;
	size_t cap;

	if (need <= sb->cap)
		return;
	cap = MAX_OF(need, sb->cap + sb->cap / 2);
	cap = MAX_OF(cap, (size_t)64);
	sb->data = mem_realloc(sb->cap ? sb->data : NULL, cap);
	if (sb->cap == 0)
		sb->data[0] = '\0';
	sb->cap = cap;
}

void strbuf_add(struct strbuf *sb, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	strbuf_reserve(sb, n);
	memcpy(sb->data + sb->len, bytes, n);
	sb->len += n;
	sb->data[sb->len] = '\0';
}

void strbuf_adds(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void strbuf_addc(struct strbuf *sb, char c)
{
	strbuf_add(sb, &c, 1);
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	strbuf_reserve(sb, 64);
	n = vsnprintf(sb->data + sb->len, sb->cap - sb->len, fmt, ap);
	MUST(n >= 0);
	if ((size_t)n >= sb->cap - sb->len) {
		strbuf_reserve(sb, (size_t)n);
		(void)vsnprintf(sb->data + sb->len, sb->cap - sb->len, fmt, again);
	}
	va_end(again);
	sb->len += (size_t)n;
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(sb, fmt, ap);
	va_end(ap);
}

void strbuf_add_literal(struct strbuf *sb, const char *s)
{
	if (strchr(s, '\\'))
		strbuf_adds(sb, " E");
	strbuf_addc(sb, '\'');
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			strbuf_addc(sb, *s);
		strbuf_addc(sb, *s);
	}
	strbuf_addc(sb, '\'');
}

void strbuf_add_ident(struct strbuf *sb, const char *s)
{
	strbuf_addc(sb, '"');
	for (; *s; s++) {
		if (*s == '"')
			strbuf_addc(sb, '"');
		strbuf_addc(sb, *s);
	}
	strbuf_addc(sb, '"');
}

char *strbuf_detach(struct strbuf *sb)
{
	char *s;

	strbuf_reserve(sb, 0);
	s = sb->data;
	strbuf_init(sb);
	return s;
}
