/* SPDX-License-Identifier: ISC */
#include "session/params.h"

#include <ctype.h>
#include <pthread.h>

#include "base/mem.h"
#include "base/rng.h"

#define N_BUCKETS 1024u
#define ENCODING_BYTES 64u /* PostgreSQL's longest name has 14 */

/* Guards the buckets and the fall of counts to zero. */
static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct param_set *buckets[N_BUCKETS];

/* GUC_REPORT parameters with PGC_INTERNAL context, or that follow from others (PostgreSQL guc.c).
 */
static const char *const server_facts[] = {"server_version", "server_encoding", "is_superuser",
	"session_authorization", "integer_datetimes", "in_hot_standby"};

bool param_is_server_fact(const char *name)
{
	unsigned i;

	for (i = 0; i < N_ELEMENTS(server_facts); i++)
		if (strcasecmp(name, server_facts[i]) == 0)
			return true;
	return false;
}

void param_list_init(struct param_list *list, const struct param_set *from)
{
	unsigned i;

	list->n = 0;
	strbuf_init(&list->text);
	/* The borrowed strings live as long as `from`, whose reference the caller holds. */
	for (i = 0; from && i < from->n; i++)
		list->items[list->n++] = from->items[i];
}

void param_list_release(struct param_list *list)
{
	strbuf_release(&list->text);
	list->n = 0;
}

/* What points into the list's buffer, which was `old`, does so still. */
static const char *moved(const struct param_list *list, const char *s, const char *old, size_t n_old)
{
	return s && s >= old && s < old + n_old ? list->text.data + (s - old) : s;
}

/* The strings lie in one buffer that may move. Returns where `s` was put. */
static size_t keep(struct param_list *list, const char *s)
{
	size_t n = strlen(s) + 1, at = list->text.len;
	const char *old = list->text.data;
	unsigned i;

	strbuf_reserve(&list->text, n);
	for (i = 0; i < list->n && old != list->text.data; i++) {
		struct param *item = &list->items[i];

		item->name = moved(list, item->name, old, at);
		item->value = moved(list, item->value, old, at);
		item->encoding = moved(list, item->encoding, old, at);
	}
	strbuf_add(&list->text, s, n);
	return at;
}

bool param_is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/* Where it is (true), or would be. */
static bool find(const struct param_list *list, const char *name, unsigned *at_r)
{
	int order = 1;
	unsigned at;

	for (at = 0; at < list->n && (order = strcasecmp(list->items[at].name, name)) < 0; at++)
		;
	*at_r = at;
	return at < list->n && order == 0;
}

bool param_list_set_in(struct param_list *list, const char *name, const char *value, const char *encoding)
{
	size_t name_at, value_at, encoding_at = 0;
	bool is_there, has_encoding;
	unsigned at;

	is_there = find(list, name, &at);
	if (value == NULL) {
		list->n -= is_there;
		if (is_there)
			memmove(&list->items[at], &list->items[at + 1], (list->n - at) * sizeof(list->items[0]));
		return true;
	}
	if ((!is_there && list->n == PARAMS_MAX) || strlen(value) > PARAMS_VALUE_MAX_BYTES ||
		strlen(name) > PARAMS_VALUE_MAX_BYTES)
		return false;
	has_encoding = encoding && !(param_is_ascii(name) && param_is_ascii(value));
	name_at = is_there ? 0 : keep(list, name);
	value_at = keep(list, value);
	if (has_encoding)
		encoding_at = keep(list, encoding);
	if (!is_there) {
		memmove(&list->items[at + 1], &list->items[at], (list->n - at) * sizeof(list->items[0]));
		list->items[at].name = list->text.data + name_at;
		list->n++;
	}
	list->items[at].value = list->text.data + value_at;
	list->items[at].encoding = has_encoding ? list->text.data + encoding_at : NULL;
	return true;
}

bool param_list_set(struct param_list *list, const char *name, const char *value)
{
	char encoding[ENCODING_BYTES];
	unsigned at;

	if (value == NULL || LIKELY(param_is_ascii(value) && param_is_ascii(name)) || !find(list, "client_encoding", &at))
		return param_list_set_in(list, name, value, NULL);
	(void)snprintf(encoding, sizeof(encoding), "%s", list->items[at].value); /* the buffer may move */
	return param_list_set_in(list, name, value, encoding);
}

static size_t encoding_bytes(const struct param *param)
{
	return param->encoding ? strlen(param->encoding) + 1 : 0;
}

static bool is_same_encoding(const struct param *a, const struct param *b)
{
	return a->encoding == b->encoding || (a->encoding && b->encoding && strcmp(a->encoding, b->encoding) == 0);
}

static struct pgw_hash128 hash_of(const struct param_list *list, size_t *n_text_r)
{
	struct pgw_hash128 hash = {0, 0};
	unsigned i;

