"""The bare words that a statement may hold when we have written it: then every name in it is quoted.

What is not in here cannot be said, whatever the parser made of it: INTO, LOCK, PROCEDURE, TABLE, LATERAL, RECURSIVE,
SHARE, RETURNING, CONFLICT, XML, a type as regclass, a value as CURRENT_USER.
"""

_QUERY = """
    select distinct from where group by having order asc desc nulls first last limit offset fetch next row rows only top
    with as on using join left right full inner outer cross natural union intersect except minus all and or xor not in
    is null true false like ilike similar to rlike regexp glob escape between exists any some case when then else end
    cast collate interval rollup cube grouping sets over partition window range groups preceding following unbounded
    current exclude ties no others filter within separator at both leading trailing for div mod array format respect
    ignore percent unknown symmetric
"""

_TYPES = """
    int integer bigint smallint tinyint mediumint signed unsigned decimal numeric number float double precision real bit
    char varchar nchar nvarchar varchar2 nvarchar2 text character set varying date time datetime datetime2 smalldatetime
    timestamp timestamptz timetz timestampntz timestampltz datetimeoffset zone without boolean bool uuid
    uniqueidentifier json jsonb binary varbinary blob bytea money
"""

# SET of a type, as in CHAR CHARACTER SET utf8mb4, means nothing else in a query.
_UNITS = """
    microsecond second minute hour day week month quarter year year_month day_hour day_minute day_second hour_minute
    hour_second minute_second day_microsecond hour_microsecond minute_microsecond second_microsecond decade century
    millennium millisecond milliseconds microseconds epoch dow isodow doy isoyear dayofyear weekday timezone
    timezone_hour timezone_minute yy yyyy qq mm dd dy wk dw hh mi ss ms
"""

_CHARACTERS = """
    utf8 utf8mb3 utf8mb4 latin1 ascii binary utf8_bin utf8_general_ci utf8_unicode_ci utf8mb3_bin utf8mb3_general_ci
    utf8mb4_bin utf8mb4_general_ci utf8mb4_unicode_ci utf8mb4_unicode_520_ci utf8mb4_0900_ai_ci utf8mb4_0900_as_cs
    utf8mb4_uca1400_ai_ci latin1_bin latin1_swedish_ci latin1_general_ci nocase rtrim
"""

_VALUES = "current_date current_time current_timestamp localtime localtimestamp utc_date utc_time utc_timestamp"

_OF_KIND = {
    "select": "",
    "insert": "insert into values default",
    "update": "update set default",
    "delete": "delete",
}

WORDS = {
    kind: frozenset(" ".join((_QUERY, _TYPES, _UNITS, _CHARACTERS, _VALUES, own)).upper().split())
    for kind, own in _OF_KIND.items()
}
"""By kind of statement, in upper case."""
