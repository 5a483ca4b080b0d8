/* SPDX-License-Identifier: ISC */
/*
 * How inih is kept from its own ideas. Each line of the file becomes one or more lines for inih,
 * short, never indented, without comments, in which every byte but letters, digits and _ . - * is
 * written as %XX:
 *
 *   [section]          ->  [section]  and  %section=
 *   key = value        ->  key=       and  %more=…  as often as the value needs
 *   a line of [rules]  ->  %rule=     and  %more=…
 *   no equals sign     ->  the line itself, which inih refuses
 *
 * No key of a file can look like %section, because its % would be written as %25. The reader works
 * on one line of the file at a time and asks for the next only when inih has eaten all of it, so
 * what the handler got in between belongs to that line: that is where line numbers and syntax
 * errors come from.
 */
#include "config/reader.h"

#include <ctype.h>
#include <ini.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "config/file.h"

#define INI_SECTION_MAX_BYTES 49   /* inih cuts longer names */
#define SKIPPED_SECTION "%skipped" /* the section of what stands below a broken section line */

/* One open file. */
struct source {
	struct source *parent;
	const char *name; /* owned by the entries */
	struct strbuf text;
	size_t at;
	unsigned line;
	dev_t dev;
	ino_t ino;
};

struct reader {
	struct config_entries *entries;
	struct config_problems *problems;
	struct source *source; /* innermost; NULL: all is read */
	unsigned depth;
	bool may_include;
	size_t line_bytes; /* of inih's buffer */

	struct strbuf queue; /* lines for inih that make up the line of the file at hand */
	size_t queue_at;

	/* The line at hand, and what the handler got of it. */
	const char *file;
	unsigned line;
	bool fed; /* something was queued */
	bool got_key, got_rule, got_section;
	struct strbuf section; /* outlives the line */
	struct strbuf key, value;
};

static void problem(struct reader *r, const char *key, const char *text)
{
	struct config_place place = { r->file, r->line, r->section.len ? r->section.data : NULL,
		key };

	if (place.section && strcmp(place.section, SKIPPED_SECTION) == 0)
		place.section = NULL;
	config_problem_add(r->problems, &place, "%s", text);
}

/* ---- encoding ---- */

static void add_encoded(struct strbuf *out, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (isalnum(c) || (c && strchr("_.-*", c)))
			strbuf_addc(out, (char)c);
		else
			strbuf_addf(out, "%%%02X", c);
	}
}

static int hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

static void add_decoded(struct strbuf *out, const char *s)
{
	for (; *s; s++) {
		if (*s != '%') {
			strbuf_addc(out, *s);
			continue;
		}
		MUST(s[1] && s[2]); /* we wrote it */
		strbuf_addc(out, (char)(hex_digit(s[1]) * 16 + hex_digit(s[2])));
		s += 2;
	}
}

/* ---- what comes back from inih ---- */

static int on_pair(void *arg, const char *section, const char *name, const char *value)
{
	struct reader *r = arg;

	if (strcmp(name, "%more") == 0) {
		add_decoded(&r->value, value);
		return 1;
	}
	strbuf_reset(&r->section);
	strbuf_adds(&r->section, section);
	if (strcmp(name, "%section") == 0) {
		r->got_section = true;
	} else if (strcmp(name, "%rule") == 0) {
		r->got_rule = true;
	} else {
		add_decoded(&r->key, name);
		r->got_key = true;
	}
	return 1;
}

static void add_entry(struct reader *r, enum config_entry_kind kind)
{
	struct config_entries *entries = r->entries;

	if (entries->n == entries->cap) {
		entries->cap = entries->cap ? entries->cap * 2 : 64;
		entries->items =
			mem_realloc(entries->items, entries->cap * sizeof(entries->items[0]));
	}
	entries->items[entries->n++] = (struct config_entry){
		.kind = kind,
		.file = r->file,
		.line = r->line,
		.section = mem_strdup(r->section.data),
		.key = kind == ENTRY_PAIR ? mem_strdup(r->key.data) : NULL,
		.value = kind == ENTRY_SECTION ? NULL : mem_strdup(r->value.data),
	};
}

