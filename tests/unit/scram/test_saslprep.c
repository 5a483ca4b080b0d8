/* SPDX-License-Identifier: ISC */
/*
 * Passwords as bytes and the secrets PostgreSQL 15 stored for them: whatever it did to the bytes
 * (map, normalise, or leave them alone because the profile refuses them), we must have done too.
 */
#include "scram_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const struct vector {
	const char *what;
	const char *password;
	const char *secret;
} vectors[] = {
	{"plain", "pencil",
		"SCRAM-SHA-256$4096:iN/HGK7172umrdJVUHSpWA==$"
		"om31n9Fgav3wZkfglcTuPk/nY6QseEjj4bIaeae/xdE=:qUiV4CxZ7ok1vv1W4T3LtIPJotpe+wimZOQdMd3IOKU="},
	{"ascii punctuation and blank", " a \"b\"\\c,=$1",
		"SCRAM-SHA-256$4096:Ay2Ed0MMKAhDTJReEh45Mw==$"
		"p8BH9LD/Pf6MCSi96i2DQzm3narsbvRaVRgjoem4jlk=:O2zWsQRRYRHPbao17IB0uAFjwHSZyUqHWujTUXPOsR8="},
	{"space map", "I\xc2\xa0" "am",
		"SCRAM-SHA-256$4096:Is5JQ1dEqbqIKaPrKaO5dQ==$"
		"SaM9P3+0VvFFBKwb4wMYbK8gBBEuWYsLqcgLjO1Trfw=:1u1FoQ5IjUAB1//mPA+SGPyNT4vBPLkxkw6woydK5qY="},
	{"nothing map", "I\xc2\xadX",
		"SCRAM-SHA-256$4096:MfMJgPcrQKHA0nmh+C3HDg==$"
		"uxc07stJqescQHeOLUVCe1giUUCI1MP7FYh7jM9cw00=:g9a8PF2pkBf6zVi+elhPuSBZ9Zj8wtpS5BuvjtYwuSw="},
	{"roman nine", "\xe2\x85\xa8",
		"SCRAM-SHA-256$4096:fwgcuGNufN20wAsZZtBtIA==$"
		"J6hN/RV9ibq/jtsmqYEkVb1xO824yeSOIUqESJEGgRw=:r1eXk3c1lDN/VEH3MN0Yo9Jh3HfmjRAaTTyN0oO6QJg="},
	{"feminine ordinal", "\xc2\xaa",
		"SCRAM-SHA-256$4096:WrvVRwadcf6m3XuTRV5cOg==$"
		"ZN2cFRzXNgBWlHxQAyojGxS+pGvOGgzswQvE5MtM2DY=:fZ9N17VtqSIW2/2Vwew9A+LX8UdyB1AG22b9tymyick="},
	{"katakana", "\xe3\x83\x91\xe3\x82\xb9\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89",
		"SCRAM-SHA-256$4096:XTV3J6PwRxtLLrSnezvL4w==$"
		"/Kf9YmWiHc27Shkt8lI1rBQM+Jr8a7/V5Q3NG/ID2fc=:jDlnrmhNPNTaJbk711udNtq+wVt3znmqQ4LvMH7chf0="},
	{"one character to eighteen", "\xef\xb7\xba",
		"SCRAM-SHA-256$4096:GGZEE7TJwzRY9TbEO0no1A==$"
		"rjXH57haZN5UGOGu/QOiZ+ntX86l+ym7uySFn74+27M=:jt3DWwGUbmBX3T8WtCycItwAXo3wBZKhB2prWHhA+xo="},
	{"control character", "p\x07w",
		"SCRAM-SHA-256$4096:LQXDLs8+eca/HfiK1sAQGA==$"
		"/1NE15l3JtSwiPKhfoiZuxvl57PhbXzYWu1gUjPb8Rg=:avPs+M6SEQg3FH7JsJNcsZq/JWKRRcwOXVYqk4nA5ns="},
	{"private use", "p\xee\x80\x80w",
		"SCRAM-SHA-256$4096:DFXa1zpUF7R/PrFizboz+A==$"
		"LOJkvm+TIzKv5fM1b3lgWW29YoKU9KHWoWlAu3nw9Og=:qPUbL9OrYVYYXh7S83ao2q9KaOpH4rbmjUAZBNnfFk0="},
	{"right-to-left ends in a digit", "\xd8\xa7" "1",
		"SCRAM-SHA-256$4096:BRosGU09ioqSbT6lXoDE/g==$"
		"KANJ3ND1lqFqU+hx7dDmXnIxJ0RSpBZkGSK9e39DVS0=:zWhuaO5Azp2rrmJ2jlBa0OKeKT9VTRx8pjxmkbDP6hs="},
	{"unassigned in Unicode 3.2", "x\xc8\xa1y",
		"SCRAM-SHA-256$4096:s8fPpRbc2V8AKAuc1Rrbww==$"
		"gbTK525BEQZFKF8AE9qRFaOQC/7WwyJjv4C0E5tg1Is=:hxUUWWs3SE4oEri9Gomby+ErwktUBFq3ZbItI5kfl5c="},
	{"unassigned beside what would be mapped", "I\xc2\xadX\xc8\xa1",
		"SCRAM-SHA-256$4096:HjtI44a6TQ1GTqsFSI+sRg==$"
		"kMmw5UipzMQPUf5stzYio9Hxhgai/VekBltAS0CaHFc=:F6j2nBtrPDRRnfzu3EEygdCDS4NwDghrwDjpfS75qLI="},
	{"only mapped to nothing", "\xc2\xad",
		"SCRAM-SHA-256$4096:/0x6AIJP2zkBBmQT6AyVxQ==$"
		"4PpQ42grHOljYhunAZYPYAQWTFVPqerU4+qhOZ1e+Ss=:dhCtfU0jIoLJeIU53pQrz/7WNmdqFcsr38xCqiRR0Sg="},
	{"zero width space", "a\xe2\x80\x8b" "b",
		"SCRAM-SHA-256$4096:xkWtEGLVD8KvfteqTiUbSQ==$"
		"1uGd9Hjnrqua7QZ8kco2kZsR+VJjXfxBkbvyhviBEfI=:7UErnHjO2Zkllib3qwNGOJ+bImNjykPFDEdUj4fVNzE="},
	{"ascii control", "a\x01" "b",
		"SCRAM-SHA-256$4096:anMVEcrEVZlpRlAIp/k97A==$"
		"O/5Oo113aYtv5gIXCFCho+gMyerurI0Z6TpBNhDSJ+o=:BfQMJJ97p8pSziUxjoIZYdLJq5GKEbjb/fs860tqKI0="},
	{"emoji", "\xf0\x9f\x98\x80",
		"SCRAM-SHA-256$4096:yaUsda1TKcrFz1q+JQ6ZXg==$"
		"ERq/iTu7TmOJaxzgS7deg0gkCLXzYaRlIJvKrGbo++w=:hrOCyavl5/M8Dnd1MDVU+1R0mwn6RuI/mL6bTPPxjk0="},
	{"decomposed", "e\xcc\x81",
		"SCRAM-SHA-256$4096:hMZlFY4vgI7V4OuK4ypD5g==$"
		"SEIA7y2OA5zXizA+1phEN4lQp7xP4DHqQcmuHuhTPCk=:iX8AdHf4UVTVZREvNe8+0/v5f5wpwleRXbMoqlQMB5I="},
	{"not utf-8", "a\xff" "b",
		"SCRAM-SHA-256$4096:EtZuQ8vCnL/bJWUKn/VqPQ==$"
		"jiglUPaeXxxIkJ83m84/gi4cu4BHpzzuNUXbjin5rkg=:V8Xd5SCkBEKLnAgVYu1yC2hRgkKuqh/GEskjWxJaFvQ="},
	{"utf-8 cut short", "a\xe3\x83",
		"SCRAM-SHA-256$4096:8x79Mey81Vhxi2xYaY8A6Q==$"
		"O8Jk5HUDgUrRy9gjQEryxWOmL043r8HDMcYt5i8wCj8=:hwqh+HerN9Bo8BT8o5CyGsSb9y+oy48CLyc7EanQeqE="},
};

