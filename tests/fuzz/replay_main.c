/* SPDX-License-Identifier: ISC */
/*
 * Runs a fuzz target over files instead of searching: replay_X DIRECTORY|FILE... gives each regular
 * file to LLVMFuzzerTestOneInput(). An argument that yields no file is an error, so that a moved
 * corpus cannot pass for a green one.
 */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Named before it runs, so that the last name printed is the file that crashed. */
static void announce(const char *path)
{
	printf("%s\n", path);
	fflush(stdout);
}

static void die(const char *path, const char *why)
{
	fprintf(stderr, "replay: %s: %s\n", path, why);
	exit(EXIT_FAILURE);
}

static void replay_file(const char *path, size_t n_bytes)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(n_bytes);
	size_t n;

	if (file == NULL)
		die(path, strerror(errno));
	if (data == NULL && n_bytes > 0)
		die(path, "out of memory");
	n = fread(data, 1, n_bytes, file);
	if (n != n_bytes)
		die(path, "cannot be read whole");
	fclose(file);
	announce(path);
	(void)LLVMFuzzerTestOneInput(data, n_bytes);
	free(data);
}

static unsigned replay_path(const char *path);

static unsigned replay_directory(const char *path)
{
	struct dirent **entries;
	int n_entries = scandir(path, &entries, NULL, alphasort);
	unsigned n_files = 0;

	if (n_entries < 0)
		die(path, strerror(errno));
	for (int i = 0; i < n_entries; i++) {
		char *child;

		if (entries[i]->d_name[0] != '.') {
			if (asprintf(&child, "%s/%s", path, entries[i]->d_name) < 0)
				die(path, "out of memory");
			n_files += replay_path(child);
			free(child);
		}
		free(entries[i]);
	}
	free(entries);
	return n_files;
}

static unsigned replay_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		die(path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return replay_directory(path);
	if (!S_ISREG(st.st_mode))
		return 0;
	replay_file(path, (size_t)st.st_size);
	return 1;
}

int main(int argc, char **argv)
{
	unsigned n_files = 0;

	if (argc < 2)
		die("usage", "replay DIRECTORY|FILE...");
	for (int i = 1; i < argc; i++) {
		unsigned n = replay_path(argv[i]);

		if (n == 0)
			die(argv[i], "no corpus file in it");
		n_files += n;
	}
	printf("%u inputs\n", n_files);
	return EXIT_SUCCESS;
}
