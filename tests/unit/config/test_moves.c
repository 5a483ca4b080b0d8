/* SPDX-License-Identifier: ISC */
#include "config/moves.h"

#include "config/snapshot.h"
#include "unit/config/config_test.h"

/* "lane>spill_lane:below" and "lane@ms>hop_lane" of each lane that has one. */
static void expect(const char *text, const char *expected)
{
	struct config *config = load_ok(text);
	struct strbuf out = STRBUF_INIT;

	for (unsigned i = 0; i < config->n_lanes; i++) {
		const struct config_lane *lane = &config->lanes[i];

		assert_int_equal(lane->spill_below > 0, lane->spill != NULL);
		assert_int_equal(lane->hop_lane >= 0, lane->hop_after_us > 0);
		if (lane->spill_below)
			strbuf_addf(&out, "%s>%s:%u; ", lane->name,
				config->lanes[lane->spill_lane].name, lane->spill_below);
		if (lane->hop_lane >= 0)
			strbuf_addf(&out, "%s@%u>%s; ", lane->name,
				(unsigned)(lane->hop_after_us / 1000),
				config->lanes[lane->hop_lane].name);
	}
	assert_string_equal(out.data ? out.data : "", expected);
	strbuf_release(&out);
	config_unref(&config);
}

static void ml_spills_by_default_where_it_can(void **state)
{
	expect("", "ml>default:100; ");
	expect("[lane:ml]\nmax_waiting = 5\n", "ml>default:100; ");
	expect("[lane:ml]\nspill =\n", "");
	expect("[pglane]\nbudget = 160\n[lane:default]\npermits = 100\n", "ml>default:100; ");
	/* Nobody wrote it, so it is in nobody's way. */
	expect("[pglane]\nbudget = 159\n[lane:default]\npermits = 99\n", "");
	expect("[lane:ml]\npermits = 0\n[lane:fast]\npermits=30\nclasses=serving,hybrid\n", "");
	/* PgBouncer has no lanes that could help each other out. */
	expect("[pgbouncer]\n", "");
	expect("[pgbouncer]\n[lane:ml]\nspill = default:100\n", "ml>default:100; ");
}

static void names_become_lanes(void **state)
{
	expect("[lane:vector]\nspill = training:10\nhop_after = 2500ms\nhop_to = training\n",
		"ml>default:100; vector>training:10; vector@2500>training; ");
	/* Two lanes may help each other out. */
	expect("[lane:vector]\nspill = ml:5\n[lane:ml]\nspill = vector:5\n",
		"ml>vector:5; vector>ml:5; ");
	expect("[lane:vector]\nhop_after = 1\nhop_to = ml\n[lane:ml]\nhop_after = 2\nhop_to = training\n",
		"ml>default:100; ml@2000>training; vector@1000>ml; ");
}

static void mistakes_of_spill(void **state)
{
	load_bad("[lane:ml]\nspill = default\n",
		"t.ini:2: [lane:ml] spill: \"default\" is not valid; expected LANE:BELOW, such as default:100");
	load_bad("[lane:ml]\nspill = default:0\n",
		"t.ini:2: [lane:ml] spill: \"default:0\" is not valid; expected LANE:BELOW");
	load_bad("[lane:ml]\nspill = default:1x\n",
		"t.ini:2: [lane:ml] spill: \"default:1x\" is not valid; expected LANE:BELOW");
	load_bad("[lane:ml]\nspill = :5\n",
		"t.ini:2: [lane:ml] spill: \":5\" is not valid; expected LANE:BELOW");
	load_bad("[lane:ml]\nspill = defualt:5\n",
		"t.ini:2: [lane:ml] spill: there is no lane \"defualt\"; expected the name of one");
	load_bad("[lane:ml]\nspill = ml:5\n",
		"t.ini:2: [lane:ml] spill: \"ml\" is this lane itself; expected another one");
	load_bad("[lane:ml]\nspill = priority:5\n",
		"t.ini:2: [lane:ml] spill: lane priority is urgent and for priorities 8 to 10 only; expected another one");
	load_bad("[lane:priority]\nspill = ml:5\n",
		"t.ini:2: [lane:priority] spill: lane priority is urgent: the lane of a statement that it helps out decides where that may go; remove the line");
	load_bad("[lane:ml]\nspill = default:121\n",
		"t.ini:2: [lane:ml] spill: lane default has 120 permits, so 121 is more than can be in use; expected 1 to 120");
}

static void mistakes_of_hop(void **state)
{
	load_bad("[lane:vector]\nhop_after = 2\n",
		"t.ini:2: [lane:vector] hop_after: hop_after and hop_to belong together; set hop_to, too");
	load_bad("[lane:vector]\nhop_to = training\n",
		"t.ini:2: [lane:vector] hop_to: hop_after and hop_to belong together; set hop_after, too");
	load_bad("[lane:vector]\nhop_after = 2\nhop_to = slow\n",
		"t.ini:3: [lane:vector] hop_to: there is no lane \"slow\"; expected the name of one");
	load_bad("[lane:vector]\nhop_after = 2\nhop_to = vector\n",
		"t.ini:3: [lane:vector] hop_to: \"vector\" is this lane itself; expected another one");
	load_bad("[lane:vector]\nhop_after = 5\nhop_to = training\n",
		"t.ini:2: [lane:vector] hop_after: no statement of lane vector runs that long: its statement_timeout is 5000 ms; make hop_after shorter");
	load_bad("[lane:training]\nhop_after = 10\nhop_to = vector\n",
		"t.ini:2: [lane:training] hop_after: in lane vector the statement would be cancelled at once: its statement_timeout is 5000 ms, from the statement's start; make hop_after shorter");
	load_bad("[lane:vector]\nhop_after = 1\nhop_to = ml\n[lane:ml]\nhop_after = 1\nhop_to = vector\n",
		"t.ini:6: [lane:ml] hop_to: from lane vector statements would hop back to lane ml; let the last lane of the way have no hop_to");
}

static void a_copy_keeps_them(void **state)
{
	struct config *config = load_ok("[lane:vector]\nhop_after = 1\nhop_to = training\n");
	struct config *copy = snapshot_copy(config);

	assert_int_equal(copy->lanes[1].spill_below, 100);
	assert_int_equal(copy->lanes[1].spill_lane, 0);
	assert_string_equal(copy->lanes[1].spill, "default:100");
	assert_int_equal(copy->lanes[2].hop_lane, 3);
	assert_int_equal(copy->lanes[0].hop_lane, -1);
	config_unref(&copy);
	config_unref(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ml_spills_by_default_where_it_can),
		cmocka_unit_test(names_become_lanes),
		cmocka_unit_test(mistakes_of_spill),
		cmocka_unit_test(mistakes_of_hop),
		cmocka_unit_test(a_copy_keeps_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