static void as_postgres_does(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct pgw_scram_secret want, got;

		assert_true(pgw_scram_secret_parse(vectors[i].secret, &want));
		assert_int_equal(pgw_scram_secret_derive(vectors[i].password, want.salt,
					 want.n_salt_bytes, want.iterations, &got),
			PGW_OK);
		if (memcmp(&want, &got, sizeof(want)) != 0)
			fail_msg("%s: another secret than PostgreSQL's", vectors[i].what);
	}
}

static void ascii_is_not_copied(void **state)
{
	const char *password = "plain\x01 ascii";
	struct pgw__prepared p;

	pgw__saslprep(password, &p);
	assert_ptr_equal(p.bytes, password);
	assert_null(p.owned);
	pgw__prepared_release(&p);
	assert_null(p.bytes);
}

static void mapped_text_is_shorter_or_longer(void **state)
{
	struct pgw__prepared p;

	pgw__saslprep("I\xc2\xadX", &p);
	assert_int_equal(p.n, 2);
	assert_memory_equal(p.bytes, "IX", 2);
	pgw__prepared_release(&p);
	pgw__saslprep("\xef\xb7\xba", &p);
	assert_int_equal(p.n, 33); /* the widest expansion there is */
	pgw__prepared_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_postgres_does),
		cmocka_unit_test(ascii_is_not_copied),
		cmocka_unit_test(mapped_text_is_shorter_or_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
