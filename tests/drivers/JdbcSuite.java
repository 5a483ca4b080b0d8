// SPDX-License-Identifier: ISC
// pgjdbc as a pool such as HikariCP uses it. Arguments: URL without parameters, user, password. Prints TAP; test_jdbc.py reads it.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class JdbcSuite {
	static String url, user, password;
	static int n = 0, nFailed = 0;

	interface Test { void run(String parameters) throws Exception; }

	static Connection connect(String parameters) throws SQLException {
		return DriverManager.getConnection(url + "?" + parameters, user, password);
	}

	static void check(boolean right, String what) {
		if (!right) throw new IllegalStateException(what);
	}

	static void test(String name, String parameters, Test test) {
		n++;
		try {
			test.run(parameters);
			System.out.println("ok " + n + " - " + name + " (" + parameters + ")");
		} catch (Throwable t) {
			nFailed++;
			System.out.println("not ok " + n + " - " + name + " (" + parameters + "): " + t);
			t.printStackTrace(System.out);
		}
	}

	static int one(Connection c, String sql) throws SQLException {
		try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
			r.next();
			return r.getInt(1);
		}
	}

	static void run(Connection c, String sql) throws SQLException {
		try (Statement s = c.createStatement()) {
			s.execute(sql);
		}
	}

	// The same PreparedStatement over and over, with the server prepared one from the threshold on.
	static void prepared(String parameters) throws Exception {
		try (Connection c = connect(parameters); Connection other = connect(parameters)) {
			run(c, "DROP TABLE IF EXISTS jdbc_rows");
			run(c, "CREATE TABLE jdbc_rows (id int PRIMARY KEY, name text, amount numeric)");
			try (PreparedStatement p = c.prepareStatement("INSERT INTO jdbc_rows VALUES (?, ?, ?)")) {
				for (int i = 0; i < 20; i++) {
					p.setInt(1, i);
					p.setString(2, "name " + i);
					p.setBigDecimal(3, new java.math.BigDecimal(i + ".5"));
					p.executeUpdate();
					one(other, "SELECT 1");
				}
				for (int i = 100; i < 400; i++) {
					p.setInt(1, i);
					p.setString(2, null);
					p.setBigDecimal(3, null);
					p.addBatch();
				}
				check(p.executeBatch().length == 300, "batch");
			}
			try (PreparedStatement p = c.prepareStatement("SELECT name FROM jdbc_rows WHERE id = ?")) {
				for (int i = 0; i < 20; i++) {
					p.setInt(1, i);
					try (ResultSet r = p.executeQuery()) {
						check(r.next() && r.getString(1).equals("name " + i), "row " + i);
					}
				}
			}
			check(one(c, "SELECT count(*) FROM jdbc_rows") == 320, "count");
		}
	}

	static void transactions(String parameters) throws Exception {
		try (Connection c = connect(parameters)) {
			c.setAutoCommit(false);
			c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
			run(c, "DELETE FROM jdbc_rows");
			Savepoint s = c.setSavepoint();
			try {
				run(c, "SELECT 1/0");
				check(false, "no error");
			} catch (SQLException e) {
				check(e.getSQLState().equals("22012"), e.getSQLState());
			}
			c.rollback(s);
			check(one(c, "SELECT count(*) FROM jdbc_rows") == 0, "in the transaction");
			c.rollback();
			check(one(c, "SELECT count(*) FROM jdbc_rows") == 320, "rolled back");
			c.commit();
			c.setReadOnly(true);
			try {
				run(c, "DELETE FROM jdbc_rows");
				check(false, "not read only");
			} catch (SQLException e) {
				check(e.getSQLState().equals("25006"), e.getSQLState());
			}
			c.rollback();
		}
	}

	// autosave=always: a savepoint before every statement, so that the transaction survives errors.
	static void autosave(String parameters) throws Exception {
		try (Connection c = connect(parameters + "&autosave=always")) {
			c.setAutoCommit(false);
			for (int i = 0; i < 5; i++) {
				run(c, "UPDATE jdbc_rows SET name = 'saved' WHERE id = " + i);
				try (PreparedStatement p = c.prepareStatement("SELECT 1/?")) {
					p.setInt(1, 0);
					p.executeQuery();
					check(false, "no error");
				} catch (SQLException e) {
					check(e.getSQLState().equals("22012"), e.getSQLState());
				}
			}
			c.commit();
			check(one(c, "SELECT count(*) FROM jdbc_rows WHERE name = 'saved'") == 5, "saved");
		}
	}

	static void fetchSize(String parameters) throws Exception {
		try (Connection c = connect(parameters)) {
			c.setAutoCommit(false);
			try (PreparedStatement p = c.prepareStatement("SELECT generate_series(1, ?)")) {
				p.setFetchSize(100);
				p.setInt(1, 2500);
				long sum = 0;
				try (ResultSet r = p.executeQuery()) {
					while (r.next()) sum += r.getInt(1);
				}
				check(sum == 2500L * 2501 / 2, "sum " + sum);
			}
			c.commit();
		}
	}

	static void copy(String parameters) throws Exception {
		try (Connection c = connect(parameters)) {
			StringBuilder text = new StringBuilder();
			for (int i = 10000; i < 15000; i++) text.append(i).append("\tcopied\t1\n");
			PGConnection pg = c.unwrap(PGConnection.class);
			check(pg.getCopyAPI().copyIn("COPY jdbc_rows FROM STDIN", new ByteArrayInputStream(text.toString().getBytes("UTF-8"))) == 5000, "in");
			ByteArrayOutputStream out = new ByteArrayOutputStream();
			check(pg.getCopyAPI().copyOut("COPY (SELECT * FROM jdbc_rows WHERE id >= 10000 ORDER BY id) TO STDOUT", out) == 5000, "out");
			check(out.toString("UTF-8").equals(text.toString()), "the same");
			run(c, "DELETE FROM jdbc_rows WHERE id >= 10000");
		}
	}

	static void cancel(String parameters) throws Exception {
		try (Connection c = connect(parameters); Statement s = c.createStatement()) {
			s.setQueryTimeout(1);
			try {
				s.execute("SELECT pg_sleep(60)");
				check(false, "not cancelled");
			} catch (SQLException e) {
				check(e.getSQLState().equals("57014"), e.getSQLState());
			}
			check(one(c, "SELECT 42") == 42, "goes on");
		}
	}

	static void notifications(String parameters) throws Exception {
		try (Connection c = connect(parameters); Connection other = connect(parameters)) {
			run(c, "LISTEN jdbc_news");
			run(other, "NOTIFY jdbc_news, 'payload'");
			PGNotification[] heard = c.unwrap(PGConnection.class).getNotifications(10000);
			check(heard != null && heard.length == 1 && heard[0].getParameter().equals("payload"), "heard");
		}
	}

	// What the pool checks when it lends a connection, and DDL between executions of what is prepared.
	static void changedTables(String parameters) throws Exception {
		try (Connection c = connect(parameters); Connection other = connect(parameters)) {
			check(c.isValid(5), "valid");
			run(c, "DROP TABLE IF EXISTS jdbc_changed");
			run(c, "CREATE TABLE jdbc_changed (a int)");
			run(c, "INSERT INTO jdbc_changed VALUES (1)");
			try (PreparedStatement p = c.prepareStatement("SELECT * FROM jdbc_changed")) {
				for (int i = 0; i < 8; i++) {
					if (i == 6) run(other, "ALTER TABLE jdbc_changed ADD b text DEFAULT 'new'");
					try (ResultSet r = p.executeQuery()) {
						check(r.next() && r.getInt(1) == 1, "row");
						check(i < 6 || r.getMetaData().getColumnCount() == 2, "columns");
					}
				}
			}
			run(c, "DROP TABLE jdbc_changed");
		}
	}

	static void threads(String parameters) throws Exception {
		try (Connection c = connect(parameters)) {
			run(c, "UPDATE jdbc_rows SET amount = 0 WHERE id = 1");
		}
		ExecutorService pool = Executors.newFixedThreadPool(8);
		List<Future<?>> all = new ArrayList<>();
		for (int t = 0; t < 8; t++)
			all.add(pool.submit(() -> {
				try (Connection c = connect(parameters)) {
					c.setAutoCommit(false);
					for (int i = 0; i < 25; i++) {
						try (PreparedStatement p = c.prepareStatement("UPDATE jdbc_rows SET amount = amount + ? WHERE id = 1")) {
							p.setInt(1, 1);
							p.executeUpdate();
						}
						c.commit();
					}
				}
				return null;
			}));
		for (Future<?> one : all) one.get();
		pool.shutdown();
		try (Connection c = connect(parameters)) {
			check(one(c, "SELECT amount::int FROM jdbc_rows WHERE id = 1") == 200, "sum");
		}
	}

	public static void main(String[] arguments) {
		url = arguments[0];
		user = arguments[1];
		password = arguments[2];
		String[] modes = {"prepareThreshold=5", "prepareThreshold=1", "prepareThreshold=1&binaryTransfer=false", "preferQueryMode=simple",
			"preferQueryMode=extendedForPrepared", "preferQueryMode=extendedCacheEverything"};
		for (String mode : modes) {
			test("prepared", mode, JdbcSuite::prepared);
			test("transactions", mode, JdbcSuite::transactions);
			test("autosave", mode, JdbcSuite::autosave);
			test("fetch size", mode, JdbcSuite::fetchSize);
			test("copy", mode, JdbcSuite::copy);
			test("cancel", mode, JdbcSuite::cancel);
			test("notifications", mode, JdbcSuite::notifications);
			test("changed tables", mode, JdbcSuite::changedTables);
			test("eight threads on two servers", mode, JdbcSuite::threads);
		}
		System.out.println("1.." + n);
		System.exit(nFailed == 0 ? 0 : 1);
	}
}
