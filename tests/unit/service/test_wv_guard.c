/* SPDX-License-Identifier: ISC */
/* Which objects pass, before and after the classes of a server were looked at. The server is libevent's, on the same loop. */
#include "service/wv_guard.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/load.h"

#define THING "{\"class\": \"Thing\", \"vectorizer\": \"none\", \"properties\": [{\"name\": \"a\", \"dataType\": [\"uuid\"]}]}"

struct test {
	struct loop loop;
	struct evhttp *server;
	struct http *http;
	struct wv_guard *guard;
	struct config *config;
	char directory[40];
	uint16_t port;
	int status;
	const char *body;
	unsigned n_asked, n_looked;
};

static void on_request(struct evhttp_request *request, void *arg)
{
	struct test *test = arg;
	struct evbuffer *body = evbuffer_new();

	assert_string_equal(evhttp_request_get_uri(request), "/v1/schema");
	test->n_asked++;
	evbuffer_add(body, test->body, strlen(test->body));
	evhttp_send_reply(request, test->status, "", body);
	evbuffer_free(body);
}

static void on_looked(void *arg)
{
	struct test *test = arg;

	test->n_looked++;
	loop_stop(&test->loop);
}

static void write_class(const struct test *test, const char *text)
{
	char *path = mem_printf("%s/Thing.json", test->directory);
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	mem_free(path);
}

/* Everything is configured, apart from the server's address when there is none. */
static void load(struct test *test, bool has_url)
{
	struct config_problems problems = { 0 };
	char *url = has_url ? mem_printf("weaviate_url = http://127.0.0.1:%u\n", test->port) : mem_strdup("");
	char *text = mem_printf("[pglane]\n%sweaviate_classes = %s\noutbox_database = box\n[databases]\nbox = host=/tmp\n", url, test->directory);

	config_unref(&test->config);
	test->config = config_load_text("test.ini", text, strlen(text), &problems);
	assert_non_null(test->config);
	config_problems_release(&problems);
	mem_free(text);
	mem_free(url);
}

static int setup(void **state)
{
	struct test *test = mem_zalloc(sizeof(*test));

	(void)snprintf(test->directory, sizeof(test->directory), "/tmp/pglane-guard-XXXXXX");
	assert_non_null(mkdtemp(test->directory));
	loop_init(&test->loop);
	test->server = evhttp_new(test->loop.base);
	struct evhttp_bound_socket *socket = evhttp_bind_socket_with_handle(test->server, "127.0.0.1", 0);
	struct sockaddr_in address;
	socklen_t n = sizeof(address);
	assert_int_equal(getsockname(evhttp_bound_socket_get_fd(socket), (struct sockaddr *)&address, &n), 0);
	test->port = ntohs(address.sin_port);
	evhttp_set_gencb(test->server, on_request, test);
	test->http = http_new(&test->loop);
	test->guard = wv_guard_new(&test->loop, test->http, on_looked, test);
	test->status = 200;
	test->body = "{\"classes\": [" THING "]}";
	write_class(test, THING);
	load(test, true);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;
	char *path = mem_printf("%s/Thing.json", test->directory);

	wv_guard_free(&test->guard);
	http_free(&test->http);
	evhttp_free(test->server);
	loop_release(&test->loop);
	config_unref(&test->config);
	unlink(path);
	rmdir(test->directory);
	mem_free(path);
	mem_free(test);
	return 0;
}

/* Until it has looked. */
static void run(struct test *test)
{
	test->loop.stopping = false;
	loop_run(&test->loop);
}

static void change_and_look(struct test *test)
{
	wv_guard_change(test->guard, test->config);
	assert_false(wv_guard_has_looked(test->guard));
	run(test);
	assert_true(wv_guard_has_looked(test->guard));
}

static void a_class_as_it_should_be_passes(void **state)
{
	struct test *test = *state;

	change_and_look(test);
	assert_null(wv_guard_objection(test->guard, "Thing"));
	assert_null(wv_guard_objection(test->guard, "Unknown"));
	assert_int_equal(test->n_asked, 1);
}

static void a_missing_class_does_not_until_it_is_there(void **state)
{
	struct test *test = *state;

	test->body = "{\"classes\": []}";
	change_and_look(test);
	assert_string_equal(wv_guard_objection(test->guard, "Thing"), "Thing: the class is missing");
	assert_null(wv_guard_objection(test->guard, "Unknown"));
	test->body = "{\"classes\": [" THING "]}";
	run(test); /* it asks by itself */
	assert_null(wv_guard_objection(test->guard, "Thing"));
	assert_int_equal(test->n_asked, 2);
}

static void the_configuration_says_who_has_tenants(void **state)
{
	struct test *test = *state;
	struct config_collection collection = { .name = (char[]){ "Thing" }, .organization = ORGANIZATION_TENANT };

	test->config->collections = mem_dup(&collection, sizeof(collection));
	test->config->collections->name = mem_strdup("Thing");
	test->config->n_collections = 1;
	change_and_look(test);
	assert_string_equal(wv_guard_objection(test->guard, "Thing"), "Thing: it is made without tenants, wanted is for tenants");
}

static void what_was_known_holds_while_the_server_makes_no_sense(void **state)
{
	struct test *test = *state;

	test->body = "{\"classes\": []}";
	change_and_look(test);
	test->body = "<html>";
	wv_guard_look(test->guard);
	assert_false(wv_guard_has_looked(test->guard));
	run(test);
	assert_true(wv_guard_has_looked(test->guard));
	assert_non_null(wv_guard_objection(test->guard, "Thing"));
}

static void who_may_not_read_the_schema_passes(void **state)
{
	struct test *test = *state;

	test->status = 403;
	change_and_look(test);
	assert_null(wv_guard_objection(test->guard, "Thing"));
}

static void without_files_or_an_address_nothing_is_asked(void **state)
{
	struct test *test = *state;

	write_class(test, "{");
	wv_guard_change(test->guard, test->config);
	assert_true(wv_guard_has_looked(test->guard));
	assert_null(wv_guard_objection(test->guard, "Thing"));
	write_class(test, THING);
	load(test, false);
	wv_guard_change(test->guard, test->config);
	assert_true(wv_guard_has_looked(test->guard));
	assert_int_equal(test->n_asked, 0);
}

static void it_may_end_amid_a_question(void **state)
{
	struct test *test = *state;

	wv_guard_change(test->guard, test->config);
	wv_guard_change(test->guard, test->config);
	wv_guard_look(test->guard);
	wv_guard_free(&test->guard);
	assert_null(test->guard);
	assert_int_equal(test->n_looked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_class_as_it_should_be_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_class_does_not_until_it_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(the_configuration_says_who_has_tenants, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_known_holds_while_the_server_makes_no_sense, setup, teardown),
		cmocka_unit_test_setup_teardown(who_may_not_read_the_schema_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(without_files_or_an_address_nothing_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(it_may_end_amid_a_question, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
