// SPDX-License-Identifier: ISC
// pgjdbc in HikariCP's pool, as applications have it. One word: plain. Prints a line of JSON for each step; libpq's variables say where to connect.

import com.zaxxer.hikari.*;
import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;

public class HikariSuite {
	interface Step { Object run() throws Exception; }

	static String text(Object value) {
		if (value instanceof Object[] array) value = Arrays.asList(array);
		if (value instanceof Collection<?> all) {
			StringJoiner joiner = new StringJoiner(",", "[", "]");
			for (Object one : all) joiner.add(text(one));
			return joiner.toString();
		}
		return value instanceof Number || value instanceof Boolean || value == null ? "" + value : "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
	}

	static void step(String name, Step step) {
		try {
			System.out.println("{\"step\":" + text(name) + ",\"result\":" + text(step.run()) + "}");
		} catch (Throwable t) {
			System.err.println(name);
			t.printStackTrace();
			System.exit(1);
		}
	}

	static List<Object> told(Callable<?> work) throws Exception {
		try {
			work.call();
		} catch (SQLException e) {
			return Arrays.asList(e.getSQLState(), e.getMessage());
		}
		throw new IllegalStateException("no error came");
	}

	static HikariDataSource pool(String more) {
		HikariConfig config = new HikariConfig();
		config.setJdbcUrl("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/app?sslmode=disable&" + more);
		config.setUsername("app");
		config.setPassword(System.getenv("PGPASSWORD"));
		config.setSchema(System.getenv("SUITE_SCHEMA"));
		config.setMaximumPoolSize(3);
		config.setConnectionTimeout(60000);
		config.setIsolateInternalQueries(true);
		return new HikariDataSource(config);
	}

	static List<Object> rows(Connection c, String sql, Object... values) throws SQLException {
		try (PreparedStatement p = c.prepareStatement(sql)) {
			for (int i = 0; i < values.length; i++) p.setObject(i + 1, values[i]);
			List<Object> all = new ArrayList<>();
			try (ResultSet r = p.executeQuery()) {
				while (r.next()) {
					List<Object> row = new ArrayList<>();
					for (int i = 1; i <= r.getMetaData().getColumnCount(); i++) row.add(r.getObject(i));
					all.add(row);
				}
			}
			return all;
		}
	}

	static int run(Connection c, String sql, Object... values) throws SQLException {
		try (PreparedStatement p = c.prepareStatement(sql)) {
			for (int i = 0; i < values.length; i++) p.setObject(i + 1, values[i]);
			return p.executeUpdate();
		}
	}

	static Object manyThreads(HikariDataSource pool) throws Exception {
		ExecutorService threads = Executors.newFixedThreadPool(6);
		List<Future<Object>> all = new ArrayList<>();
		for (int t = 0; t < 6; t++) {
			int of = t;
			all.add(threads.submit(() -> {
				List<Object> seen = new ArrayList<>();
				for (int i = 1; i <= 15; i++)
					try (Connection c = pool.getConnection()) {
						seen.add(rows(c, "SELECT name, ?::int FROM items WHERE id = ?", of, i));
						run(c, "UPDATE items SET amount = amount + 1 WHERE id = 1");
					}
				return seen;
			}));
		}
		List<Object> results = new ArrayList<>();
		for (Future<Object> one : all) results.add(one.get());
		threads.shutdown();
		try (Connection c = pool.getConnection()) {
			results.add(rows(c, "SELECT amount FROM items WHERE id = 1"));
			run(c, "UPDATE items SET amount = 1 WHERE id = 1");
		}
		return results;
	}

	/* What a pool sets on a connection that is borrowed, and takes back when it comes home. */
	static Object settings(HikariDataSource pool) throws Exception {
		List<Object> seen = new ArrayList<>();
		try (Connection c = pool.getConnection()) {
			c.setReadOnly(true);
			c.setAutoCommit(false);
			c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
			c.setNetworkTimeout(Runnable::run, 50000);
			seen.add(rows(c, "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"));
			seen.add(told(() -> run(c, "DELETE FROM items")));
			c.rollback();
			c.setSchema("public");
			seen.add(rows(c, "SHOW search_path"));
			c.rollback();
		}
		for (int i = 0; i < 6; i++)
			try (Connection c = pool.getConnection()) {
				seen.add(rows(c, "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('search_path') LIKE '%suite_%'"));
				seen.add(Arrays.asList(c.isValid(5), c.getAutoCommit(), c.isReadOnly()));
			}
		return seen;
	}

