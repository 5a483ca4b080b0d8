/* SPDX-License-Identifier: ISC */
/*
 * First packets: what is built is parsed back; a packet with one byte changed, or cut, never gets
 * more out of the parser than what lies inside of it, and a cut never changes the verdict.
 */
#include "pgw/startup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "property/wire/seed.h"

#define N_ROUNDS 3000
#define MAX_PARAMS 12
#define MAX_TEXT 24

struct texts {
	char name[MAX_PARAMS][MAX_TEXT];
	char value[MAX_PARAMS][MAX_TEXT];
	struct pgw_param params[MAX_PARAMS];
	size_t n;
};

static void random_text(char text[static MAX_TEXT], size_t min)
{
	size_t n = min + seed_below(MAX_TEXT - min);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)(1 + seed_below(255));
	text[n] = '\0';
}

static void random_params(struct texts *t)
{
	t->n = seed_below(MAX_PARAMS + 1);
	for (size_t i = 0; i < t->n; i++) {
		random_text(t->name[i], 1);
		random_text(t->value[i], 0);
		t->params[i] = (struct pgw_param){ t->name[i], t->value[i] };
	}
}

static size_t build_random(uint8_t *buf, size_t cap, struct texts *t, uint32_t *protocol_r)
{
	struct pgw_writer w = pgw_writer_on(buf, cap);

	*protocol_r = PGW_PROTOCOL(3, seed_below(65536));
	random_params(t);
	pgw_build_startup(&w, *protocol_r, t->params, t->n);
	assert_int_equal(w.err, PGW_OK);
	return w.len;
}

static void packets_are_parsed_back(void **state)
{
	uint8_t buf[1024];
	struct texts t;

	for (int round = 0; round < N_ROUNDS; round++) {
		struct pgw_startup s;
		uint32_t protocol;
		size_t n = build_random(buf, sizeof(buf), &t, &protocol);

		assert_int_equal(pgw_startup_parse(buf, n, &s), PGW_OK);
		assert_int_equal(s.kind, PGW_STARTUP_MESSAGE);
		assert_int_equal(s.protocol, protocol);
		assert_int_equal(s.n_bytes, n);
		assert_int_equal(s.n_params, t.n);
		for (size_t i = 0; i < t.n; i++) {
			assert_string_equal(s.params[i].name, t.name[i]);
			assert_string_equal(s.params[i].value, t.value[i]);
		}
	}
}

static void assert_inside(const struct pgw_startup *s, const uint8_t *bytes, size_t n)
{
	const char *begin = (const char *)bytes;

	assert_true(s->n_bytes <= n);
	for (uint32_t i = 0; i < s->n_params; i++) {
		const struct pgw_param *p = &s->params[i];

		assert_true(p->name >= begin && p->name + strlen(p->name) < begin + s->n_bytes);
		assert_true(p->value >= begin && p->value + strlen(p->value) < begin + s->n_bytes);
	}
}

static void damage_stays_inside_and_cuts_change_nothing(void **state)
{
	struct texts t;

	for (int round = 0; round < N_ROUNDS; round++) {
		uint8_t buf[1024];
		struct pgw_startup s, part;
		uint32_t protocol;
		size_t n = build_random(buf, sizeof(buf), &t, &protocol);
		size_t cut = seed_below(n);
		enum pgw_err err, early;
		uint8_t *bytes = malloc(n);

		assert_non_null(bytes);
		memcpy(bytes, buf, n);
		bytes[seed_below(n)] = (uint8_t)seed_next();
		err = pgw_startup_parse(bytes, n, &s);
		if (err == PGW_OK)
			assert_inside(&s, bytes, n);
		early = pgw_startup_parse(bytes, cut, &part);
		assert_true(early == PGW_MORE || early == err);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_parsed_back),
		cmocka_unit_test(damage_stays_inside_and_cuts_change_nothing),
	};

	seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
