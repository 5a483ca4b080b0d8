/* SPDX-License-Identifier: ISC */
/*
 * Random histories of the ledger against its model: four million steps unless told otherwise. Each
 * history runs in a process of its own; one that dies is made as short as it gets while it still
 * dies, and printed so that it can be run again:
 *
 *   PGLANE_SEED=N prop_ledger          the same histories again (default: fixed)
 *   PGLANE_STEPS=N prop_ledger         more or fewer steps
 *   prop_ledger --replay FILE          the history of FILE, as it was printed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

#include "world.h"

#define STEPS_PER_HISTORY 2000
#define STEPS_DEFAULT 4000000
#define SEED_DEFAULT 20240607
/*
 * A history takes milliseconds of CPU: one that used so much more goes round in circles. One that
 * waits for itself uses none.
 */
#define CPU_MAX_S 10
#define CPU_MAX_SHRINKING_S 1
#define WAIT_MAX_S 120

/* Written by the child as it goes, read by the parent after it died. */
struct history {
	uint64_t seed;
	unsigned n_steps;
	struct step steps[STEPS_PER_HISTORY];
};

static void run_steps(const struct history *h)
{
	struct world *w = world_new(h->seed);

	for (unsigned i = 0; i < h->n_steps; i++)
		world_apply(w, h->steps[i]);
	world_drain(w);
}

static unsigned pick_op(uint64_t *rng)
{
	unsigned total = 0, r;

	for (unsigned i = 0; i < world_n_ops(); i++)
		total += world_op_weight(i);
	r = (unsigned)(mix64(rng) % total);
	for (unsigned i = 0;; i++) {
		if (r < world_op_weight(i))
			return i;
		r -= world_op_weight(i);
	}
}

static void generate_and_run(struct history *h)
{
	struct world *w = world_new(h->seed);
	uint64_t rng = ~h->seed;

	for (h->n_steps = 0; h->n_steps < STEPS_PER_HISTORY;) {
		struct step *s = &h->steps[h->n_steps];
		uint64_t r = mix64(&rng);

		*s = (struct step){(uint8_t)pick_op(&rng), (uint8_t)r, (uint8_t)(r >> 8),
			(uint8_t)(r >> 16), (uint8_t)(r >> 24)};
		h->n_steps++;
		if (!world_apply(w, *s))
			h->n_steps--;
	}
	world_drain(w);
}

/* Runs it in a child; false when the child died. */
static bool survives(struct history *h, void (*run)(struct history *h), bool is_shrinking)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		const struct rlimit no_core = {0, 0};
		const struct rlimit cpu = {
			is_shrinking ? CPU_MAX_SHRINKING_S : CPU_MAX_S, CPU_MAX_S + 1};

		setrlimit(RLIMIT_CORE, &no_core);
		setrlimit(RLIMIT_CPU, &cpu);
		if (is_shrinking) {
			int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

			MUST(null >= 0 && dup2(null, STDERR_FILENO) >= 0);
		}
		alarm(WAIT_MAX_S);
		run(h);
		exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void rerun(struct history *h)
{
	run_steps(h);
}

static void remove_steps(struct history *h, unsigned from, unsigned n)
{
	memmove(&h->steps[from], &h->steps[from + n],
		(h->n_steps - from - n) * sizeof(h->steps[0]));
	h->n_steps -= n;
}

/*
 * Chunks of half, a quarter, … down to single steps are left out as long as it dies without them.
 */
static void shrink(struct history *h)
{
	static struct history shorter;

	for (unsigned chunk = MAX_OF(h->n_steps / 2, 1); chunk > 0;) {
		bool any = false;

		for (unsigned from = 0; from + chunk <= h->n_steps;) {
			shorter = *h;
			remove_steps(&shorter, from, chunk);
			if (survives(&shorter, rerun, true)) {
				from += chunk;
			} else {
				*h = shorter;
				any = true;
			}
		}
		if (!any || chunk > 1)
			chunk /= 2;
	}
}

static void print_history(const struct history *h)
{
	printf("seed %llu\n", (unsigned long long)h->seed);
	for (unsigned i = 0; i < h->n_steps; i++) {
		const struct step *s = &h->steps[i];

		printf("%s %u %u %u %u\n", world_op_name(s->op), s->a, s->b, s->c, s->d);
	}
}

static unsigned op_of_name(const char *name)
{
	for (unsigned i = 0; i < world_n_ops(); i++) {
		if (strcmp(world_op_name(i), name) == 0)
			return i;
	}
	fprintf(stderr, "no such operation: %s\n", name);
	exit(2);
}

static void read_history(const char *path, struct history *h)
{
	FILE *f = fopen(path, "r");
	unsigned long long seed;
	unsigned a, b, c, d;
	char name[32];

	if (f == NULL || fscanf(f, "seed %llu", &seed) != 1) {
		fprintf(stderr, "%s: cannot be read as a history\n", path);
		exit(2);
	}
	h->seed = seed;
	while (h->n_steps < STEPS_PER_HISTORY &&
		fscanf(f, "%31s %u %u %u %u", name, &a, &b, &c, &d) == 5) {
		h->steps[h->n_steps++] = (struct step){
			(uint8_t)op_of_name(name), (uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d};
	}
	fclose(f);
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 10) : otherwise;
}

static int report(struct history *h)
{
	printf("A history of %u steps fails. Making it shorter …\n", h->n_steps);
	if (survives(h, rerun, true)) {
		printf("It does not fail again; as it was:\n");
		print_history(h);
		return 1;
	}
	shrink(h);
	printf("%u steps are enough; prop_ledger --replay runs these lines again:\n\n", h->n_steps);
	print_history(h);
	printf("\nIt ends with:\n");
	fflush(stdout);
	survives(h, rerun, false);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t seed = from_env("PGLANE_SEED", SEED_DEFAULT),
		 n_steps = from_env("PGLANE_STEPS", STEPS_DEFAULT);
	struct history *h =
		mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(h != MAP_FAILED);
	if (argc == 3 && strcmp(argv[1], "--replay") == 0) {
		read_history(argv[2], h);
		run_steps(h);
		printf("%u steps: fine\n", h->n_steps);
		return 0;
	}
	printf("PGLANE_SEED=%llu\n", (unsigned long long)seed);
	for (uint64_t done = 0; done < n_steps; done += h->n_steps) {
		memset(h, 0, sizeof(*h));
		h->seed = mix64(&seed);
		if (!survives(h, generate_and_run, false))
			return report(h);
	}
	printf("%llu steps: fine\n", (unsigned long long)n_steps);
	return 0;
}
