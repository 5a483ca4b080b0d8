// SPDX-License-Identifier: ISC
// node-postgres (pg) with pg-cursor, pg-query-stream and pg-copy-streams, as their documentation shows them.
'use strict'

const { once } = require('node:events')
const { pipeline } = require('node:stream/promises')
const { Readable } = require('node:stream')
const pg = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const copy = require('pg-copy-streams')
const { step, fault, run, schema, scaled } = require('./steps.js')

const settings = { options: `-c search_path=${schema},public`, application_name: 'node suite' }
const pool = new pg.Pool({ ...settings, max: 3 })

async function withClient(work, more = {}) {
	const client = new pg.Client({ ...settings, ...more })
	await client.connect()
	try {
		return await work(client)
	} finally {
		await client.end()
	}
}

// Other clients of this process use the servers in between.
const others = () => Promise.all([1, 2, 3].map(() => pool.query('SELECT 1')))

const TYPES = `SELECT 1::int2 AS i2, 2::int4 AS i4, 3::int8 AS i8, 1.5::float4 AS f4, 2.25::float8 AS f8, 123456789.123456789::numeric AS n, true AS b,
	'ü' AS t, 'x'::char(3) AS c, '\\xdeadbeef'::bytea AS raw, '2026-01-02'::date AS d, '2026-01-02 03:04:05.678+00'::timestamptz AS at,
	'2026-01-02 03:04:05.678'::timestamp AS ts, '1 day 02:03:04'::interval AS iv, '6f1c1c1e-0000-4000-8000-0000000000aa'::uuid AS u,
	'{"a": [1, null]}'::json AS j, '{"b": {"c": "d"}}'::jsonb AS jb, '{1,NULL,3}'::int[] AS ia, '{"a b",NULL,"c\\"d"}'::text[] AS ta,
	'{{1,2},{3,4}}'::float8[] AS fa, '[1,5)'::int4range AS r, '10.0.0.1/8'::inet AS ip, '(1,2)'::point AS p, NULL::int AS nothing, ROW(1, 'x') AS rec`

step('plain', 'types by the simple protocol', async () => (await pool.query(TYPES)).rows)
step('plain', 'types by the extended protocol', async () => (await pool.query({ text: TYPES, name: 'types' })).rows)
step('plain', 'fields', async () => (await pool.query(TYPES)).fields.map((f) => [f.name, f.dataTypeID, f.dataTypeSize, f.dataTypeModifier, f.format]))
step('plain', 'rows as arrays', async () => (await pool.query({ text: 'SELECT $1::int AS a, $2::text AS a', values: [1, 'x'], rowMode: 'array' })).rows)

step('plain', 'binary results', () => withClient(async (client) => (await client.query('SELECT $1::int AS i, $2::float8 AS f, $3::text AS t, $4::bool AS b', [7, 2.5, 'é', true])).rows, { binary: true }))

step('plain', 'parameters of many types', async () => {
	const values = [1, 2.5, 'text', true, null, new Date(Date.UTC(2026, 0, 2)), Buffer.from([0, 1, 255]), [1, 2, null], ['a', 'b"c'], { a: [1] }]
	return (await pool.query('SELECT $1::int, $2::float8, $3::text, $4::bool, $5::int, $6::timestamptz, $7::bytea, $8::int[], $9::text[], $10::jsonb', values)).rows
})

step('plain', 'parsers of types', async () => {
	const types = { getTypeParser: (oid, format) => (oid === 20 ? (text) => BigInt(text) : pg.types.getTypeParser(oid, format)) }
	return (await pool.query({ text: 'SELECT 9007199254740993::int8 AS big, 1::int AS small', types })).rows
})

step('plain', 'several statements in one string', async () => (await pool.query("SELECT 1 AS a; SELECT 'two' AS b WHERE false; SELECT 3 AS c, 4 AS d")).map((r) => [r.command, r.rowCount, r.rows]))
step('plain', 'an empty string and a comment', async () => [await pool.query(''), await pool.query('-- nothing')].map((r) => [r.command, r.rowCount, r.rows]))

step('plain', 'tables', async () => {
	const tags = []
	for (const sql of ['CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric CHECK (amount >= 0))', "INSERT INTO items SELECT n, 'name ' || n, n FROM generate_series(1, 50) n",
		'UPDATE items SET amount = amount + 0.5 WHERE id <= 10 RETURNING id', 'DELETE FROM items WHERE id > 40'])
		tags.push(await pool.query(sql).then((r) => [r.command, r.rowCount, r.rows]))
	return tags
})

