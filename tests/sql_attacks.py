"""Statements that must not run, and some that must, by driver; `OK ` before what must still run."""

MYSQL = r"""
OK select 1
OK select 1;
select 1; delete from t
select 1;;
with x as (select 1) delete from t
OK with x as (select 1) select * from x
select * into outfile '/tmp/x' from t
select * from t into outfile '/tmp/x'
select 1 /*!50000 into outfile '/tmp/x' */
/*!50000 delete from t */
/*!select*/ 1
select 1 /* !50000 into outfile '/tmp/x' */
select /*+ max_execution_time(0) */ * from t
select 1 /*M!100000 union select user() */
select 1 /*m!100000 union select user() */
select 1 /* /*! sleep(1) */ */
select load_file('/etc/passwd')
select sleep(10)
select SLEEP (10)
select sleep/**/(10)
select `sleep`(10)
select mysql.sleep(10)
select `d`.`f`(10)
select benchmark(1e9,md5(1))
select get_lock('a',10)
select release_lock('a')
select is_free_lock('a')
select uuid_short()
select last_insert_id(7)
select row_count()
select connection_id()
select found_rows()
select version()
select user()
select current_user
select current_user()
select session_user()
select database()
select schema()
select charset('a')
select @@version
select @@global.secure_file_priv
select @a
select @`a`
select @a:=1
select * from t for update
select * from t for share
select * from t for update skip locked
select * from (select * from t for update) x
select * from t lock in share mode
select nextval(s)
select next value for s
select previous value for s
select lastval(s)
select setval(s, 1)
select * from mysql.user
select * from `mysql`.`user`
select * from MySQL.user
select * from information_schema.tables
select * from INFORMATION_SCHEMA.TABLES
select * from performance_schema.threads
select * from sys.session
select * from other.t
select * from a.b.c
table t
(table t)
select * from (table t) x
values row(1)
values (1)
select * from (values (1)) x
handler t open
do sleep(1)
explain delete from t
explain select 1
analyze delete from t
analyze select 1
describe t
desc t
show grants
set @a=1
set global x=1
set statement max_statement_time=1 for select 1
call p()
execute immediate 'delete from t'
prepare s from 'delete from t'
select f_that_writes()
OK (select 1)
OK ((select 1))
OK select 1 union select 2
OK (select 1) union all (select 2) order by 1
select * from t procedure analyse()
kill 5
load data infile '/x' into table t
load data local infile '/x' into table t
load xml infile '/x' into table t
OK select * from t where a = 'it''s; delete from t'
OK select "a;b", 'c''d', "e""f"
OK select `a;b` from t
OK select `a``; delete from t` from t
select 1 -- x\n; drop table t
select 1 # c\n; drop table t
select 1 --drop
select 1 --+ hint
OK select 1 -- drop\n
OK select 1 # drop\n
OK select/**/1
OK select 1 /* ; delete from t */
select 1 /* unclosed
select * from (delete from t returning *) x
delete from t returning *
insert into t values (1) returning *
insert into t values (1) on duplicate key update a=2
insert ignore into t values (1)
insert low_priority into t values (1)
insert delayed into t values (1)
insert into t select sleep(1)
insert into t values (sleep(1))
insert into t values (load_file('/etc/passwd'))
update t set a = sleep(1)
update t join u set t.a = 1
update t, u set t.a = 1
update mysql.user set a = 1
delete from mysql.user
delete t from t join u on t.a = u.a
delete from t, u using t join u
delete from t using t join u
replace into t values(1)
truncate t
drop table t
alter table t add a int
create table x as select 1
create temporary table x (a int)
rename table t to u
lock tables t write
unlock tables
flush tables
optimize table t
start transaction
begin
commit
rollback
savepoint x
xa start 'x'
use mysql
grant all on *.* to x
revoke all on *.* from x
install plugin x soname 'y'
create function sys_exec returns int soname 'x.so'
help 'x'
select 1 \G
select 1 \g
OK select 'a' 'b'
OK select 'a' "b" 'c'
select 'a\' or 1=1 -- '
select 'a\\'
select "a\" or 1=1 -- "
select `a\``
select _utf8'a'
select _binary 'a'
select n'a'
select x'41'
select b'1'
select 0x41
select 'a'b'c'
select {fn sleep(1)}
select {d '2020-01-01'}
select master_pos_wait('a',1,10)
select source_pos_wait('a',1,10)
select wait_for_executed_gtid_set('a')
select sys_exec('id')
select sys_eval('id')
select extractvalue(1,concat(0x7e,version()))
select extractvalue(1,concat('~',a)) from t
select updatexml(1,concat('~',a),1) from t
select name_const('a',1)
select repeat('a',1000000000)
select space(1000000000)
select lpad('a',1000000000,'b')
select rpad('a',a,'b') from t
OK select lpad(a, 10, '0') from t
select aes_decrypt('a','b')
select encrypt('a')
select compress('a')
select uncompress('a')
select json_table('[1]', '$[*]' columns (a int path '$'))
select * from json_table('[1]', '$[*]' columns (a int path '$')) x
select * from t limit 1 into @x
select a into @x from t
select a into x from t
select password from t into dumpfile '/tmp/y'
select * from t use index (a)
select * from t force index (a)
select * from t partition (p0)
select * from t for system_time all
select sql_calc_found_rows * from t
select high_priority * from t
select straight_join * from t
select * from t straight_join u
select * from t where a in u
select * from t where match(a) against ('b')
with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c
with c(x) as (select 1 union all select x+1 from c) select count(*) from c
with recursive c as (select 1) select * from c
with t as (select * from t) select * from t
with T as (select 1) select * from t
with a as (select * from b), b as (select 1) select * from a
select * from c where x in (with c as (select 1) select * from c)
OK with a as (select 1 x), b as (select x from a) select * from b
select * from t limit 1 procedure analyse(1)
select * from t limit 1 for update
select * from lateral (select 1) x
select * from t, lateral (select t.a) x
select ? from t
select %s from t
select %(a)s from t
select $1 from t
select :1 from t
select :a:=1
OK select :a, :a, :b from t
OK select '12:30:00', ':a', `:b` from t
OK select a % 2, '100%', `a%` from t
select a || b from t
select a|b||c from t
select !a from t
select * from (select 1 from dual where sleep(1)) x
OK select 1 from dual
OK select date '2020-01-01', timestamp '2020-01-01 10:00:00'
OK select a from t where b rlike '^x' and c regexp 'y'
OK select count(*), sum(a), group_concat(distinct b order by c separator ';') from t
OK select d, sum(a) from t group by d with rollup having count(*) > 1
OK select if(a, b, c), ifnull(a, b), case when a then b else c end, cast(a as signed) from t
OK select convert(a using utf8mb4) from t
OK select date_add(a, interval 1 day), a + interval 2 hour, date_format(a, '%Y-%m'), timestampdiff(hour, a, b) from t
OK select extract(year from a) from t
OK select row_number() over (partition by a order by b desc rows between 1 preceding and current row) from t
OK select a from t where exists (select 1 from u where u.a = t.a) and (b, c) in (select d, e from v) limit 3, 4
OK select json_extract(a, '$.b'), a->'$.c' from t
OK select * from t a left join u b using (id) natural join v cross join w
OK insert into t (a, b) values (1, :b), (default, 'c')
OK insert into t (a) select b from u where c = :c
OK update t set a = a + 1, b = :b where c in (1, 2) order by d limit 3
OK update t x set a = 1 where x.b = 2
OK delete from t where a < :a limit 1
"""

