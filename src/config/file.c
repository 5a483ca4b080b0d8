/* SPDX-License-Identifier: ISC */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define READ_STEP_BYTES 65536

static int read_all(int fd, struct strbuf *out)
{
	char buf[READ_STEP_BYTES];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, buf, sizeof(buf));
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		total += (size_t)n;
		if (total > CONFIG_FILE_MAX_BYTES)
			return -EFBIG;
		strbuf_add(out, buf, (size_t)n);
	}
}

int file_read(const char *path, struct strbuf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int result;

	if (fd < 0)
		return -errno;
	result = read_all(fd, out);
	(void)close(fd);
	return result;
}

const char *file_error_text(int negative_errno)
{
	const char *text = strerrordesc_np(-negative_errno);

	return text ? text : "unknown error";
}

char *file_resolve(const char *in_file, const char *name)
{
	const char *slash = strrchr(in_file, '/');
	char *beside;

	if (name[0] == '/' || slash == NULL)
		return mem_strdup(name);
	beside = mem_printf("%.*s/%s", (int)(slash - in_file), in_file, name);
	if (access(beside, F_OK) == 0 || access(name, F_OK) != 0)
		return beside;
	mem_free(beside);
	return mem_strdup(name);
}
