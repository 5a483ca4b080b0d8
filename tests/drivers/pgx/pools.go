// SPDX-License-Identifier: ISC

package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// What pgconn sends without waiting for answers.
func pipelines() {
	step("pipeline", with(config("cache_statement"), func(conn *pgx.Conn) (any, error) {
		var all []any
		pipeline := conn.PgConn().StartPipeline(ctx)
		pipeline.SendPrepare("piped", "SELECT $1::int * 2", nil)
		pipeline.SendQueryPrepared("piped", [][]byte{[]byte("21")}, nil, nil)
		pipeline.SendQueryParams("SELECT $1::text", [][]byte{[]byte("x")}, nil, nil, nil)
		pipeline.SendPipelineSync()
		pipeline.SendQueryParams("SELECT 1 / 0", nil, nil, nil, nil)
		pipeline.SendQueryPrepared("piped", [][]byte{[]byte("1")}, nil, nil)
		pipeline.SendPipelineSync()
		pipeline.SendQueryPrepared("piped", [][]byte{[]byte("4")}, nil, nil)
		pipeline.SendDeallocate("piped")
		pipeline.SendPipelineSync()
		if err := pipeline.Flush(); err != nil {
			return nil, err
		}
		for range 11 {
			results, err := pipeline.GetResults()
			all = append(all, fmt.Sprintf("%T", results))
			if err != nil {
				all = append(all, told(err))
			}
		}
		return all, pipeline.Close()
	}))
	step("notices", func() (any, error) {
		var heard []any
		c := config("exec")
		c.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
			heard = append(heard, []any{notice.Severity, notice.Code, notice.Message})
		}
		return with(c, func(conn *pgx.Conn) (any, error) {
			_, err := conn.Exec(ctx, "DROP TABLE IF EXISTS nothing_such")
			return heard, err
		})()
	})
}

func pools() {
	for _, mode := range []string{"cache_statement", "simple_protocol"} {
		step("pool, "+mode, func() (any, error) {
			c, err := pgxpool.ParseConfig("")
			if err != nil {
				return nil, err
			}
			c.ConnConfig = config(mode)
			c.MaxConns, c.MinConns, c.MaxConnLifetime = 4, 2, 300*time.Millisecond
			pool, err := pgxpool.NewWithConfig(ctx, c)
			if err != nil {
				return nil, err
			}
			defer pool.Close()
			var waiting sync.WaitGroup
			results, failures := make([]int, scaled(200, 40)), make([]error, scaled(200, 40))
			for i := range results {
				waiting.Add(1)
				go func() {
					defer waiting.Done()
					failures[i] = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
						return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
							if err := tx.QueryRow(ctx, fmt.Sprintf("SELECT $1::int + %d", i%5), i).Scan(&results[i]); err != nil {
								return err
							}
							_, err := tx.Exec(ctx, "UPDATE items SET amount = amount + $1 WHERE id = 1", 1)
							return err
						})
					})
				}()
			}
			waiting.Wait()
			for _, err := range failures {
				if err != nil {
					return nil, err
				}
			}
			sum, err := rows(pool, "UPDATE items SET amount = 1 WHERE id = 1 RETURNING (SELECT amount::int FROM items WHERE id = 1)")
			return []any{results, sum}, err
		})
	}
}

// database/sql: what most Go programs use.
func standard() {
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		step("database/sql, "+mode, func() (any, error) {
			db := stdlib.OpenDB(*config(mode))
			defer db.Close()
			db.SetMaxOpenConns(3)
			prepared, err := db.Prepare("SELECT name FROM items WHERE id = $1")
			if err != nil {
				return nil, err
			}
			defer prepared.Close()
			var all []any
			for i := 1; i <= 10; i++ {
				var name string
				var nothing sql.NullString
				if err := prepared.QueryRow(i).Scan(&name); err != nil {
					return nil, err
				}
				if err := db.QueryRow("SELECT $1::text", nil).Scan(&nothing); err != nil {
					return nil, err
				}
				all = append(all, name, nothing.Valid)
			}
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
			if err != nil {
				return nil, err
			}
			result, err := tx.Exec("UPDATE items SET amount = amount WHERE id <= $1", 5)
			if err != nil {
				return nil, err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return nil, err
			}
			_, taken := tx.Exec("INSERT INTO items VALUES ($1, 'taken')", 1)
			limited, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			defer stop()
			_, late := db.ExecContext(limited, "SELECT pg_sleep(60)")
			return append(all, n, told(taken), late != nil, tx.Rollback() == nil, db.Ping() == nil), nil
		})
	}
}

// What needs a session of its own.
func sessions() {
	news := schema + " news"
	for _, mode := range []string{"simple_protocol", "cache_statement"} {
		step(mode+": LISTEN and NOTIFY", with(config(mode), func(conn *pgx.Conn) (any, error) {
			other, err := pgx.ConnectConfig(ctx, config(mode))
			if err != nil {
				return nil, err
			}
			defer other.Close(ctx)
			if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{news}.Sanitize()); err != nil {
				return nil, err
			}
			var heard []string
			for i := range 10 {
				if _, err := other.Exec(ctx, "SELECT pg_notify($1, $2)", news, fmt.Sprint("payload ", i)); err != nil {
					return nil, err
				}
				n, err := conn.WaitForNotification(ctx)
				if err != nil {
					return nil, err
				}
				heard = append(heard, n.Payload)
			}
			// A wait that is given up leaves the connection whole.
			limited, stop := context.WithTimeout(ctx, 50*time.Millisecond)
			defer stop()
			_, err = conn.WaitForNotification(limited)
			var n int
			if err := conn.QueryRow(ctx, "SELECT $1::int", 42).Scan(&n); err != nil {
				return nil, err
			}
			_, unlisten := conn.Exec(ctx, "UNLISTEN *")
			return []any{heard, err != nil, conn.IsClosed(), n}, unlisten
		}))
		step(mode+": temporary tables", with(config(mode), func(conn *pgx.Conn) (any, error) {
			if _, err := conn.Exec(ctx, "CREATE TEMP TABLE mine (n int)"); err != nil {
				return nil, err
			}
			if _, err := conn.CopyFrom(ctx, pgx.Identifier{"mine"}, []string{"n"}, pgx.CopyFromRows([][]any{{int32(1)}, {int32(2)}})); err != nil {
				return nil, err
			}
			found, err := rows(conn, "SELECT n FROM mine ORDER BY n")
			if err != nil {
				return nil, err
			}
			_, err = conn.Exec(ctx, "DROP TABLE mine")
			return found, err
		}))
	}
}
