/* SPDX-License-Identifier: ISC */
#include "config/lanes.h"

#include "unit/config/config_test.h"

/* "name permits classes timeout" of each lane, "*" for the urgent one. */
static void expect(const char *text, const char *expected)
{
	struct config *config = load_ok(text);
	struct strbuf out = STRBUF_INIT;
	const struct schema_row *classes = schema_find(SCHEMA_LANE, "classes");

	for (unsigned i = 0; i < config->n_lanes; i++) {
		const struct config_lane *lane = &config->lanes[i];

		strbuf_addf(&out, "%s%s %u (", lane->name, lane->urgent ? "*" : "", lane->permits);
		value_format(&classes->type, &lane->class_mask, &out);
		strbuf_addf(&out, ") %u; ", (unsigned)(lane->statement_timeout_us / 1000000));
		assert_int_equal(lane->urgent, (int)i == config->urgent_lane);
		for (unsigned class = 0; value_class_names[class]; class ++)
			if (lane->class_mask & 1u << class)
				assert_int_equal(config->lane_of_class[class], i);
	}
	assert_string_equal(out.data, expected);
	strbuf_release(&out);
	config_unref(&config);
}

#define DEFAULTS                                                                                   \
	"default 120 (default) 30; ml 30 (serving, hybrid) 30; vector 15 (vector) 5; training 10 (training) 300; priority* 5 () 0; "

static void five_lanes_by_default(void **state)
{
	struct config *config = load_ok("");

	expect("", DEFAULTS);
	/* PgBouncer ends no statement that it was not told to. */
	expect("[pgbouncer]\n", "default 120 (default) 0; ml 30 (serving, hybrid) 0; vector 15 (vector) 0; "
				"training 10 (training) 0; priority* 5 () 0; ");
	expect("[pgbouncer]\n[lane:vector]\nstatement_timeout = 7\n",
		"default 120 (default) 0; ml 30 (serving, hybrid) 0; vector 15 (vector) 7; "
		"training 10 (training) 0; priority* 5 () 0; ");
	expect("[lane:ml]\n", DEFAULTS);
	assert_int_equal(config->budget, 180);
	assert_true(config->lanes[0].queue_timeout_us == CONFIG_INHERIT_US);
	assert_int_equal(config->lanes[0].max_waiting, 0);
	config_unref(&config);
}

static void a_section_changes_only_what_it_gives(void **state)
{
	expect("[pglane]\nbudget = 181\n[lane:ml]\npermits = 31\n",
		"default 120 (default) 30; ml 31 (serving, hybrid) 30; vector 15 (vector) 5; training 10 (training) 300; priority* 5 () 0; ");
	expect("[lane:training]\nstatement_timeout = 2h\n[lane:training]\nmax_waiting = 3\nqueue_timeout=1\n",
		"default 120 (default) 30; ml 30 (serving, hybrid) 30; vector 15 (vector) 5; training 10 (training) 7200; priority* 5 () 0; ");
}

static void new_lanes_come_after_by_name(void **state)
{
	expect("[lane:zeta]\npermits=5\nclasses=serving\n[lane:alpha]\npermits=5\nclasses=hybrid\n[lane:ml]\npermits=0\n[lane:default]\npermits=140\n",
		"default 140 (default) 30; vector 15 (vector) 5; training 10 (training) 300; priority* 5 () 0; alpha 5 (hybrid) 30; zeta 5 (serving) 30; ");
}

static void one_lane_for_all(void **state)
{
	expect("[pglane]\nbudget=10\n[lane:default]\npermits=10\nclasses=default,serving,vector,hybrid,training\n[lane:ml]\npermits=0\n"
	       "[lane:vector]\npermits=0\n[lane:training]\npermits=0\n[lane:priority]\npermits=0\n",
		"default 10 (default, serving, vector, hybrid, training) 30; ");
}

static void another_urgent_lane(void **state)
{
	expect("[lane:rush]\npermits=5\nurgent=yes\n[lane:priority]\npermits=0\n",
		"default 120 (default) 30; ml 30 (serving, hybrid) 30; vector 15 (vector) 5; training 10 (training) 300; rush* 5 () 30; ");
}

