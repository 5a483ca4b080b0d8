/* SPDX-License-Identifier: ISC */
#include "session/params.h"

#include <ctype.h>
#include <pthread.h>

#include "base/mem.h"
#include "base/rng.h"

#define N_BUCKETS 1024u

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

/* The strings lie in one buffer that may move: re-anchor those that point into it. */
static const char *keep(struct param_list *list, const char *s)
{
	size_t need = strlen(s) + 1, at = list->text.len;
	const char *old = list->text.data, *old_end = old + list->text.len;
	unsigned i;

	strbuf_reserve(&list->text, need);
	for (i = 0; i < list->n && old != list->text.data; i++) {
		struct param *item = &list->items[i];

		if (item->name >= old && item->name < old_end)
			item->name = list->text.data + (item->name - old);
		if (item->value >= old && item->value < old_end)
			item->value = list->text.data + (item->value - old);
	}
	strbuf_add(&list->text, s, need);
	return list->text.data + at;
}

bool param_list_set(struct param_list *list, const char *name, const char *value)
{
	unsigned at;

	for (at = 0; at < list->n; at++) {
		int order = strcasecmp(list->items[at].name, name);

		if (order < 0)
			continue;
		if (order > 0)
			break;
		if (value == NULL) {
			memmove(&list->items[at], &list->items[at + 1],
				(list->n - at - 1) * sizeof(list->items[0]));
			list->n--;
			return true;
		}
		if (strlen(value) > PARAMS_VALUE_MAX_BYTES)
			return false;
		value = keep(list, value);
		list->items[at].value = value;
		return true;
	}
	if (value == NULL)
		return true;
	if (list->n == PARAMS_MAX || strlen(value) > PARAMS_VALUE_MAX_BYTES ||
		strlen(name) > PARAMS_VALUE_MAX_BYTES)
		return false;
	name = keep(list, name);
	{
		size_t name_at = (size_t)(name - list->text.data);

		value = keep(list, value);
		name = list->text.data + name_at;
	}
	memmove(&list->items[at + 1], &list->items[at], (list->n - at) * sizeof(list->items[0]));
	list->items[at] = (struct param){name, value};
	list->n++;
	return true;
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
		*n_text_r += n_name + n_value;
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
			strcmp(set->items[i].value, list->items[i].value) != 0)
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

const char *param_set_get(const struct param_set *set, const char *name)
{
	unsigned i;

	for (i = 0; set && i < set->n; i++)
		if (strcasecmp(set->items[i].name, name) == 0)
			return set->items[i].value;
	return NULL;
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

static void add_set(struct strbuf *sql, const struct param *param)
{
	/* set_config() takes the value as a startup packet gives it; SET would read a list of
	 * identifiers as one. */
	strbuf_adds(sql, "SELECT pg_catalog.set_config(");
	strbuf_add_literal(sql, param->name);
	strbuf_adds(sql, ",");
	strbuf_add_literal(sql, param->value);
	strbuf_adds(sql, ",false);");
}

static void add_reset(struct strbuf *sql, const char *name)
{
	strbuf_adds(sql, "RESET ");
	strbuf_add_ident(sql, name);
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
		struct param param = {identities[i], param_set_get(set, identities[i])};

		if (param.value == NULL)
			continue;
		if (reset)
			add_reset(sql, param.name);
		else
			add_set(sql, &param);
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
			add_reset(sql, from->items[i].name);
		} else if (order > 0 || strcmp(from->items[i].value, to->items[j].value) != 0) {
			add_set(sql, &to->items[j]);
		}
		i += order <= 0;
		j += order >= 0;
	}
	add_identities(to, false, sql);
}