/* A key in double quotes to the name it means. */
static bool unquote_key(struct strbuf *key)
{
	struct strbuf name = STRBUF_INIT;
	const char *p = key->data + 1;

	for (; *p && (*p != '"' || p[1] == '"'); p++) {
		strbuf_addc(&name, *p);
		if (*p == '"')
			p++;
	}
	if (*p != '"' || p[1] != '\0') {
		strbuf_release(&name);
		return false;
	}
	strbuf_reset(key);
	strbuf_adds(key, name.data);
	strbuf_release(&name);
	return true;
}

static bool is_plain_key(const char *key)
{
	for (; *key; key++)
		if (!isalnum((unsigned char)*key) && !strchr("_.-*", *key) && !(*key & 0x80))
			return false;
	return true;
}

static void finish_pair(struct reader *r)
{
	if (r->key.len == 0) {
		problem(r, NULL, "there is no key before the equals sign; expected key = value");
	} else if (r->key.data[0] != '"' && !is_plain_key(r->key.data)) {
		problem(r, r->key.data,
			"a key that is more than letters, digits and _ . - * must stand in double quotes");
	} else if (r->key.data[0] == '"' && !unquote_key(&r->key)) {
		problem(r, r->key.data,
			"the key's double quotes do not match; write \"\" for a double quote inside it");
	} else {
		add_entry(r, ENTRY_PAIR);
	}
}

/* inih has eaten the line at hand: keep what it made of it. */
static void finish_line(struct reader *r)
{
	bool skipped = strcmp(r->section.data, SKIPPED_SECTION) == 0;

	if (r->fed && !skipped) {
		if (r->got_section)
			add_entry(r, ENTRY_SECTION);
		else if (r->got_rule)
			add_entry(r, ENTRY_RULE);
		else if (r->got_key)
			finish_pair(r);
		else
			problem(r, NULL, "this is neither a comment, a [section] nor key = value");
	}
	r->fed = r->got_key = r->got_rule = r->got_section = false;
	strbuf_reset(&r->key);
	strbuf_reset(&r->value);
	strbuf_reset(&r->queue);
	r->queue_at = 0;
}

/* ---- what goes to inih ---- */

/* The value in as many %more lines as inih's buffer makes necessary. */
static void queue_value(struct reader *r, const char *value, size_t n)
{
	size_t room = r->line_bytes - sizeof("%more=\n"); /* its NUL counts for the buffer's */
	size_t step = room / 3;				  /* every byte may need three */

	for (size_t at = 0; at < n; at += step) {
		strbuf_adds(&r->queue, "%more=");
		add_encoded(&r->queue, value + at, MIN_OF(step, n - at));
		strbuf_addc(&r->queue, '\n');
	}
	r->fed = true;
}

/* The equals sign that ends the key: the first one outside double quotes, or NULL. */
static const char *find_equals(const char *line, size_t n)
{
	const char *p = line, *end = line + n;

	if (n && *p == '"')
		for (p++; p < end && *p != '"'; p++)
			if (p + 2 < end && p[1] == '"' && p[2] == '"')
				p += 2;
	return memchr(p, '=', (size_t)(end - p));
}

static void trim(const char **p, size_t *n)
{
	while (*n && isspace((unsigned char)**p)) {
		(*p)++;
		(*n)--;
	}
	while (*n && isspace((unsigned char)(*p)[*n - 1]))
		(*n)--;
}

static void queue_pair(struct reader *r, const char *line, size_t n)
{
	const char *equals = find_equals(line, n);
	const char *key = line, *value;
	size_t n_key = equals ? (size_t)(equals - line) : MIN_OF(n, (size_t)32);
	size_t n_value;

	trim(&key, &n_key);
	add_encoded(&r->queue, key, n_key);
	if (r->queue.len + sizeof("=\n") > r->line_bytes) {
		strbuf_reset(&r->queue);
		problem(r, NULL, "the key is too long; PostgreSQL's names have at most 63 bytes");
		return;
	}
	strbuf_adds(&r->queue, equals ? "=\n" : "\n");
	r->fed = true;
	if (equals) {
		value = equals + 1;
		n_value = n - (size_t)(value - line);
		trim(&value, &n_value);
		queue_value(r, value, n_value);
	}
}

