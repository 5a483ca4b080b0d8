// SPDX-License-Identifier: ISC

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

func transactions(mode string) {
	step(mode+": nested transactions", with(config(mode), func(conn *pgx.Conn) (any, error) {
		var all []any
		tx, err := conn.Begin(ctx)
		if err != nil {
			return nil, err
		}
		defer tx.Rollback(ctx)
		if _, err := tx.Exec(ctx, "INSERT INTO items VALUES ($1, 'outer')", 700); err != nil {
			return nil, err
		}
		inner, err := tx.Begin(ctx)
		if err != nil {
			return nil, err
		}
		_, err = inner.Exec(ctx, "INSERT INTO items VALUES ($1, 'taken')", 700)
		all = append(all, told(err))
		_, err = inner.Exec(ctx, "SELECT $1::int", 1)
		all = append(all, told(err))
		if err := inner.Rollback(ctx); err != nil {
			return nil, err
		}
		err = pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "INSERT INTO items VALUES ($1, 'inner')", 701)
			return err
		})
		if err != nil {
			return nil, err
		}
		within, err := rows(tx, "SELECT id, name FROM items WHERE id >= $1 ORDER BY id", 700)
		if err != nil {
			return nil, err
		}
		if err := tx.Rollback(ctx); err != nil {
			return nil, err
		}
		behind, err := rows(conn, "SELECT count(*)::int FROM items WHERE id >= $1", 700)
		return append(all, within, behind), err
	}))
	step(mode+": options of transactions", with(config(mode), func(conn *pgx.Conn) (any, error) {
		var all []any
		options := pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable}
		all = append(all, told(pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
			found, err := rows(tx, "SELECT current_setting('transaction_isolation'), current_setting('transaction_deferrable')")
			if err != nil {
				return err
			}
			all = append(all, found)
			_, err = tx.Exec(ctx, "INSERT INTO items VALUES ($1, 'refused')", 710)
			return err
		})))
		all = append(all, told(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1 / $1::int", 0)
			all = append(all, told(err))
			return nil // the commit is a rollback then, and pgx says so
		})))
		return all, nil
	}))
	step(mode+": a cursor declared in SQL", with(config(mode), func(conn *pgx.Conn) (any, error) {
		var all []any
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 7) n"); err != nil {
				return err
			}
			for range 3 {
				found, err := rows(tx, "FETCH 3 FROM c")
				if err != nil {
					return err
				}
				all = append(all, found)
			}
			return nil
		})
		return all, err
	}))
}

func volumes(mode string) {
	step(mode+": CopyFrom", with(config(mode), func(conn *pgx.Conn) (any, error) {
		n, at := scaled(2000, 200), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		copied, err := conn.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"mode", "id", "name", "at", "raw"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			return []any{mode, i, fmt.Sprint("row ", i), at, []byte{byte(i)}}, nil
		}))
		if err != nil {
			return nil, err
		}
		sums, err := rows(conn, "SELECT count(*)::int, sum(id)::int, max(length(raw)) FROM copied WHERE mode = $1", mode)
		if err != nil {
			return nil, err
		}
		_, wrong := conn.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name"}, pgx.CopyFromRows([][]any{{800, "new"}, {1, "taken"}}))
		_, failed := conn.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name"}, pgx.CopyFromFunc(func() ([]any, error) { return nil, errors.New("changed my mind") }))
		left, err := rows(conn, "SELECT count(*)::int FROM items WHERE id >= $1", 800)
		return []any{copied, sums, told(wrong), told(failed), left}, err
	}))
	step(mode+": large rows", with(config(mode), func(conn *pgx.Conn) (any, error) {
		size := scaled(1000000, 100000)
		found, err := conn.Query(ctx, "SELECT n, repeat('x', $1::int) FROM generate_series(1, 5) n", size)
		if err != nil {
			return nil, err
		}
		defer found.Close()
		var lengths []int
		for found.Next() {
			var n int
			var text string
			if err := found.Scan(&n, &text); err != nil {
				return nil, err
			}
			lengths = append(lengths, len(text)/size)
		}
		if err := found.Err(); err != nil {
			return nil, err
		}
		var n int
		err = conn.QueryRow(ctx, "SELECT length($1::text)", string(make([]byte, 0, 1))+fmt.Sprintf("%0*d", size, 7)).Scan(&n)
		return []any{lengths, n == size}, err
	}))
	step(mode+": rows that nobody reads to the end", with(config(mode), func(conn *pgx.Conn) (any, error) {
		found, err := conn.Query(ctx, "SELECT n FROM generate_series(1, $1::int) n", scaled(20000, 2000))
		if err != nil {
			return nil, err
		}
		read := []bool{found.Next(), found.Next()}
		found.Close()
		var n int
		return []any{read, found.CommandTag().String() != "", &n}, conn.QueryRow(ctx, "SELECT 42").Scan(&n)
	}))
}

func cancels(mode string) {
	// As pgx has it by itself: the connection is closed, and a cancel request goes out. The next connection knows nothing of it.
	step(mode+": a context that ends", with(config(mode), func(conn *pgx.Conn) (any, error) {
		limited, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		defer stop()
		_, err := conn.Exec(limited, "SELECT pg_sleep($1::int)", 60)
		return []any{errors.Is(err, context.DeadlineExceeded), conn.IsClosed()}, nil
	}))
	asking := config(mode)
	asking.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, CancelRequestDelay: 0, DeadlineDelay: 60 * time.Second}
	}
	step(mode+": a context that asks to cancel", with(asking, func(conn *pgx.Conn) (any, error) {
		limited, stop := context.WithTimeout(ctx, 500*time.Millisecond)
		defer stop()
		_, err := conn.Exec(limited, "SELECT pg_sleep($1::int)", 60)
		var fault *pgconn.PgError
		var n int
		if !errors.As(err, &fault) {
			return nil, err
		}
		return []any{fault.Code, conn.IsClosed(), &n}, conn.QueryRow(ctx, "SELECT $1::int", 42).Scan(&n)
	}))
}
