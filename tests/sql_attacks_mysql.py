"""For MariaDB and MySQL: statements that must not run, and behind `OK ` some that must; see `sql_attacks`."""

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
