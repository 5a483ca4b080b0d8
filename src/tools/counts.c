/* SPDX-License-Identifier: ISC */
#include "tools/counts.h"

#include <inttypes.h>

void counts_read(struct counts *counts, struct rest *rest)
{
	counts->json = rest_get(rest, "/v1/nodes?output=verbose", NULL);
}

void counts_release(struct counts *counts)
{
	cJSON_Delete(counts->json);
	counts->json = NULL;
}

bool counts_of(const struct counts *counts, const char *class, uint64_t *n_r)
{
	const cJSON *node, *shard;

	*n_r = 0;
	cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(counts->json, "nodes")) {
		cJSON_ArrayForEach(shard, cJSON_GetObjectItemCaseSensitive(node, "shards")) {
			const char *of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(shard, "class"));
			const cJSON *n = cJSON_GetObjectItemCaseSensitive(shard, "objectCount");
			if (of != NULL && strcmp(of, class) == 0 && cJSON_IsNumber(n) && n->valuedouble > 0)
				*n_r += (uint64_t)n->valuedouble;
		}
	}
	return counts->json != NULL;
}

const char *counts_text(const struct counts *counts, const char *class, char text[static COUNT_TEXT_BYTES])
{
	uint64_t n;

	if (counts_of(counts, class, &n))
		(void)snprintf(text, COUNT_TEXT_BYTES, "%" PRIu64, n);
	else
		(void)snprintf(text, COUNT_TEXT_BYTES, "?");
	return text;
}