	static Object transactions(HikariDataSource pool) throws Exception {
		List<Object> seen = new ArrayList<>();
		try (Connection c = pool.getConnection()) {
			c.setAutoCommit(false);
			for (int i = 0; i < 8; i++) {
				int n = i;
				Savepoint savepoint = c.setSavepoint();
				seen.add(told(() -> run(c, "INSERT INTO items VALUES (?, 'taken')", 1)));
				c.rollback(savepoint);
				seen.add(run(c, "INSERT INTO items VALUES (?, ?)", 100 + n, "kept"));
				c.releaseSavepoint(savepoint);
			}
			c.commit();
			seen.add(run(c, "DELETE FROM items WHERE id >= ?", 100));
			c.rollback();
			seen.add(run(c, "DELETE FROM items WHERE id >= ?", 100));
			c.commit();
		}
		return seen;
	}

	static Object batches(HikariDataSource pool) throws Exception {
		List<Object> seen = new ArrayList<>();
		try (Connection c = pool.getConnection()) {
			for (int round = 0; round < 3; round++)
				try (PreparedStatement p = c.prepareStatement("INSERT INTO items VALUES (?, ?) RETURNING id", Statement.RETURN_GENERATED_KEYS)) {
					for (int i = 200; i < 240; i++) {
						p.setInt(1, i);
						p.setString(2, "batch");
						p.addBatch();
					}
					int[] counts = p.executeBatch();
					ResultSet keys = p.getGeneratedKeys();
					int n = 0;
					while (keys.next()) n++;
					seen.add(Arrays.asList(counts.length, n, run(c, "DELETE FROM items WHERE id >= ?", 200)));
				}
			try (PreparedStatement p = c.prepareStatement("INSERT INTO items VALUES (?, 'x')")) {
				for (int i : new int[] {300, 1, 301}) {
					p.setInt(1, i);
					p.addBatch();
				}
				p.executeBatch();
			} catch (BatchUpdateException e) {
				seen.add(Arrays.asList(e.getSQLState(), e.getUpdateCounts().length));
			}
			seen.add(rows(c, "SELECT count(*) FROM items WHERE id >= 300"));
		}
		return seen;
	}

	static Object types(HikariDataSource pool) throws Exception {
		List<Object> seen = new ArrayList<>();
		try (Connection c = pool.getConnection()) {
			for (int i = 0; i < 7; i++)
				seen.add(rows(c, "SELECT ?::int8, ?::numeric, ?::text, ?::bool, ?::date, ?::timestamp, ?::uuid, '{1,2}'::int[]::text, '{\"a\":1}'::jsonb::text", 1L + i, new BigDecimal("1.10"), "é'\\", true, LocalDate.of(2026, 1, 2),
					LocalDateTime.of(2026, 1, 2, 3, 4, 5, 6000), new UUID(0, 170)));
			c.setAutoCommit(false);
			try (PreparedStatement p = c.prepareStatement("SELECT n FROM generate_series(1, ?) n")) {
				p.setFetchSize(50);
				p.setInt(1, 730);
				long sum = 0;
				try (ResultSet r = p.executeQuery()) {
					while (r.next()) sum += r.getLong(1);
				}
				seen.add(sum);
			}
			c.rollback();
		}
		return seen;
	}

	static Object timeouts(HikariDataSource pool) throws Exception {
		try (Connection c = pool.getConnection(); Statement s = c.createStatement()) {
			s.setQueryTimeout(1);
			String state = "";
			try {
				s.execute("SELECT pg_sleep(60)");
			} catch (SQLException e) {
				state = e.getSQLState();
			}
			return Arrays.asList(state, rows(c, "SELECT 42"), c.isValid(5));
		}
	}

	public static void main(String[] arguments) {
		TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
		try (HikariDataSource pool = pool("")) {
			step("tables", () -> {
				try (Connection c = pool.getConnection()) {
					run(c, "CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric)");
					return run(c, "INSERT INTO items SELECT n, 'name ' || n, n FROM generate_series(1, 40) n");
				}
			});
		}
		for (String mode : new String[] {"prepareThreshold=5&preparedStatementCacheQueries=8", "prepareThreshold=1", "prepareThreshold=-1", "autosave=conservative&prepareThreshold=1", "autosave=always", "preferQueryMode=simple"})
			try (HikariDataSource pool = pool(mode)) {
				step(mode + ": many threads", () -> manyThreads(pool));
				step(mode + ": settings", () -> settings(pool));
				step(mode + ": transactions", () -> transactions(pool));
				step(mode + ": batches", () -> batches(pool));
				step(mode + ": types", () -> types(pool));
			}
		try (HikariDataSource pool = pool("prepareThreshold=1")) {
			step("timeouts", () -> timeouts(pool));
		}
		System.exit(0);
	}
}
