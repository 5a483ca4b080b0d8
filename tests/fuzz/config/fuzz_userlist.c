/* SPDX-License-Identifier: ISC */
/* An auth_file. What is read, written again in its own form, reads as the same. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "config/userlist.h"

struct list {
	struct config_secret *items;
	unsigned n;
};

static struct list parse(const char *text, size_t n, unsigned *n_problems)
{
	struct list list = { NULL, 0 };
	struct config_problems problems = { .items = NULL };

	userlist_parse("f.txt", text, n, &list.items, &list.n, &problems);
	*n_problems = problems.n;
	config_problems_release(&problems);
	return list;
}

static void list_release(struct list *list)
{
	for (unsigned i = 0; i < list->n; i++) {
		mem_free(list->items[i].user);
		mem_free(list->items[i].secret);
	}
	mem_free(list->items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct strbuf again = STRBUF_INIT;
	unsigned n_problems;
	struct list list = parse((const char *)data, n, &n_problems), same;

	for (unsigned i = 0; i < list.n; i++) {
		FUZZ_CHECK(list.items[i].user[0] &&
			   strlen(list.items[i].user) <= USERLIST_USER_MAX_BYTES);
		FUZZ_CHECK(strlen(list.items[i].secret) <= USERLIST_SECRET_MAX_BYTES);
		strbuf_add_ident(&again, list.items[i].user);
		strbuf_addc(&again, ' ');
		strbuf_add_ident(&again, list.items[i].secret);
		strbuf_addc(&again, '\n');
	}
	same = parse(again.data, again.len, &n_problems);
	FUZZ_CHECK(n_problems == 0 && same.n == list.n);
	for (unsigned i = 0; i < list.n; i++) {
		FUZZ_CHECK(strcmp(same.items[i].user, list.items[i].user) == 0);
		FUZZ_CHECK(strcmp(same.items[i].secret, list.items[i].secret) == 0);
	}
	list_release(&list);
	list_release(&same);
	strbuf_release(&again);
	return 0;
}