step('plain', 'named statements on whichever server is free', () => withClient(async (client) => {
	const seen = []
	for (let i = 1; i <= 20; i++) {
		seen.push((await client.query({ name: 'one item', text: 'SELECT name, amount FROM items WHERE id = $1', values: [i] })).rows)
		await others()
	}
	return seen
}))

step('plain', 'the same name with another text', () => withClient(async (client) => {
	await client.query({ name: 'same', text: 'SELECT 1' })
	return [await fault(client.query({ name: 'same', text: 'SELECT 2' })), (await client.query({ name: 'same', text: 'SELECT 1' })).rows]
}))

step('plain', 'a named statement that cannot be parsed', () => withClient(async (client) => [
	await fault(client.query({ name: 'wrong', text: 'SELECT no_such_column FROM items' })),
	(await client.query({ name: 'wrong', text: 'SELECT 1 AS right' })).rows,
]))

step('plain', 'the same names in all clients of a pool', async () => {
	const work = Array.from({ length: scaled(60, 20) }, (_, i) => pool.query({ name: `stmt ${i % 5}`, text: `SELECT $1::int + ${i % 5} AS n`, values: [i] }))
	return (await Promise.all(work)).map((r) => r.rows[0].n)
})

step('plain', 'DEALLOCATE', () => withClient(async (client) => {
	const outcome = []
	await client.query({ name: 'gone', text: 'SELECT 7 AS n' })
	outcome.push((await client.query('DEALLOCATE gone')).command)
	outcome.push(await fault(client.query('DEALLOCATE gone')))
	outcome.push(await fault(client.query({ name: 'gone', text: 'SELECT 7 AS n' })))
	await client.query({ name: 'another', text: 'SELECT 8 AS n' })
	outcome.push((await client.query('DEALLOCATE ALL')).command, await fault(client.query({ name: 'another', text: 'SELECT 8 AS n' })))
	return outcome
}))

step('plain', 'transactions', async () => {
	const client = await pool.connect()
	try {
		await client.query('BEGIN')
		await client.query("INSERT INTO items VALUES ($1, $2)", [100, 'stays'])
		await client.query('COMMIT')
		await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY')
		const refused = await fault(client.query("INSERT INTO items VALUES (101, 'read only')"))
		const aborted = await fault(client.query('SELECT 1'))
		const ended = await client.query('COMMIT')
		await client.query('BEGIN')
		await client.query('SAVEPOINT one')
		const taken = await fault(client.query('INSERT INTO items VALUES ($1, $2)', [100, 'again']))
		await client.query('ROLLBACK TO SAVEPOINT one')
		await client.query('UPDATE items SET name = $1 WHERE id = 100', ['changed'])
		await client.query('RELEASE SAVEPOINT one')
		const within = (await client.query('SELECT name FROM items WHERE id = 100')).rows
		await client.query('ROLLBACK')
		return [refused, aborted, ended.command, taken, within, (await client.query('SELECT name FROM items WHERE id = 100')).rows]
	} finally {
		client.release()
	}
})

step('plain', 'errors leave the connection usable', () => withClient(async (client) => {
	const told = []
	for (const [text, values] of [['SELEC 1'], ['SELECT 1/$1', [0]], ['SELECT * FROM no_such_table'], ['SELECT $1::int', ['no number']], ['INSERT INTO items VALUES (1, NULL)'],
		['INSERT INTO items VALUES (1, $1)', ['taken']], ["INSERT INTO items VALUES (200, 'x', -1)"], ['SELECT $1', ['x', 'too many']],
		["DO $$ BEGIN RAISE EXCEPTION 'raised' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'P0042'; END $$"]]) {
		told.push(await fault(client.query(text, values)))
		told.push((await client.query('SELECT $1::int AS n', [told.length])).rows)
	}
	return told
}))

step('plain', 'notices', () => withClient(async (client) => {
	const heard = []
	client.on('notice', (notice) => heard.push([notice.severity, notice.code, notice.message, notice.detail]))
	await client.query("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two' USING DETAIL = 'more'; END $$")
	await client.query('DROP TABLE IF EXISTS nothing_such')
	return heard
}))

