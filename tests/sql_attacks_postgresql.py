"""For PostgreSQL: statements that must not run, and behind `OK ` some that must; see `sql_attacks`."""

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
