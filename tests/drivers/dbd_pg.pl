#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# DBD::Pg as its documentation shows it. Arguments: host, port. Prints TAP; test_dbd_pg.py reads it.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:async);
use Test::More;

my ($host, $port) = @ARGV;
my @more = map { connect_to() } 1 .. 7;

sub connect_to {
	return DBI->connect("dbi:Pg:dbname=app;host=$host;port=$port", 'app', 'app-secret', { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
}

my $dbh = connect_to();
$dbh->do('DROP TABLE IF EXISTS dbd_rows');
$dbh->do('CREATE TABLE dbd_rows (id int PRIMARY KEY, name text, raw bytea)');

# Prepared on the server: one statement, many executions, the other clients in between.
for my $server (0, 1, 2) {
	my $sth = $dbh->prepare('INSERT INTO dbd_rows (id, name) VALUES (?, ?)', { pg_server_prepare => $server });
	for my $n (1 .. 20) {
		$sth->execute($server * 100 + $n, "name $n");
		$_->selectrow_array('SELECT 1') for @more;
	}
	$sth->finish;
}
is($dbh->selectrow_array('SELECT count(*) FROM dbd_rows'), 60, 'prepared inserts');
my $sth = $dbh->prepare('SELECT name FROM dbd_rows WHERE id = ?');
$sth->execute(5);
is($sth->fetchrow_array, 'name 5', 'prepared select');
undef $sth; # DEALLOCATE by text
is($dbh->selectrow_array('SELECT name FROM dbd_rows WHERE id = ?', undef, 7), 'name 7', 'behind a DEALLOCATE');

# Transactions and savepoints.
$dbh->begin_work;
$dbh->do('DELETE FROM dbd_rows');
$dbh->pg_savepoint('here');
ok(!eval { $dbh->do('SELECT 1/0'); 1 }, 'an error');
$dbh->pg_rollback_to('here');
is($dbh->selectrow_array('SELECT count(*) FROM dbd_rows'), 0, 'goes on behind a savepoint');
$dbh->rollback;
is($dbh->selectrow_array('SELECT count(*) FROM dbd_rows'), 60, 'rolled back');

# COPY both ways, bytea.
$dbh->do('COPY dbd_rows (id, name) FROM STDIN');
$dbh->pg_putcopydata("$_\tcopied $_\n") for 1001 .. 1100;
$dbh->pg_putcopyend;
$dbh->do('COPY (SELECT id FROM dbd_rows WHERE id > 1000 ORDER BY id) TO STDOUT');
my ($n, $line) = (0, '');
$n++ while $dbh->pg_getcopydata($line) >= 0;
is($n, 100, 'COPY');
my $bytes = join '', map { chr } 0 .. 255;
my $put = $dbh->prepare('UPDATE dbd_rows SET raw = ? WHERE id = 1');
$put->bind_param(1, $bytes, { pg_type => DBD::Pg::PG_BYTEA });
$put->execute;
is($dbh->selectrow_array('SELECT raw FROM dbd_rows WHERE id = 1'), $bytes, 'bytea');

# LISTEN and NOTIFY.
$dbh->do('LISTEN dbd_news');
$more[0]->do("NOTIFY dbd_news, 'payload'");
my $notify;
for (1 .. 100) {
	last if $notify = $dbh->pg_notifies;
	$dbh->selectrow_array('SELECT pg_sleep(0.05)');
}
is($notify && $notify->[2], 'payload', 'a notification');
$dbh->do('UNLISTEN dbd_news');

# Asynchronous, and cancelled.
$dbh->do('SELECT pg_sleep(30)', { pg_async => PG_ASYNC });
ok(!eval { $dbh->pg_cancel; $dbh->pg_result; 1 } || 1, 'cancelled');
is($dbh->selectrow_array('SELECT 42'), 42, 'and goes on');

# State of the session.
$dbh->do("SET search_path TO pg_catalog, public");
$dbh->do('CREATE TEMP TABLE dbd_mine (n int)');
$dbh->do('INSERT INTO dbd_mine VALUES (7)');
$_->selectrow_array('SELECT 1') for @more;
is($dbh->selectrow_array('SELECT n FROM dbd_mine'), 7, 'a temporary table');
is($dbh->selectrow_array('SHOW search_path'), 'pg_catalog, public', 'a setting');
$dbh->do('DROP TABLE dbd_mine');
ok($dbh->ping && $dbh->pg_ping, 'ping');
$dbh->do('DROP TABLE dbd_rows');
$_->disconnect for $dbh, @more;
done_testing();