SQLITE = r"""
OK select 1
pragma table_info(t)
pragma journal_mode=delete
select * from pragma_table_info('t')
select * from pragma_table_info
attach 'x.db' as y
attach database 'x.db' as y
detach y
select load_extension('x')
select readfile('/etc/passwd')
select writefile('/tmp/x','a')
select edit('a')
vacuum into '/tmp/z'
vacuum
reindex
analyze
explain select 1
explain query plan select 1
with x as (select 1) delete from t
select fts3_tokenizer('a')
select zeroblob(1000000000)
select randomblob(1e9)
select random()
select printf('%1000000000d', 1)
select format('%1000000000d', 1)
select sqlite_version()
select sqlite_source_id()
select sqlite_compileoption_get(0)
select sqlite_offset(a) from t
select last_insert_rowid()
select changes()
select total_changes()
select replace(hex(zeroblob(1000)), '0', 'a')
with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c
with c(x) as (select 1 union all select x+1 from c) select count(*) from c
with c as (select 1 union all select 1 from C) select count(*) from c
with a as (select * from b), b as (select * from a) select * from a
select * from sqlite_master
select * from SQLITE_MASTER
select * from "sqlite_schema"
select * from [sqlite_temp_master]
select * from sqlite_sequence
select * from sqlite_dbpage
select * from dbstat
select * from main.sqlite_master
select * from other.t
select * from json_each('[1]')
select * from json_tree('[1]')
select * from generate_series(1, 1000000000)
select * from t where a in u
select * from t where a in main.u
select * from t where a in json_each('[1]')
select * from t indexed by i
select * from t not indexed
values (1)
select * from (values (1))
insert or replace into t values (1)
replace into t values (1)
insert into t values (1) on conflict do nothing
insert into t values (1) returning *
insert into t default values
update or ignore t set a = 1
update t set a = 1 from u
update t set a = 1 returning *
update sqlite_master set sql = 'x'
delete from t returning *
select a->>'$.x' || load_extension('x') from t
select `load_extension`('x')
select "load_extension"('x')
select [load_extension]('x')
select "a".load_extension('x')
select x'41'
select 'a' /* c */ ; delete from t
select 1 -- c\n; delete from t
select ?1
select @a
select $a
select #a
select a match 'b' from t
select raise(abort, 'x')
create table x (a)
create table x as select 1
drop table t
alter table t add a
begin
commit
rollback
savepoint x
release x
OK select 'a\' -- c
OK select "a", [b c], `d` from t
OK select ifnull(a, b), iif(a, b, c), strftime('%Y', a), date('now', '-1 day'), substr(a, 1, 2), a || b from t
OK select group_concat(a, ';'), total(a), max(a, b), typeof(a), json_extract(a, '$.b'), a ->> '$.c' from t
OK select a from t where b glob 'x*' and c is not d and e is null order by a collate nocase nulls last
OK select count(*) over (partition by a) from t
OK select 1 -- it''s
OK insert into t (a) values (:a)
OK update t set a = :a where b = 'c'
OK delete from t where a = 1
"""

