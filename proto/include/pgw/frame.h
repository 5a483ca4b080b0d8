/* SPDX-License-Identifier: ISC */
/*
 * Message headers. A frame is one protocol message: type, int32 length, body. Bodies are looked at only by those
 * who ask. Inline: this runs once a message on the data path.
 */
#ifndef PGW_FRAME_H
#define PGW_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "pgw/codes.h"
#include "pgw/error.h"

struct pgw_frame {
	uint8_t type;
	uint32_t n_body_bytes;	/* without the header */
	const uint8_t *body;	/* borrowed; only n_available of it may be read */
	size_t n_available;	/* body bytes present in the input, <= n_body_bytes */
};

/*
 * Reads the header at `bytes`. PGW_MORE when fewer than 5 bytes are there; PGW_E_LENGTH when the length is below 4
 * or above INT32_MAX. The body may be incomplete: compare n_available with n_body_bytes. Whole message: 5 + n_body_bytes.
 */
static inline enum pgw_err pgw_frame_read(const uint8_t *bytes, size_t n, struct pgw_frame *frame_r)
{
	uint32_t length;

	if (n < PGW_HEADER_BYTES)
		return PGW_MORE;
	length = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
	if (length < 4 || length > INT32_MAX)
		return PGW_E_LENGTH;
	frame_r->type = bytes[0];
	frame_r->n_body_bytes = length - 4;
	frame_r->body = bytes + PGW_HEADER_BYTES;
	frame_r->n_available = n - PGW_HEADER_BYTES;
	if (frame_r->n_available > frame_r->n_body_bytes)
		frame_r->n_available = frame_r->n_body_bytes;
	return PGW_OK;
}

/*
 * Is this a message type a client, or a server, may send after login? (Unknown types end the connection.) What only a login exchanges, p of
 * clients and R K v of servers, is not among them: login code names what it awaits.
 */
int pgw_is_frontend_type(uint8_t type);
int pgw_is_backend_type(uint8_t type);

#endif