step('plain', 'a cursor within a transaction', async () => {
	const client = await pool.connect()
	await client.query('BEGIN')
	const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, $1::int) n', [25]))
	const read = [await cursor.read(10), await cursor.read(10), await cursor.read(10), await cursor.read(10)]
	await cursor.close()
	await client.query('COMMIT')
	client.release()
	return read
})

step('plain', 'a cursor without a transaction, closed early', async () => {
	const client = await pool.connect()
	const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, 1000) n'))
	const read = await cursor.read(5)
	await cursor.close()
	const after = (await client.query('SELECT 42 AS n')).rows
	client.release()
	return [read, after]
})

step('plain', 'a cursor with an error in its rows', async () => {
	const client = await pool.connect()
	const cursor = client.query(new Cursor('SELECT 10 / (6 - n) AS n FROM generate_series(1, 10) n'))
	const read = [await cursor.read(3), await fault(cursor.read(10))]
	await cursor.close()
	const after = (await client.query('SELECT 42 AS n')).rows
	client.release()
	return [read, after]
})

step('plain', 'a stream of rows', async () => {
	const client = await pool.connect()
	let sum = 0
	for await (const row of client.query(new QueryStream('SELECT n FROM generate_series(1, $1::int) n', [scaled(5000, 500)], { batchSize: 100 }))) sum += row.n
	client.release()
	return sum
})

step('plain', 'a stream that is given up', async () => {
	const client = await pool.connect()
	let seen = 0
	for await (const row of client.query(new QueryStream('SELECT n FROM generate_series(1, 100000) n', [], { batchSize: 10 }))) {
		seen += row.n
		if (row.n === 15) break
	}
	const after = (await client.query('SELECT 42 AS n')).rows
	client.release()
	return [seen, after]
})

step('plain', 'COPY in and out', async () => {
	const client = await pool.connect()
	await client.query('CREATE TABLE copied (n int, t text)')
	const lines = Array.from({ length: scaled(5000, 500) }, (_, i) => `${i}\trow ${i}\\tü\n`)
	const into = client.query(copy.from('COPY copied FROM STDIN'))
	await pipeline(Readable.from(lines), into)
	const outOf = client.query(copy.to('COPY (SELECT * FROM copied ORDER BY n) TO STDOUT'))
	const chunks = [] // a character may be in two of them
	for await (const chunk of outOf) chunks.push(chunk)
	const text = Buffer.concat(chunks).toString()
	client.release()
	return [into.rowCount === lines.length, outOf.rowCount === lines.length, text === lines.join('')]
})

step('plain', 'COPY of what is no row, and one that the client gives up', async () => {
	const client = await pool.connect()
	const wrong = await fault(pipeline(Readable.from(['1\tone\n', 'no number\ttwo\n']), client.query(copy.from('COPY copied FROM STDIN'))))
	const into = client.query(copy.from('COPY copied FROM STDIN'))
	into.write('1\tone\n')
	const failed = once(into, 'error')
	into.destroy(new Error('changed my mind'))
	const [error] = await failed
	const after = (await client.query('SELECT count(*)::int AS n FROM copied WHERE n = 1')).rows
	client.release()
	return [wrong, error.message, after]
})

step('plain', 'large values', async () => {
	const text = 'ä'.repeat(scaled(500000, 100000))
	const row = (await pool.query('SELECT $1::text AS t, length($1) AS n, $2::bytea AS b', [text, Buffer.alloc(300000, 7)])).rows[0]
	return [row.t === text, row.n, row.b.length, row.b.every((byte) => byte === 7)]
})

step('plain', 'pipeline mode', () => withClient(async (client) => {
	const first = await Promise.all(Array.from({ length: scaled(200, 50) }, (_, i) => client.query('SELECT $1::int AS n', [i])))
	const mixed = await Promise.allSettled(['SELECT 1 AS n', 'SELECT 1/0', 'SELECT 3 AS n', 'SELEC', 'SELECT 5 AS n'].map((text) => client.query({ text, values: [] })))
	const named = await Promise.all(Array.from({ length: 30 }, (_, i) => client.query({ name: `piped ${i % 3}`, text: `SELECT $1::int * ${i % 3} AS n`, values: [i] })))
	return [first.map((r) => r.rows[0].n), mixed.map((r) => r.value?.rows ?? r.reason.code), named.map((r) => r.rows[0].n)]
}, { pipeline: true }))

