# SPDX-License-Identifier: ISC
"""What the integration tests stand on: a real PostgreSQL, pglane as a process, and a client that can say anything."""
