/* SPDX-License-Identifier: ISC */
/*
 * Whether the vectors that a class has, that it would make and that Postgres gives belong together.
 * A class without a vectorizer does not say how many dimensions it has: its first object does.
 */
#ifndef TOOLS_VECTORS_H
#define TOOLS_VECTORS_H

#include "tools/tool.h"

/* Prints what does not and counts it. false: it could not be found out, which was told. */
bool vectors_verify(struct tool *tool, const struct wv_class *class, unsigned *n_differences) WARN_UNUSED;

#endif
