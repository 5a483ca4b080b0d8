/* SPDX-License-Identifier: ISC */
/*
 * What every file of src/ may use: assertions that stay on in release, typed recovery of
 * void pointers, small helpers. Floor 0: includes nothing of ours.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/banned.h"

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NOINLINE __attribute__((noinline)) /* keep a rare path out of a hot function */
#define NORETURN __attribute__((noreturn))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * MUST(expr): our own fault if false. On in every build; prints the place and a backtrace, aborts.
 * Never for what a peer sent, never with a side effect.
 */
#define MUST(expr) (LIKELY(expr) ? (void)0 : base_panic(__FILE__, __LINE__, __func__, #expr))
#define UNREACHABLE(why) base_panic(__FILE__, __LINE__, __func__, why)

NORETURN void base_panic(const char *file, int line, const char *func, const char *what);

/* Every object that travels through a void pointer starts with `uint32_t magic`. */
#define CHECK_MAGIC(obj, value) MUST((obj) != NULL && (obj)->magic == (value))

#endif
