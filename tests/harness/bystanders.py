# SPDX-License-Identifier: ISC
"""Other clients of the same pool, who do small things and look around: whatever a script does, on their servers there must be nothing of it."""

import random

# What a fresh session has. Prepared statements are those of SQL: copies of the protocol's belong to the pool.
LOOK = """SELECT session_user, current_user, current_setting('search_path'), current_setting('DateStyle'), current_setting('TimeZone'),
       current_setting('work_mem'), current_setting('client_encoding'), current_setting('application_name'), current_setting('client_min_messages'),
       (SELECT count(*) FROM pg_listening_channels()) AS channels, (SELECT count(*) FROM pg_prepared_statements WHERE from_sql AND name NOT LIKE 'pglane\\_%') AS prepared,
       (SELECT count(*) FROM pg_cursors) AS cursors, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) AS temporary,
       (SELECT string_agg(name, ' ') FROM pg_settings WHERE source = 'session' AND setting IS DISTINCT FROM reset_val) AS settings"""


def bystand(proxy, database, surprises, user="postgres"):
    """A work for traffic.Background: transactions of some statements, and looks, until it is told to stop. What it sees that it should not
    goes to the list."""
    def work(stop):
        rng = random.Random(7)
        connection = proxy.connect(database, user, application_name="bystander")
        with connection.cursor() as cursor:
            cursor.execute(LOOK)
            expected = cursor.fetchall()
            while not stop.is_set():
                cursor.execute("BEGIN")
                for _ in range(rng.randint(1, 3)):
                    cursor.execute("SELECT pg_sleep(0.0005)")
                cursor.execute("COMMIT")
                cursor.execute(LOOK)
                seen = cursor.fetchall()
                if seen != expected:
                    surprises.append([(column.name, there, here) for column, there, here in zip(cursor.description, expected[0], seen[0]) if there != here])
        connection.close()
    return work
