"""Statements that must not run, and some that must, by driver; `OK ` before what must still run."""

from sql_attacks_mysql import MYSQL
from sql_attacks_postgresql import POSTGRESQL

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

LISTS = {"mysql": MYSQL, "sqlite": SQLITE, "postgresql": POSTGRESQL}


def statements(driver: str) -> list[tuple[str, bool]]:
    """The statements of a driver, each with whether it must run; `\\n` and `\\r` in a line stand for the characters."""
    found = []
    for line in LISTS[driver].strip().splitlines():
        text = line.removeprefix("OK ").replace("\\n", "\n").replace("\\r", "\r")
        found.append((text, line.startswith("OK ")))
    return found