static bool is_section_name(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_.-:", name[i]))
			return false;
	return n > 0;
}

static void queue_section(struct reader *r, const char *line, size_t n)
{
	const char *end = memchr(line, ']', n);
	const char *name = line + 1, *rest = line;
	size_t n_name = 0, n_rest = 0;
	const char *wrong = NULL;

	if (end) {
		n_name = (size_t)(end - name);
		trim(&name, &n_name);
		rest = end + 1;
		n_rest = n - (size_t)(rest - line);
		trim(&rest, &n_rest);
	}
	if (end == NULL)
		wrong = "the section's closing bracket is missing; expected [section]";
	else if (!is_section_name(name, n_name))
		wrong = "a section's name has letters, digits and _ . - : only";
	else if (n_name > INI_SECTION_MAX_BYTES)
		wrong = "the section's name is too long; 49 bytes is the most";
	else if (n_rest && *rest != ';' && *rest != '#')
		wrong = "nothing may follow a section on its line; write what follows on the next";
	if (wrong) {
		strbuf_reset(&r->section);
		problem(r, NULL, wrong);
		strbuf_adds(&r->queue, "[" SKIPPED_SECTION "]\n%section=\n");
	} else {
		strbuf_addf(&r->queue, "[%.*s]\n%%section=\n", (int)n_name, name);
	}
	r->fed = true;
}

/* ---- files ---- */

static const char *keep_file_name(struct reader *r, const char *name)
{
	struct config_entries *entries = r->entries;

	entries->files = mem_realloc(entries->files, (entries->n_files + 1) * sizeof(char *));
	return entries->files[entries->n_files++] = mem_strdup(name);
}

static struct source *push_source(struct reader *r, const char *name)
{
	struct source *source = mem_zalloc(sizeof(*source));

	source->name = keep_file_name(r, name);
	strbuf_init(&source->text);
	source->parent = r->source;
	r->source = source;
	r->depth++;
	return source;
}

static void pop_source(struct reader *r)
{
	struct source *source = r->source;

	r->source = source->parent;
	r->depth--;
	strbuf_release(&source->text);
	mem_free(source);
}

static bool is_open(const struct reader *r, const struct stat *st)
{
	for (const struct source *s = r->source; s; s = s->parent)
		if (s->dev == st->st_dev && s->ino == st->st_ino)
			return true;
	return false;
}

static void open_file(struct reader *r, const char *path, const char *include_key)
{
	struct source *source;
	struct stat st = { 0 };
	struct strbuf text = STRBUF_INIT;
	int err = 0;

	if (stat(path, &st) == 0 && is_open(r, &st)) {
		problem(r, include_key,
			"this file includes itself; remove one of the %include lines");
		return;
	}
	err = file_read(path, &text);
	if (err) {
		/* Without an %include the place is the file itself. */
		char *why = include_key
				    ? mem_printf("cannot read %s: %s", path, file_error_text(err))
				    : mem_printf("cannot be read: %s", file_error_text(err));

		problem(r, include_key, why);
		mem_free(why);
		strbuf_release(&text);
		return;
	}
	source = push_source(r, path);
	source->text = text;
	source->dev = st.st_dev;
	source->ino = st.st_ino;
}

static void take_directive(struct reader *r, const char *line, size_t n)
{
	static const char word[] = "%include";
	const char *name = line + sizeof(word) - 1;
	char *written, *path;
	size_t n_name;

	if (n < sizeof(word) || memcmp(line, word, sizeof(word) - 1) ||
		!isspace((unsigned char)*name)) {
		problem(r, NULL, "unknown directive; expected %include FILE");
		return;
	}
	n_name = n - (size_t)(name - line);
	trim(&name, &n_name);
	if (!r->may_include) {
		problem(r, word, "files are not read here");
	} else if (r->depth >= READER_MAX_DEPTH) {
		problem(r, word, "files include one another too deeply; 10 levels is the most");
	} else if (r->entries->n_files >= READER_MAX_FILES) {
		problem(r, word, "too many files are included; 1000 is the most");
	} else {
		written = mem_strndup(name, n_name);
		path = file_resolve(r->file, written);
		open_file(r, path, word);
		mem_free(path);
		mem_free(written);
	}
}

