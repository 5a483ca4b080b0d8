/* SPDX-License-Identifier: ISC */
#include "base/rng.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>

/*
 * A call of the generator costs some 7,000 instructions and a getpid(2) for a few bytes as for many, and a login takes three. So each
 * thread draws ahead. What is handed out is wiped here, so that nothing that was given to one is left for anybody else to read.
 */
#define AHEAD_BYTES 512u

static _Thread_local struct {
	uint8_t bytes[AHEAD_BYTES];
	size_t n_left; /* the last ones */
} ahead;

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* The one thread that a child has must not hand out what its parent will. */
static void forget_ahead(void)
{
	OPENSSL_cleanse(&ahead, sizeof(ahead));
}

static void watch_forks(void)
{
	MUST(pthread_atfork(NULL, NULL, forget_ahead) == 0);
}

static void draw(uint8_t *out, size_t n)
{
	MUST(n < INT32_MAX && RAND_bytes(out, (int)n) == 1);
}

void rng_bytes(void *out, size_t n)
{
	uint8_t *at;

	if (n > AHEAD_BYTES / 4) {
		draw(out, n);
		return;
	}
	if (ahead.n_left < n) {
		MUST(pthread_once(&fork_once, watch_forks) == 0);
		draw(ahead.bytes, AHEAD_BYTES);
		ahead.n_left = AHEAD_BYTES;
	}
	at = ahead.bytes + AHEAD_BYTES - ahead.n_left;
	memcpy(out, at, n);
	OPENSSL_cleanse(at, n);
	ahead.n_left -= n;
}

uint64_t rng_u64(void)
{
	uint64_t value;

	rng_bytes(&value, sizeof(value));
	return value;
}
