/* SPDX-License-Identifier: ISC */
/* Whole files into memory, and where a relative name of a configuration leads. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "base/strbuf.h"

#define CONFIG_FILE_MAX_BYTES                                                                      \
	(16u << 20) /* far above any real file; stops at a device or a log given by mistake */

int file_read(const char *path,
	struct strbuf *out) WARN_UNUSED; /* appends; 0 or -errno (EFBIG above the maximum) */
const char *file_error_text(int negative_errno); /* "no such file or directory" … */

/*
 * The path that `name`, written in the file `in_file`, means: absolute names are themselves; others
 * are looked for beside in_file, then, as PgBouncer does, in the working directory. The caller
 * frees it.
 */
char *file_resolve(const char *in_file, const char *name) WARN_UNUSED;

#endif
