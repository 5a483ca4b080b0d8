/* SPDX-License-Identifier: ISC */
/*
 * What tests/lint/check_config_keys.py asks of the table of keys: `example` and `manual` print the
 * generated documents, `fields` one line for each key: scope, key, field, "accepted" or "used".
 */
#include <stdio.h>

#include "config/schema.h"

static void print_fields(void)
{
	static const char *const scopes[] = { "main", "database", "user", "peer", "lane", "entity",
		"collection" };

	for (unsigned scope = 0; scope < N_ELEMENTS(scopes); scope++) {
		const struct schema *schema = schema_of((enum schema_scope)scope);

		for (unsigned i = 0; i < schema->n_rows; i++) {
			const struct schema_row *row = &schema->rows[i];

			printf("%s\t%s\t%s\t%s\n", scopes[scope], row->key,
				row->field ? row->field : "",
				row->flags & SCHEMA_ACCEPTED ? "accepted" : "used");
		}
	}
}

int main(int argc, char **argv)
{
	struct strbuf out = STRBUF_INIT;

	if (argc == 2 && strcmp(argv[1], "fields") == 0) {
		print_fields();
	} else if (argc == 2 && strcmp(argv[1], "example") == 0) {
		config_write_example(&out);
	} else if (argc == 2 && strcmp(argv[1], "manual") == 0) {
		config_write_manual(&out);
	} else {
		fprintf(stderr, "usage: schema_dump example|manual|fields\n");
		return 2;
	}
	fputs(out.data, stdout);
	strbuf_release(&out);
	return 0;
}
