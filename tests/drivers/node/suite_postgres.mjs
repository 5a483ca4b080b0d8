// SPDX-License-Identifier: ISC
// postgres.js as its documentation shows it: it prepares everything, pipelines by itself, and asks for array types when it connects.
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'
import steps from './steps.js'

const { step, fault, run, schema, scaled } = steps
const settings = { connection: { search_path: `${schema},public`, application_name: 'postgres.js suite' }, onnotice: () => {}, max: 3 }
const sql = postgres(settings)

// Other connections of this process use the servers in between.
const others = () => Promise.all([1, 2, 3].map((n) => sql`SELECT ${n}::int`))

async function withOwn(more, work) {
	const own = postgres({ ...settings, ...more })
	try {
		return await work(own)
	} finally {
		await own.end()
	}
}

const told = (result) => [result.command, result.count, [...result]]

step('plain', 'types', () => sql`SELECT 1::int2 AS i2, 2::int4 AS i4, 3::int8 AS i8, 1.5::float4 AS f4, 2.25::float8 AS f8, 1.10::numeric AS n, true AS b, 'ü' AS t, '\\xdeadbeef'::bytea AS raw,
	'2026-01-02'::date AS d, '2026-01-02 03:04:05.678+00'::timestamptz AS at, '1 day'::interval AS iv, '6f1c1c1e-0000-4000-8000-0000000000aa'::uuid AS u, '{"a":[1,null]}'::json AS j,
	'{"b":{"c":"d"}}'::jsonb AS jb, '{1,NULL,3}'::int[] AS ia, '{"a b",NULL}'::text[] AS ta, '{{1,2},{3,4}}'::float8[] AS fa, '[1,5)'::int4range AS r, NULL::int AS nothing`)

step('plain', 'parameters', () => sql`SELECT ${1}::int AS i, ${'text'} AS t, ${true}::bool AS b, ${null}::int AS n, ${new Date(Date.UTC(2026, 0, 2))}::timestamptz AS d, ${Buffer.from([0, 1, 255])}::bytea AS raw,
	${[1, 2, 3]}::int[] AS ia, ${sql.array(['a', 'b"c'])} AS ta, ${sql.json({ a: [1] })} AS j, ${sql.typed(7, 20)} AS typed`)

step('plain', 'own types', () => withOwn({ types: { bigint: postgres.BigInt } }, (own) => own`SELECT ${9007199254740993n} AS n`))
step('plain', 'transformed names', () => withOwn({ transform: postgres.camel }, (own) => own`SELECT 1 AS one_two, ${{ aB: 1 }}::jsonb AS three_four`))
step('plain', 'raw and values', async () => [await sql`SELECT 1 AS a, 'x' AS a`.values(), (await sql`SELECT 1 AS a`.raw()).map((row) => row.map((cell) => cell.toString()))])
step('plain', 'describe', async () => {
	const { string, types, columns } = await sql`SELECT ${1}::int AS a, ${'x'}::text AS b`.describe()
	return [string, types, columns.map((column) => [column.name, column.type])]
})

step('plain', 'tables and helpers', async () => {
	const rows = Array.from({ length: 40 }, (_, i) => ({ id: i + 1, name: `name ${i + 1}`, amount: i }))
	return [told(await sql`CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric CHECK (amount >= 0))`), told(await sql`INSERT INTO items ${sql(rows)}`),
		told(await sql`UPDATE items SET ${sql({ name: 'updated', amount: 3 }, 'name', 'amount')} WHERE id = ${3} RETURNING *`), told(await sql`SELECT id FROM items WHERE id IN ${sql([1, 2, 99])} ORDER BY id`),
		told(await sql`UPDATE items SET name = data.name FROM (VALUES ${sql([[4, 'four'], [5, 'five']])}) AS data (id, name) WHERE items.id = data.id::int RETURNING items.id, items.name`),
		told(await sql`SELECT ${sql('id')}, ${sql(['name', 'amount'])} FROM ${sql('items')} WHERE true ${true ? sql`AND id = ${4}` : sql``}`), told(await sql`DELETE FROM items WHERE id > ${30}`)]
})

step('plain', 'the same statement on whichever server is free', async () => {
	const seen = []
	for (let i = 1; i <= 20; i++) {
		seen.push([...(await sql`SELECT name FROM items WHERE id = ${i}`)])
		await others()
	}
	return seen
})

for (const prepare of [true, false])
	for (const max_pipeline of [1, 100])
		step('plain', `many at once, prepare ${prepare}, max_pipeline ${max_pipeline}`, () => withOwn({ prepare, max_pipeline, max: 2 }, async (own) => {
			const work = Array.from({ length: scaled(150, 40) }, (_, i) => own`SELECT ${i}::int + ${i % 7}::int AS n`)
			const mixed = await Promise.allSettled([own`SELECT 1 AS n`, own`SELECT 1 / ${0}::int`, own`SELECT 3 AS n`, own`SELEC`, own`SELECT 5 AS n`])
			return [(await Promise.all(work)).map((rows) => rows[0].n), mixed.map((outcome) => outcome.value?.[0].n ?? outcome.reason.code)]
		}))

