/* SPDX-License-Identifier: ISC */
/*
 * An answer to a batch. First byte: how many objects (its low two bits) and how the transfer ended; two bytes of status; the body. Nothing may be
 * taken for stored unless the body says SUCCESS as often, and no object hears of what is about the whole request.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "service/wv_answer.h"
#include "service/wv_batch.h"

static unsigned count_of(const char *text, size_t n, const char *piece)
{
	unsigned count = 0;
	const char *at = text;

	while ((at = memmem(at, (size_t)(text + n - at), piece, strlen(piece))) != NULL) {
		at += strlen(piece);
		count++;
	}
	return count;
}

static void check_text(const struct wv_verdict *verdict)
{
	FUZZ_CHECK(memchr(verdict->text, '\0', sizeof(verdict->text)) != NULL);
	FUZZ_CHECK((verdict->outcome == WV_DONE) == (verdict->text[0] == '\0'));
	for (const char *at = verdict->text; *at; at++)
		FUZZ_CHECK(*at >= ' ' && *at <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	static const char *const ids[] = { "6f1c1c1e-0000-4000-8000-0000000000e1", "6f1c1c1e-0000-4000-8000-0000000000e2",
		"6f1c1c1e-0000-4000-8000-0000000000e3", "6f1c1c1e-0000-4000-8000-0000000000e4" };
	struct http_answer answer = { .error = "it is over" };
	struct wv_verdict verdicts[4], whole;
	unsigned n, i, n_done = 0;
	const char *why = NULL;
	char *body;

	if (n_data < 3)
		return 0;
	n = (data[0] & 3u) + 1;
	answer.result = (enum http_result)(data[0] >> 2 & 3u);
	answer.status = data[1] < 128 ? 200 : (data[1] << 8 | data[2]) % 600u;
	body = mem_strndup((const char *)data + 3, n_data - 3);
	answer.body = body;
	answer.n_body = strlen(body);
	whole = wv_read_batch(&answer, n, ids, verdicts);
	check_text(&whole);
	FUZZ_CHECK(n > 1 || whole.outcome != WV_SPLIT);
	if (whole.outcome == WV_DONE) {
		FUZZ_CHECK(answer.result == HTTP_ANSWERED && answer.status / 100 == 2);
		for (i = 0; i < n; i++) {
			check_text(&verdicts[i]);
			FUZZ_CHECK(verdicts[i].outcome == WV_DONE || verdicts[i].outcome == WV_RETRY || verdicts[i].outcome == WV_PARK);
			n_done += verdicts[i].outcome == WV_DONE;
		}
		/* Escapes could spell it otherwise; nobody does. */
		FUZZ_CHECK(n_done == 0 || strchr(body, '\\') || count_of(body, answer.n_body, "SUCCESS") >= n_done);
	}
	whole = wv_read_delete(&answer);
	check_text(&whole);
	if (wv_vector_dimensions(body, &why) > 0)
		FUZZ_CHECK(memchr(body, '[', answer.n_body) && !strpbrk(body, "\"{}nN"));
	else
		FUZZ_CHECK(why != NULL);
	mem_free(body);
	return 0;
}