/* ---- lines ---- */

static bool next_line(struct reader *r, const char **line_r, size_t *n_r)
{
	struct source *source;
	const char *start, *end;

	while (r->source && r->source->at >= r->source->text.len)
		pop_source(r);
	source = r->source;
	if (source == NULL)
		return false;
	start = source->text.data + source->at;
	end = memchr(start, '\n', source->text.len - source->at);
	*n_r = end ? (size_t)(end - start) : source->text.len - source->at;
	*line_r = start;
	source->at += *n_r + 1;
	if (source->line++ == 0 && *n_r >= 3 &&
		memcmp(start, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
		*line_r += 3;
		*n_r -= 3;
	}
	r->file = source->name;
	r->line = source->line;
	return true;
}

/* Queues the next line of the file that means something. False at the end of everything. */
static bool queue_line(struct reader *r)
{
	const char *line;
	size_t n;

	while (r->queue.len == 0) {
		if (!next_line(r, &line, &n))
			return false;
		trim(&line, &n);
		if (n == 0 || *line == ';' || *line == '#')
			continue;
		if (memchr(line, '\0', n)) {
			problem(r, NULL, "there is a zero byte on this line; is this a text file?");
		} else if (*line == '[') {
			queue_section(r, line, n);
		} else if (*line == '%') {
			take_directive(r, line, n);
		} else if (strcmp(r->section.data, "rules") == 0) {
			strbuf_adds(&r->queue, "%rule=\n");
			queue_value(r, line, n);
		} else {
			queue_pair(r, line, n);
		}
	}
	return true;
}

/* inih's idea of fgets(). */
static char *read_for_inih(char *out, int n_bytes, void *arg)
{
	struct reader *r = arg;
	const char *start, *end;
	size_t n;

	r->line_bytes = (size_t)n_bytes;
	if (r->queue_at >= r->queue.len) {
		finish_line(r);
		if (!queue_line(r))
			return NULL;
	}
	start = r->queue.data + r->queue_at;
	end = memchr(start, '\n', r->queue.len - r->queue_at);
	MUST(end != NULL);
	n = (size_t)(end - start) + 1;
	MUST(n < (size_t)n_bytes);
	memcpy(out, start, n);
	out[n] = '\0';
	r->queue_at += n;
	return out;
}

static void read_sources(struct reader *r)
{
	/* Its result says only that some line was refused; finish_line() saw which. */
	if (r->source)
		(void)ini_parse_stream(read_for_inih, r, on_pair, r);
	strbuf_release(&r->queue);
	strbuf_release(&r->section);
	strbuf_release(&r->key);
	strbuf_release(&r->value);
}

static void reader_init(struct reader *r, const char *name, struct config_entries *entries,
	struct config_problems *problems)
{
	*r = (struct reader){ .entries = entries, .problems = problems };
	strbuf_init(&r->queue);
	strbuf_init(&r->section);
	strbuf_init(&r->key);
	strbuf_init(&r->value);
	r->file = keep_file_name(r, name);
}

void reader_load_file(
	const char *file_name, struct config_entries *entries, struct config_problems *problems)
{
	struct reader r;

	reader_init(&r, file_name, entries, problems);
	r.may_include = true;
	open_file(&r, file_name, NULL);
	read_sources(&r);
}

void reader_load_text(const char *name, const char *text, size_t n, struct config_entries *entries,
	struct config_problems *problems)
{
	struct reader r;
	struct source *source;

	reader_init(&r, name, entries, problems);
	source = push_source(&r, name);
	strbuf_add(&source->text, text, n);
	read_sources(&r);
}

void config_entries_release(struct config_entries *entries)
{
	for (size_t i = 0; i < entries->n; i++) {
		mem_free(entries->items[i].section);
		mem_free(entries->items[i].key);
		mem_free(entries->items[i].value);
	}
	mem_free(entries->items);
	for (unsigned i = 0; i < entries->n_files; i++)
		mem_free(entries->files[i]);
	mem_free(entries->files);
	*entries = (struct config_entries){ .items = NULL };
}