static void sums_must_agree(void **state)
{
	load_bad("[pglane]\nbudget = 20\n",
		"t.ini:2: [pglane] budget: the lanes' permits add up to 180 (default 120 + ml 30 + vector 15 + training 10 + "
		"priority 5), but budget is 20; change permits or budget so that both are the same");
	load_bad("[lane:ml]\npermits = 29\n[lane:vector]\npermits=15\nmax_waiting=2\n",
		"t.ini:4: [lane:vector] permits: the lanes' permits add up to 179 (");
}

static void a_class_has_one_lane(void **state)
{
	load_bad("[lane:default]\nclasses=default,vector\n[lane:vector]\nclasses=vector\n",
		"t.ini:4: [lane:vector] classes: class vector belongs to lane default already; each class belongs to one lane");
	load_bad("[lane:ml]\nclasses=serving\n",
		"t.ini: class hybrid belongs to no lane; add it to the classes of one");
}

static void permits_and_classes_belong_together(void **state)
{
	load_bad("[lane:default]\npermits=150\n[lane:ml]\npermits=0\n",
		"t.ini:4: [lane:ml]: lane ml has classes but no permits: its statements would wait for ever; give it permits");
	load_bad("[lane:spare]\npermits=10\n[lane:default]\npermits=110\n",
		"t.ini:2: [lane:spare]: lane spare has permits but no classes: nothing could use them; give it classes, or permits = 0");
	load_bad("[lane:ml]\nurgent=1\n[lane:priority]\npermits=0\n[lane:default]\npermits=125\n",
		"t.ini:2: [lane:ml]: lane ml is urgent and has classes; an urgent lane serves those of full lanes: leave classes empty");
	load_bad("[lane:priority]\nurgent=1\n[lane:rush]\nurgent=1\n",
		"t.ini:4: [lane:rush] urgent: lane priority is urgent already; at most one lane is");
}

static void names_keys_and_numbers(void **state)
{
	char *text;
	struct strbuf many = STRBUF_INIT;

	load_bad("[lane:ML]\npermits=1\n",
		"t.ini:1: [lane:ML]: \"ML\" cannot name a lane; expected 1 to 43 lower-case letters, digits, _ and -");
	load_bad("[lane:]\n",
		"t.ini:1: [lane:]: \"\" cannot name a lane; expected 1 to 43 lower-case letters");
	load_bad("[lane:ml]\npermit=1\n",
		"t.ini:2: [lane:ml] permit: unknown key; did you mean permits?");
	load_bad("[lane:ml]\nstatement_timeout=long\n",
		"t.ini:2: [lane:ml] statement_timeout: \"long\" is not valid; expected seconds");
	load_bad("[lane:ml]\nclasses=serving,fast\n",
		"t.ini:2: [lane:ml] classes: \"fast\" is not valid; expected one of default, serving, vector, hybrid, training");
	text = mem_printf(
		"[lane:%.*s]\n", 44, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
	load_bad(text, "t.ini:1: [lane:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr]: \"abc");
	mem_free(text);
	for (unsigned i = 0; i < CONFIG_LANES_MAX - 5; i++)
		strbuf_addf(&many, "[lane:x%u]\n", i);
	config_unref(&(struct config *){ load_ok(many.data) });
	strbuf_adds(&many, "[lane:one-more]\npermits=1\n");
	load_bad(many.data, "t.ini:28: [lane:one-more]: there are too many lanes; 32 is the most");
	strbuf_release(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_lanes_by_default),
		cmocka_unit_test(a_section_changes_only_what_it_gives),
		cmocka_unit_test(new_lanes_come_after_by_name),
		cmocka_unit_test(one_lane_for_all),
		cmocka_unit_test(another_urgent_lane),
		cmocka_unit_test(sums_must_agree),
		cmocka_unit_test(a_class_has_one_lane),
		cmocka_unit_test(permits_and_classes_belong_together),
		cmocka_unit_test(names_keys_and_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