step('plain', 'a transaction in pipeline mode', () => withClient(async (client) => {
	const outcome = await Promise.allSettled([client.query('BEGIN'), client.query('INSERT INTO items VALUES ($1, $2)', [300, 'piped']), client.query('SELECT 1/0'),
		client.query('SELECT $1::int', [1]), client.query('ROLLBACK'), client.query('SELECT count(*)::int AS n FROM items WHERE id = $1', [300])])
	return outcome.map((r) => r.value?.rows ?? r.reason.code)
}, { pipeline: true }))

step('plain', 'settings in the startup packet', async () => [
	await withClient((client) => fault(client.query('SELECT pg_sleep(30)')), { statement_timeout: 50 }),
	await withClient(async (client) => (await client.query("SELECT current_setting('lock_timeout') AS l, current_setting('application_name') AS a")).rows, { lock_timeout: 1234 }),
])

step('plain', 'settings of a session', () => withClient(async (client) => {
	await client.query("SET work_mem = '7MB'")
	await client.query("SET TIME ZONE 'Asia/Tokyo'")
	const seen = []
	for (let i = 0; i < 5; i++) {
		seen.push((await client.query("SELECT current_setting('work_mem') AS m, '2026-01-01 00:00+00'::timestamptz::text AS t")).rows)
		await others()
	}
	await client.query('DISCARD ALL')
	return [seen, (await client.query("SELECT current_setting('work_mem') AS m, current_setting('TimeZone') AS z")).rows]
}))

step('plain', 'cancel', () => withClient(async (client) => {
	const query = new pg.Query('SELECT pg_sleep(60)')
	let over = false
	const told = fault(new Promise((resolve, reject) => {
		query.callback = (error, result) => (error ? reject(error) : resolve(result))
		client.query(query)
	})).finally(() => { over = true })
	// Asked again until it was heard: the first may come before the statement.
	while (!over) {
		const messenger = new pg.Client(settings)
		messenger.connection.on('error', () => {})
		messenger.cancel(client, query)
		await Promise.race([told, new Promise((resolve) => setTimeout(resolve, 100))])
	}
	return (await told).code
}))

step('plain', 'a pool that is ended while at work', async () => {
	const own = new pg.Pool({ ...settings, max: 3 })
	const all = Promise.all(Array.from({ length: 12 }, (_, i) => own.query('SELECT $1::int AS n, pg_sleep(0.01)', [i])))
	const rows = (await all).map((r) => r.rows[0].n)
	await own.end()
	return [rows, own.totalCount, await own.query('SELECT 1').catch((error) => error.message)]
})

step('session', 'LISTEN and NOTIFY', () => withClient(async (client) => {
	const heard = []
	client.on('notification', (n) => heard.push(n.payload))
	const until = async (n) => { while (heard.length < n) await once(client, 'notification') }
	await client.query(`LISTEN "${schema} news"`)
	for (let i = 0; i < 10; i++) await pool.query('SELECT pg_notify($1, $2)', [`${schema} news`, `payload ${i}`])
	await until(10)
	await pool.query(`BEGIN; NOTIFY "${schema} news", 'rolled back'; ROLLBACK; NOTIFY "${schema} news"`)
	await until(11)
	await client.query(`UNLISTEN "${schema} news"`)
	await pool.query(`NOTIFY "${schema} news", 'unheard'`)
	return [heard, (await client.query('SELECT 1 AS n')).rows]
}))

step('session', 'temporary tables and advisory locks', () => withClient(async (client) => {
	await client.query('CREATE TEMP TABLE mine (n int)')
	await client.query('INSERT INTO mine VALUES ($1), ($2)', [1, 2])
	await others()
	const rows = (await client.query('SELECT n FROM mine ORDER BY n')).rows
	await client.query('DROP TABLE mine')
	const locks = [(await client.query('SELECT pg_try_advisory_lock(hashtext($1)) AS got', [schema])).rows, (await pool.query('SELECT pg_try_advisory_lock(hashtext($1)) AS got', [schema])).rows,
		(await client.query('SELECT pg_advisory_unlock(hashtext($1)) AS got', [schema])).rows]
	return [rows, locks]
}))

run()
