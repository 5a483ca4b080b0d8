// SPDX-License-Identifier: ISC

// pgx v5 in each of its ways to run a statement, pgxpool, and database/sql over it. Each step prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	ctx    = context.Background()
	schema = os.Getenv("SUITE_SCHEMA")
)

// A step that fails ends the suite: what must fail is asked for with told().
func step(name string, work func() (any, error)) {
	result, err := work()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	text, err := json.Marshal(map[string]any{"step": name, "result": result})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}

func scaled(n, least int) int {
	scale, err := strconv.ParseFloat(os.Getenv("SUITE_SCALE"), 64)
	if err != nil {
		return n
	}
	return max(least, int(float64(n)*scale))
}

// What a client is told by an error that has to come.
func told(err error) any {
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		return []any{fault.Severity, fault.Code, fault.Message, fault.Detail, fault.Hint, fault.Position, fault.TableName, fault.ColumnName, fault.ConstraintName}
	}
	if err == nil {
		return "no error"
	}
	return err.Error()
}

var modes = map[string]pgx.QueryExecMode{
	"simple_protocol": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec, "describe_exec": pgx.QueryExecModeDescribeExec,
	"cache_describe": pgx.QueryExecModeCacheDescribe, "cache_statement": pgx.QueryExecModeCacheStatement,
}

func config(mode string) *pgx.ConnConfig {
	c, err := pgx.ParseConfig("")
	if err != nil {
		panic(err)
	}
	c.RuntimeParams["search_path"] = schema + ",public"
	c.RuntimeParams["application_name"] = "pgx suite"
	c.DefaultQueryExecMode = modes[mode]
	return c
}

// Runs work with a connection of its own.
func with(c *pgx.ConnConfig, work func(*pgx.Conn) (any, error)) func() (any, error) {
	return func() (any, error) {
		conn, err := pgx.ConnectConfig(ctx, c)
		if err != nil {
			return nil, err
		}
		defer conn.Close(ctx)
		return work(conn)
	}
}

func rows(q interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string, arguments ...any) ([][]any, error) {
	r, err := q.Query(ctx, sql, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(r, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
}

func main() {
	go func() {
		time.Sleep(100 * time.Second)
		panic("the suite is stuck")
	}()
	if os.Args[1] == "session" {
		sessions()
		return
	}
	step("tables", with(config("exec"), func(conn *pgx.Conn) (any, error) {
		tag, err := conn.Exec(ctx, `CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric CHECK (amount >= 0));
			INSERT INTO items SELECT n, 'name ' || n, n FROM generate_series(1, 40) n; CREATE TABLE copied (mode text, id int, name text, at timestamptz, raw bytea)`)
		return tag.String(), err
	}))
	for _, mode := range []string{"simple_protocol", "exec", "describe_exec", "cache_describe", "cache_statement"} {
		statements(mode)
		transactions(mode)
		volumes(mode)
	}
	cancels("simple_protocol")
	cancels("cache_statement")
	named()
	pipelines()
	pools()
	standard()
}