step('plain', 'transactions', async () => [
	await sql.begin(async (tx) => {
		await tx`INSERT INTO items VALUES (${100}, 'stays')`
		return [...(await tx`SELECT name FROM items WHERE id = 100`)]
	}),
	await fault(sql.begin(async (tx) => {
		await tx`INSERT INTO items VALUES (101, 'goes')`
		await tx`SELECT 1 / ${0}::int`
	})),
	await fault(sql.begin('isolation level serializable read only', (tx) => tx`INSERT INTO items VALUES (102, 'refused')`)),
	await sql.begin('read write', (tx) => tx`SHOW transaction_isolation`),
	[...(await sql`SELECT id FROM items WHERE id >= 100`)],
])

step('plain', 'a transaction as an array of statements', () => sql.begin((tx) => [tx`SELECT 1 AS a`, tx`UPDATE items SET name = ${'array'} WHERE id = ${100}`, tx`SELECT name FROM items WHERE id = 100`]))

step('plain', 'savepoints', () => sql.begin(async (tx) => {
	await tx`INSERT INTO items VALUES (110, 'outer')`
	const lost = await fault(tx.savepoint(async (inner) => {
		await inner`INSERT INTO items VALUES (111, 'inner')`
		await inner`INSERT INTO items VALUES (110, 'taken')`
	}))
	const kept = await tx.savepoint('named', async (inner) => {
		await inner`INSERT INTO items VALUES (112, 'inner')`
		return [...(await inner.savepoint((deeper) => deeper`SELECT id FROM items WHERE id >= 110 ORDER BY id`))]
	})
	return [lost, kept, [...(await tx`SELECT id FROM items WHERE id >= 110 ORDER BY id`)]]
}))

step('plain', 'errors leave the connection usable', () => withOwn({ max: 1 }, async (own) => {
	const outcome = []
	for (const attempt of [() => own`SELEC 1`, () => own`SELECT * FROM no_such_table`, () => own`SELECT ${'x'}::text::int`, () => own`INSERT INTO items VALUES (1, ${null})`, () => own`INSERT INTO items VALUES (1, ${'taken'})`,
		() => own`INSERT INTO items VALUES (200, 'x', ${-1})`, () => own`SELECT ${'no number'}::int`, () => own.unsafe("DO $$ BEGIN RAISE EXCEPTION 'raised' USING HINT = 'the hint', ERRCODE = 'P0042'; END $$")]) {
		outcome.push(await fault(attempt()), [...(await own`SELECT ${outcome.length}::int AS n`)])
	}
	return outcome
}))

step('plain', 'notices', async () => {
	const heard = []
	await withOwn({ onnotice: (notice) => heard.push([notice.severity, notice.code, notice.message]) }, (own) => own`DROP TABLE IF EXISTS nothing_such`)
	return heard
})

step('plain', 'cursors', async () => {
	const sizes = []
	await sql`SELECT n FROM generate_series(1, ${25}::int) n`.cursor(10, (rows) => { sizes.push(rows.map((row) => row.n)) })
	let sum = 0
	for await (const rows of sql`SELECT n FROM generate_series(1, ${scaled(1000, 200)}::int) n`.cursor(50)) sum += rows.reduce((total, row) => total + row.n, 0)
	let seen = 0
	await sql`SELECT n FROM generate_series(1, 100000) n`.cursor(10, (rows) => {
		seen += rows.length
		return seen >= 30 ? sql.CLOSE : undefined
	})
	const broken = await fault(sql`SELECT 10 / (16 - n) AS n FROM generate_series(1, 20) n`.cursor(10, () => {}))
	return [sizes, sum, seen, broken, [...(await sql`SELECT 42 AS n`)]]
})

step('plain', 'row by row', async () => {
	const rows = []
	const result = await sql`SELECT n FROM generate_series(1, 10) n`.forEach((row) => rows.push(row.n))
	return [rows, result.count]
})

step('plain', 'COPY in and out', async () => {
	await sql`CREATE TABLE copied (n int, t text)`
	const lines = Array.from({ length: scaled(5000, 500) }, (_, i) => `${i}\trow ${i}ü\n`)
	await pipeline(Readable.from(lines), await sql`COPY copied FROM STDIN`.writable())
	// What is read is short: behind a stream that had to pause, a connection of postgres.js answers nothing any more, on a direct connection either.
	const chunks = [] // a character may be in two of them
	for await (const chunk of await sql`COPY (SELECT * FROM copied WHERE n < 300 ORDER BY n) TO STDOUT`.readable()) chunks.push(chunk)
	const text = Buffer.concat(chunks).toString()
	return [text === lines.slice(0, 300).join(''), [...(await sql`SELECT count(*)::int = ${lines.length} AS all_in FROM copied`)], [...(await sql`SELECT 42 AS n`)]]
})

