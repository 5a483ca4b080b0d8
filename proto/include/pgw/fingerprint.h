/* SPDX-License-Identifier: ISC */
/*
 * 128-bit hashes. pgw_hash128: of bytes, keyed by a process-wide random seed, for names and tables (fast, not
 * cryptographic; the seed keeps peers from choosing collisions). pgw_fingerprint: of a statement with literals, numbers, parameters,
 * white space, comments and letter case dropped, and lists of constants (IN (…), VALUES (…), (…)) folded to one, so that the same query with other values is
 * the same fingerprint.
 */
#ifndef PGW_FINGERPRINT_H
#define PGW_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

struct pgw_hash128 { uint64_t lo, hi; };

struct pgw_hash128 pgw_hash128(const void *bytes, size_t n, uint64_t seed);
struct pgw_hash128 pgw_hash128_more(struct pgw_hash128 so_far, const void *bytes, size_t n); /* chains: parts are not confused with their concatenation */
struct pgw_hash128 pgw_fingerprint(const char *sql, size_t n);

#endif
