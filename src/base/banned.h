/* SPDX-License-Identifier: ISC */
/* Functions that do not compile in src/: unbounded, locale-dependent or thread-unsafe. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gmtime localtime ctime    \
	asctime gets atoi atol atoll

#endif
