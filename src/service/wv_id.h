/* SPDX-License-Identifier: ISC */
/*
 * The id that an entity's object has in Weaviate: a version 5 UUID, so that whoever knows collection and key can say it without
 * asking. Its name is the collection's name with the key right behind it, in the DNS namespace: what Weaviate's own clients
 * make of generate_uuid5(key, collection). Pure; any thread.
 */
#ifndef SERVICE_WV_ID_H
#define SERVICE_WV_ID_H

#include "base/base.h"

#define WV_ID_BYTES 37u /* the text of a UUID and its '\0' */

/* key: the row's key as PostgreSQL prints it. The id's letters are small: Weaviate compares ids as text. */
void wv_id(const char *collection, const char *key, char id_r[static WV_ID_BYTES]);
/* Is it the text of a UUID, with small letters, and nothing else? */
bool wv_is_id(const char *text);

#endif