POSTGRESQL = r"""
OK select 1
select 1; delete from t
with x as (delete from t returning *) select * from x
with x as (insert into t values (1) returning *) select * from x
with x as (update t set a = 1 returning *) select * from x
with x as (select 1) delete from t
with x as (select 1) insert into t select * from x
with x as materialized (select 1) select * from x
with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c
select * into x from t
select * into temp x from t
create table x as select 1
copy t to '/tmp/x'
copy t from program 'id'
copy (select 1) to stdout
do $$ begin perform pg_sleep(1); end $$
do 'begin end'
select $$a$$
select $x$ a; delete from t $x$
select E'a\'b'
select e'\x41'
select U&'\0041'
select U&"d\0061ta" from t
select u&'a' uescape '!'
select 'a\'
select B'1'
select X'41'
select N'a'
select pg_sleep(10)
select pg_catalog.pg_sleep(10)
select "pg_sleep"(10)
select pg_sleep_for('1 second')
select pg_read_file('/etc/passwd')
select pg_read_binary_file('/etc/passwd')
select pg_ls_dir('/')
select pg_stat_file('/')
select pg_advisory_lock(1)
select pg_try_advisory_lock(1)
select pg_terminate_backend(1)
select pg_cancel_backend(1)
select pg_reload_conf()
select pg_switch_wal()
select pg_notify('a', 'b')
select pg_export_snapshot()
select pg_logical_emit_message(true, 'a', 'b')
select txid_current()
select set_config('statement_timeout', '0', false)
select current_setting('data_directory')
select query_to_xml('delete from t', true, true, '')
select table_to_xml('t', true, true, '')
select cursor_to_xml('c', 1, true, true, '')
select xpath('/a', '<a/>')
select xmlparse(document '<a/>')
select dblink('host=x', 'select 1')
select * from dblink('host=x', 'select 1') as t(a int)
select dblink_exec('delete from t')
select lo_import('/etc/passwd')
select lo_export(1, '/tmp/x')
select lo_create(1)
select lo_from_bytea(1, 'a')
select lo_get(1)
select nextval('s')
select setval('s', 1)
select currval('s')
select lastval()
select version()
OK select user
select current_user
select session_user
OK select current_role
select current_catalog
select current_schema
select current_schemas(true)
select current_database()
select inet_server_addr()
select has_table_privilege('t', 'select')
select to_regclass('pg_authid')
select 'pg_authid'::regclass
select cast('a' as regproc)
select 'a'::my_type
select cast('a' as "my_type")
select cast('a' as public.my_type)
select 'a'::xml
select repeat('a', 1000000000)
select rpad('a', 1000000000)
select lpad('a', :n)
select format('%1000000000s', 'a')
select array_fill(1, array[100000000])
select string_to_array('a', 'b')
select generate_series(1, 1000000000)
select * from generate_series(1, 1000000000)
select * from unnest(array[1])
select unnest(array[1])
select regexp_split_to_table('a', 'b')
select json_array_elements('[1]')
select * from json_each('{}')
select * from json_to_recordset('[]') as x(a int)
select * from rows from (generate_series(1, 2)) x
select * from t, lateral (select t.a) x
select * from lateral f(1) x
select * from t tablesample system (1)
select * from only t
OK select * from t *
table t
values (1)
select * from (values (1)) v(a)
select * from t for update
select * from t for no key update
select * from t for share
select * from t for key share
select * from pg_user
select * from pg_authid
select * from pg_catalog.pg_class
select * from "pg_catalog"."pg_class"
select * from PG_CATALOG.pg_class
select * from information_schema.tables
select * from pg_toast.x
select * from pg_temp_1.x
select * from other.public.t
select (t).a from t
select (t).* from t
select t.a.b from t
select (select t from t).a
select a.f from t
select f(t) from t
select t from t where f_that_writes()
select public.f(1)
select a operator(pg_catalog.+) b from t
select a @@ b from t
select a <-> b from t
select a ? 'b' from t
select a ?| b from t
select @ a from t
select !! a from t
OK select a !~~ b from t
select a~-b from t where a@-b
select * from t where current of c
OK select array(select a from t)
select * from t where a = any (select pg_sleep(1))
select * from t where a = $1
select * from t where a = ?
select * from t where a = %s
select * from t where a = %(a)s
select 1 /*! c */
select /*+ seqscan(t) */ 1
select 1 /* /* nested */ */
select 1 -- c\n; delete from t
select 1 --c\n; delete from t
select 1 -- c\r; delete from t
OK select 1 --c\n
OK select 1 /* c */
explain analyze delete from t
explain select 1
analyze t
vacuum t
set role x
reset all
show all
begin
commit
prepare p as select 1
execute p
deallocate p
declare c cursor for select 1
fetch c
listen x
notify x
load 'x'
call p()
lock table t
truncate t
drop table t
alter system set x = 'y'
grant all on t to x
refresh materialized view x
merge into t using u on t.a = u.a when matched then delete
insert into t values (1) returning *
insert into t values (1) on conflict do nothing
insert into t values (1) on conflict (a) do update set a = 2
insert into t overriding system value values (1)
insert into t default values
update t set a = 1 from u
update only t set a = 1
update t set a = pg_sleep(1)
update t set a = 1 returning *
update pg_class set relname = 'x'
delete from t using u
delete from t returning *
select percentile_cont(0.5) within group (order by pg_sleep(1)) from t
select count(*) filter (where pg_sleep(1) is null) from t
select * from t order by pg_sleep(1)
select * from t limit (select pg_sleep(1))
select * from t limit all
select * from t fetch first 5 rows with ties
select sum(a) over (order by pg_sleep(1)) from t
select case when pg_sleep(1) is null then 1 end
select 'a' 'b'
select 'a'\n'b'
OK select "user" from t
OK select a::int, b::text, '1'::numeric(10, 2), :a::int, cast(:b as timestamp with time zone) from t
OK select '12:30:00'::time, ':a', "b:c" from t
OK select a->'b'->>'c', a #>> array['b'], a @> b, arr[1], a ~ '^x', a !~* 'y', a ilike 'z%' from t
OK select distinct on (a) a, b from t order by a, b desc nulls last
OK select date_trunc('day', a), extract(epoch from b), to_char(c, 'YYYY-MM'), now() - interval '1 day' from t
OK select a at time zone 'utc' from t
OK select string_agg(a, ', ' order by b), array_agg(distinct c), count(*) filter (where d > 1) from t
OK select percentile_cont(0.5) within group (order by a) from t
OK select * from t where a = any(array[1, 2]) and (b, c) = (1, 2) and d is distinct from e
OK select * from t fetch first 5 rows only
OK select * from public.t
OK insert into t (a, b) values (:a, default)
OK update t set a = :a where b = 'c'
OK delete from t where a = 1
"""

LISTS = {"mysql": MYSQL, "sqlite": SQLITE, "postgresql": POSTGRESQL}


def statements(driver: str) -> list[tuple[str, bool]]:
    """The statements of a driver, each with whether it must run; `\\n` and `\\r` in a line stand for the characters."""
    found = []
    for line in LISTS[driver].strip().splitlines():
        text = line.removeprefix("OK ").replace("\\n", "\n").replace("\\r", "\r")
        found.append((text, line.startswith("OK ")))
    return found
