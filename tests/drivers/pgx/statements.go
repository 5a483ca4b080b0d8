// SPDX-License-Identifier: ISC

package main

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

const types = `SELECT 1::int2, 2::int4, 3::int8, 1.5::float4, 2.25::float8, 123.456::numeric, true, 'ü'::text, '\xdeadbeef'::bytea, '2026-01-02'::date, '2026-01-02 03:04:05.678+00'::timestamptz,
	'1 day 02:03:04'::interval, '6f1c1c1e-0000-4000-8000-0000000000aa'::uuid, '{"a": [1, null]}'::json, '{"b": {"c": "d"}}'::jsonb, '{1,NULL,3}'::int[], '{"a b",NULL}'::text[], '[1,5)'::int4range,
	'10.0.0.1/8'::inet, '(1,2)'::point, NULL::int`

func statements(mode string) {
	step(mode+": types", with(config(mode), func(conn *pgx.Conn) (any, error) {
		found, err := rows(conn, types)
		return fmt.Sprintf("%v", found), err
	}))
	step(mode+": arguments", with(config(mode), func(conn *pgx.Conn) (any, error) {
		var i int
		var f float64
		var t string
		var b bool
		var nothing *int
		var raw []byte
		var numbers []int32
		var texts []string
		var at time.Time
		var data map[string]any
		var n pgtype.Numeric
		err := conn.QueryRow(ctx, "SELECT $1::int, $2::float8, $3::text, $4::bool, $5::int, $6::bytea, $7::int[], $8::text[], $9::timestamptz, $10::jsonb, $11::numeric",
			7, 2.5, "é'\\", true, nil, []byte{0, 1, 255}, []int32{1, 2}, []string{"a", `b"c`}, time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), `{"a": 1}`, "1.10").
			Scan(&i, &f, &t, &b, &nothing, &raw, &numbers, &texts, &at, &data, &n)
		return []any{i, f, t, b, nothing, raw, numbers, texts, at.UTC(), data, n}, err
	}))
	// Other clients of this process and of others use the servers in between: the statement is prepared on the one and run on the other.
	step(mode+": one statement many times", with(config(mode), func(conn *pgx.Conn) (any, error) {
		other, err := pgx.ConnectConfig(ctx, config(mode))
		if err != nil {
			return nil, err
		}
		defer other.Close(ctx)
		var names []string
		for i := 1; i <= 20; i++ {
			var name string
			var n int
			if err := conn.QueryRow(ctx, "SELECT name FROM items WHERE id = $1", i).Scan(&name); err != nil {
				return nil, err
			}
			if err := other.QueryRow(ctx, fmt.Sprintf("SELECT $1::int + %d", i%4), i).Scan(&n); err != nil {
				return nil, err
			}
			names = append(names, fmt.Sprint(name, " ", n))
		}
		return names, nil
	}))
	// The caches of pgx hold what they are told: statements leave them with Close by name while others come.
	small := config(mode)
	small.StatementCacheCapacity, small.DescriptionCacheCapacity = 4, 4
	step(mode+": a small cache", with(small, func(conn *pgx.Conn) (any, error) {
		var sum int
		for i := range scaled(60, 20) {
			var n int
			if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT $1::int * %d", i%9), i).Scan(&n); err != nil {
				return nil, err
			}
			sum += n
		}
		return sum, nil
	}))
	step(mode+": errors", with(config(mode), func(conn *pgx.Conn) (any, error) {
		var all []any
		for _, try := range []struct {
			sql       string
			arguments []any
		}{
			{"SELEC 1", nil}, {"SELECT 1 / $1::int", []any{0}}, {"SELECT * FROM no_such_table", nil}, {"INSERT INTO items VALUES ($1, NULL)", []any{1}}, {"INSERT INTO items VALUES ($1, 'taken')", []any{1}},
			{"INSERT INTO items VALUES ($1, 'x', -1)", []any{500}}, {"SELECT $1::text::int", []any{"no number"}}, {"DO $$ BEGIN RAISE EXCEPTION 'raised' USING DETAIL = 'the detail', HINT = 'the hint' ; END $$", nil},
		} {
			var n int
			_, err := conn.Exec(ctx, try.sql, try.arguments...)
			all = append(all, told(err))
			if err := conn.QueryRow(ctx, "SELECT $1::int", len(all)).Scan(&n); err != nil {
				return nil, err
			}
			all = append(all, n)
		}
		return all, nil
	}))
	step(mode+": batch", with(config(mode), func(conn *pgx.Conn) (any, error) {
		var all []any
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO items VALUES ($1, $2)", 600, mode)
		batch.Queue("UPDATE items SET name = $1 WHERE id = $2", mode+" changed", 600)
		batch.Queue("SELECT name FROM items WHERE id = $1", 600).QueryRow(func(row pgx.Row) error {
			var name string
			defer func() { all = append(all, name) }()
			return row.Scan(&name)
		})
		for i := range scaled(100, 20) {
			batch.Queue("SELECT $1::int", i).QueryRow(func(row pgx.Row) error {
				var n int
				defer func() { all = append(all, n) }()
				return row.Scan(&n)
			})
		}
		batch.Queue("DELETE FROM items WHERE id = $1", 600)
		if err := conn.SendBatch(ctx, batch).Close(); err != nil {
			return nil, err
		}
		broken := &pgx.Batch{}
		broken.Queue("INSERT INTO items VALUES ($1, $2)", 601, "rolled back with the rest")
		broken.Queue("SELECT 1 / $1::int", 0)
		broken.Queue("SELECT 1")
		all = append(all, told(conn.SendBatch(ctx, broken).Close()))
		left, err := rows(conn, "SELECT count(*)::int FROM items WHERE id = $1", 601)
		return append(all, left), err
	}))
}

// Statements that the program prepares itself, and what it drops.
func named() {
	step("prepared", with(config("cache_statement"), func(conn *pgx.Conn) (any, error) {
		description, err := conn.Prepare(ctx, "one item", "SELECT id, name FROM items WHERE id = $1")
		if err != nil {
			return nil, err
		}
		all := []any{description.Name, description.ParamOIDs, len(description.Fields)}
		for i := 1; i <= 10; i++ {
			found, err := rows(conn, "one item", i)
			if err != nil {
				return nil, err
			}
			all = append(all, found)
		}
		_, err = conn.Prepare(ctx, "wrong", "SELECT no_such_column FROM items")
		all = append(all, told(err))
		if err := conn.Deallocate(ctx, "one item"); err != nil {
			return nil, err
		}
		_, err = conn.Exec(ctx, `DEALLOCATE "one item"`)
		all = append(all, told(err))
		return all, conn.DeallocateAll(ctx)
	}))
	step("DEALLOCATE ALL under a cache", with(config("cache_statement"), func(conn *pgx.Conn) (any, error) {
		var all []any
		for range 3 {
			found, err := rows(conn, "SELECT $1::int", 1)
			if err != nil {
				return nil, err
			}
			all = append(all, found)
			if err := conn.DeallocateAll(ctx); err != nil {
				return nil, err
			}
		}
		_, err := conn.Exec(ctx, "DISCARD ALL")
		return all, err
	}))
}