step('plain', 'unsafe and simple', async () => [
	await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c WHERE false'), await sql.unsafe('SELECT $1::int AS n', [7]), await sql.unsafe('SELECT $1::int AS n', [8], { prepare: true }), await sql`SELECT 1 AS a; SELECT 2 AS b`.simple(),
	await fault(sql.unsafe("SELECT 1; SELECT 1/0; SELECT 3")),
])

step('plain', 'statements in files', async () => {
	const directory = mkdtempSync(join(tmpdir(), 'pglane-sql-'))
	writeFileSync(join(directory, 'one.sql'), 'SELECT $1::int * 2 AS twice')
	writeFileSync(join(directory, 'many.sql'), 'SELECT 1 AS a; SELECT 2 AS b;')
	const rows = [await sql.file(join(directory, 'one.sql'), [21]), await sql.file(join(directory, 'many.sql'))]
	rmSync(directory, { recursive: true })
	return rows
})

step('plain', 'a reserved connection', async () => {
	const own = await sql.reserve()
	await own`BEGIN`
	await own`SET LOCAL work_mem = '7MB'`
	const within = [...(await own`SHOW work_mem`)]
	await own`ROLLBACK`
	const behind = [...(await own`SHOW work_mem`)]
	own.release()
	return [within, behind]
})

step('plain', 'large objects', async () => {
	const object = await sql.largeObject()
	await object.write(Buffer.alloc(scaled(100000, 20000), 'x'))
	await object.seek(10)
	const [{ data }] = await object.read(5)
	const [{ size }] = await object.size()
	await object.close()
	return [data.toString(), Number(size) === scaled(100000, 20000)]
})

step('plain', 'large values', async () => {
	const text = 'ä'.repeat(scaled(500000, 100000))
	const [row] = await sql`SELECT ${text} AS t, length(${text}) AS n`
	const rows = await sql`SELECT n, repeat('x', n % 100) AS t FROM generate_series(1, ${scaled(10000, 1000)}::int) n`
	return [row.t === text, row.n, rows.every((r, i) => r.n === i + 1 && r.t.length === (i + 1) % 100), rows.length === scaled(10000, 1000)]
})

step('plain', 'cancel', () => withOwn({ max: 1 }, async (own) => {
	await own`SELECT 1` // canceled ahead of its connection, a query would keep end() waiting for ever
	const query = own`SELECT pg_sleep(60)`
	const outcome = fault(query)
	let over = false
	outcome.finally(() => { over = true })
	// Asked again until it was heard: the first may come before the statement.
	while (!over) {
		await Promise.race([outcome, new Promise((resolve) => setTimeout(resolve, 100))])
		const again = query.canceller
		query.cancel()
		query.canceller = again
	}
	return (await outcome).code
}))

step('plain', 'two-phase commit', async () => {
	await sql.begin(async (tx) => {
		await tx`INSERT INTO items VALUES (400, 'prepared')`
		await tx.prepare(`${schema} tx`)
	})
	const before = [...(await sql`SELECT id FROM items WHERE id = 400`)]
	await others()
	await sql.unsafe(`COMMIT PREPARED '${schema} tx'`)
	return [before, [...(await sql`SELECT id FROM items WHERE id = 400`)]]
})

step('session', 'listen and notify', async () => {
	const heard = []
	let more
	const until = async (n) => { while (heard.length < n) await new Promise((resolve) => { more = resolve }) }
	const request = await sql.listen(`${schema} news`, (payload) => { heard.push(payload); more?.() })
	for (let i = 0; i < 10; i++) await sql.notify(`${schema} news`, `payload ${i}`)
	await until(10)
	await sql.begin((tx) => [tx`SELECT pg_notify(${`${schema} news`}, 'in a transaction')`])
	await until(11)
	await request.unlisten()
	await sql.notify(`${schema} news`, 'unheard')
	return [heard, [...(await sql`SELECT 1 AS n`)]]
})

step('session', 'temporary tables of a reserved connection', async () => {
	const own = await sql.reserve()
	await own`CREATE TEMP TABLE mine (n int)`
	await own`INSERT INTO mine ${own([{ n: 1 }, { n: 2 }])}`
	await others()
	const rows = [...(await own`SELECT n FROM mine ORDER BY n`)]
	await own`DROP TABLE mine`
	own.release()
	return rows
})

run()