	*n_text_r = 0;
	for (i = 0; i < list->n; i++) {
		size_t n_name = strlen(list->items[i].name) + 1,
		       n_value = strlen(list->items[i].value) + 1;

		hash = pgw_hash128_more(hash, list->items[i].name, n_name);
		hash = pgw_hash128_more(hash, list->items[i].value, n_value);
		if (UNLIKELY(list->items[i].encoding != NULL))
			hash = pgw_hash128_more(hash, list->items[i].encoding, encoding_bytes(&list->items[i]));
		*n_text_r += n_name + n_value + encoding_bytes(&list->items[i]);
	}
	return hash;
}

static bool is_same(const struct param_set *set, const struct param_list *list)
{
	unsigned i;

	if (set->n != list->n)
		return false;
	for (i = 0; i < set->n; i++)
		if (strcmp(set->items[i].name, list->items[i].name) != 0 ||
			strcmp(set->items[i].value, list->items[i].value) != 0 ||
			!is_same_encoding(&set->items[i], &list->items[i]))
			return false;
	return true;
}

/* What no constant, name or type of a statement depends on, and what differs between clients that share all else. */
static bool is_without_meaning(const char *name)
{
	static const char *const names[] = {"application_name", "pglane.class", "statement_timeout", "lock_timeout",
		"idle_in_transaction_session_timeout", "idle_session_timeout", "default_transaction_isolation",
		"default_transaction_read_only", "default_transaction_deferrable", "synchronous_commit"};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Nobody may be able to work out settings that mean the same as another's: it begins with a secret. */
static struct pgw_hash128 secret;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void make_secret(void)
{
	rng_bytes(&secret, sizeof(secret));
}

static struct pgw_hash128 meaning_of(const struct param_set *set)
{
	struct pgw_hash128 meaning;
	unsigned i;

	MUST(pthread_once(&secret_once, make_secret) == 0);
	meaning = secret;
	for (i = 0; i < set->n; i++) {
		const struct param *item = &set->items[i];

		if (is_without_meaning(item->name))
			continue;
		meaning = pgw_hash128_more(meaning, item->name, strlen(item->name));
		meaning = pgw_hash128_more(meaning, item->value, strlen(item->value));
		if (UNLIKELY(item->encoding != NULL))
			meaning = pgw_hash128_more(meaning, item->encoding, strlen(item->encoding));
	}
	return meaning;
}

static struct param_set *build(
	const struct param_list *list, struct pgw_hash128 hash, size_t n_text)
{
	struct param_set *set = mem_alloc(sizeof(*set) + list->n * sizeof(set->items[0]) + n_text);
	char *text = (char *)&set->items[list->n];
	unsigned i;

	set->hash = hash;
	set->application_name = "";
	set->class_name = NULL;
	set->backslash_escapes = false;
	set->refs = 1;
	set->n = list->n;
	for (i = 0; i < list->n; i++) {
		size_t n_name = strlen(list->items[i].name) + 1,
		       n_value = strlen(list->items[i].value) + 1;

		set->items[i].name = memcpy(text, list->items[i].name, n_name);
		text += n_name;
		set->items[i].value = memcpy(text, list->items[i].value, n_value);
		text += n_value;
		set->items[i].encoding = NULL;
		if (UNLIKELY(list->items[i].encoding != NULL)) {
			set->items[i].encoding = memcpy(text, list->items[i].encoding, encoding_bytes(&list->items[i]));
			text += encoding_bytes(&list->items[i]);
		}
		if (strcasecmp(set->items[i].name, "application_name") == 0)
			set->application_name = set->items[i].value;
		else if (strcasecmp(set->items[i].name, "pglane.class") == 0)
			set->class_name = set->items[i].value;
		else if (strcasecmp(set->items[i].name, "standard_conforming_strings") == 0)
			set->backslash_escapes = strcasecmp(set->items[i].value, "off") == 0;
	}
	set->meaning = meaning_of(set);
	return set;
}

struct param_set *param_set_intern(const struct param_list *list)
{
	size_t n_text;
	struct pgw_hash128 hash = hash_of(list, &n_text);
	struct param_set **bucket = &buckets[hash.lo % N_BUCKETS], *set;

	pthread_mutex_lock(&table_mutex);
	for (set = *bucket; set; set = set->next)
		if (set->hash.lo == hash.lo && set->hash.hi == hash.hi && is_same(set, list))
			break;
	if (set) {
		__atomic_add_fetch(&set->refs, 1, __ATOMIC_RELAXED);
	} else {
		set = build(list, hash, n_text);
		set->next = *bucket;
		*bucket = set;
	}
	pthread_mutex_unlock(&table_mutex);
	return set;
}

struct param_set *param_set_ref(struct param_set *set)
{
	if (set)
		__atomic_add_fetch(&set->refs, 1, __ATOMIC_RELAXED);
	return set;
}

void param_set_unref(struct param_set **set_p)
{
	struct param_set *set = *set_p, **at;

	*set_p = NULL;
	if (set == NULL)
		return;
	pthread_mutex_lock(&table_mutex);
	if (__atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		for (at = &buckets[set->hash.lo % N_BUCKETS]; *at != set; at = &(*at)->next)
			;
		*at = set->next;
		mem_free(set);
	}
	pthread_mutex_unlock(&table_mutex);
}

const struct param *param_set_find(const struct param_set *set, const char *name)
{
	unsigned i;

	for (i = 0; set && i < set->n; i++)
		if (strcasecmp(set->items[i].name, name) == 0)
			return &set->items[i];
	return NULL;
}

const char *param_set_get(const struct param_set *set, const char *name)
{
	const struct param *param = param_set_find(set, name);

	return param ? param->value : NULL;
}

struct param_set *param_set_with_param(const struct param_set *set, const struct param *param)
{
	struct param_list list;
	struct param_set *result;

	param_list_init(&list, set);
	(void)!param_list_set_in(&list, param->name, param->value, param->encoding);
	result = param_set_intern(&list);
	param_list_release(&list);
	return result;
}

struct param_set *param_set_with(const struct param_set *set, const char *name, const char *value)
{
	struct param_list list;
	struct param_set *result;

	param_list_init(&list, set);
	(void)!param_list_set(&list, name, value); /* a value beyond the limits is not tracked */
	result = param_set_intern(&list);
	param_list_release(&list);
	return result;
}

/*
 * A literal; what is not ASCII by its bytes, which the server takes for what its client meant: a message is read in the client_encoding that
 * the session has when it comes, and that may be another one's.
 */
void param_add_text(struct strbuf *sql, const char *text, const char *encoding)
{
	if (LIKELY(encoding == NULL || param_is_ascii(text))) {
		strbuf_add_literal(sql, text);
		return;
	}
	strbuf_adds(sql, "pg_catalog.convert_from(pg_catalog.decode('");
	for (; *text; text++)
		strbuf_addf(sql, "%02x", (unsigned char)*text);
	strbuf_adds(sql, "','hex'),");
	strbuf_add_literal(sql, encoding);
	strbuf_adds(sql, ")");
}

void param_add_call(struct strbuf *sql, const struct param *param, bool is_local)
{
	/* set_config() takes the value as a startup packet gives it; SET would read a list of
	 * identifiers as one. */
	strbuf_adds(sql, "SELECT pg_catalog.set_config(");
	param_add_text(sql, param->name, param->encoding);
	strbuf_adds(sql, ",");
	if (param->value)
		param_add_text(sql, param->value, param->encoding);
	else
		strbuf_adds(sql, "NULL");
	strbuf_adds(sql, is_local ? ",true)" : ",false)");
	if (UNLIKELY(param->encoding != NULL)) /* the client_encoding of the moment may have no such characters to say them in */
		strbuf_adds(sql, " IS NULL");
}

static void add_set(struct strbuf *sql, const struct param *param)
{
	param_add_call(sql, param, false);
	strbuf_adds(sql, ";");
}

static void add_reset(struct strbuf *sql, const struct param *param)
{
	if (UNLIKELY(param->encoding != NULL) && !param_is_ascii(param->name)) {
		add_set(sql, &(struct param){param->name, NULL, param->encoding});
		return;
	}
	strbuf_adds(sql, "RESET ");
	strbuf_add_ident(sql, param->name);
	strbuf_adds(sql, ";");
}

/* Who the session is decides what it may set: taken back before the others are set, set after them. The role goes with the user. */
static const char *const identities[] = {"session_authorization", "role"};

static bool is_identity(const char *name)
{
	return strcasecmp(name, identities[0]) == 0 || strcasecmp(name, identities[1]) == 0;
}

static void add_identities(const struct param_set *set, bool reset, struct strbuf *sql)
{
	unsigned i;

	for (i = 0; i < N_ELEMENTS(identities); i++) {
		const struct param *param = param_set_find(set, identities[i]);

		if (param && reset)
			add_reset(sql, param);
		else if (param)
			add_set(sql, param);
	}
}

void param_set_difference(
	const struct param_set *from, const struct param_set *to, struct strbuf *sql)
{
	unsigned i = 0, j = 0, n_from = from ? from->n : 0, n_to = to ? to->n : 0;

	add_identities(from, true, sql);
	while (i < n_from || j < n_to) {
		int order = i == n_from ? 1
			    : j == n_to ? -1
					: strcasecmp(from->items[i].name, to->items[j].name);

		if (is_identity(order < 0 ? from->items[i].name : to->items[j].name)) {
			/* not here */
		} else if (order < 0) {
			add_reset(sql, &from->items[i]);
		} else if (order > 0 || strcmp(from->items[i].value, to->items[j].value) != 0 ||
			   !is_same_encoding(&from->items[i], &to->items[j])) {
			add_set(sql, &to->items[j]);
		}
		i += order <= 0;
		j += order >= 0;
	}
	add_identities(to, false, sql);
}
