"""The functions that a statement may call, by dialect; every other name is refused.

They compute a value from values, in time and space in the order of what they are given. So none that waits, locks,
reads a file or a setting, tells of the server, runs code or a statement, counts a sequence on, or makes something of
any size out of a number (repeat, space, range, zeroblob, a width of printf). What can grow by being nested (concat,
replace) is bounded by the server's own limit on a value, and by the time that a statement has.
"""

_EVERYWHERE = """
    abs avg cast ceil ceiling coalesce concat count cume_dist dense_rank exp first_value floor lag last_value lead
    length ln log lower ltrim max min mod nth_value ntile nullif percent_rank power rank replace round row_number rtrim
    sign sqrt substr substring sum trim upper
"""

_TRIGONOMETRY = "acos asin atan atan2 cos degrees pi radians sin tan"

_MYSQL = """
    adddate ascii bin bit_and bit_count bit_length bit_or bit_xor char char_length character_length concat_ws conv
    convert cot crc32 curdate current_date current_time current_timestamp curtime date date_add date_format date_sub
    datediff day dayname dayofmonth dayofweek dayofyear elt extract field find_in_set from_days from_unixtime greatest
    group_concat hex hour if ifnull inet_aton inet_ntoa instr interval isnull json_array json_arrayagg json_contains
    json_contains_path json_depth json_extract json_keys json_length json_object json_objectagg json_quote json_search
    json_type json_unquote json_valid json_value last_day lcase least left localtime localtimestamp locate log10 log2
    makedate maketime md5 microsecond mid minute month monthname now octet_length ord period_add period_diff position
    pow quarter quote regexp_instr regexp_like regexp_substr reverse right sec_to_time second sha sha1 sha2 soundex std
    stddev stddev_pop stddev_samp str_to_date strcmp subdate substring_index subtime time time_format time_to_sec
    timediff timestamp timestampadd timestampdiff to_days to_seconds truncate ucase unhex unix_timestamp utc_date
    utc_time utc_timestamp var_pop var_samp variance week weekday weekofyear year yearweek any_value grouping addtime
    lpad rpad
"""

_POSTGRESQL = """
    age any_value array array_agg array_length array_position array_to_json array_to_string array_upper ascii bit_and
    bit_length bit_or bool_and bool_or btrim cardinality cbrt char_length character_length chr clock_timestamp concat_ws
    corr covar_pop covar_samp current_date current_timestamp date_bin date_part date_trunc decode div encode every
    extract gcd greatest grouping initcap isfinite json_agg json_array_length json_build_array json_build_object
    json_extract_path json_extract_path_text json_object_agg json_typeof jsonb_agg jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_typeof justify_days
    justify_hours lcm least left log10 make_date make_time make_timestamp md5 mode now num_nonnulls num_nulls
    octet_length overlay percentile_cont percentile_disc position quote_literal regexp_match regexp_substr regr_slope
    reverse right row_to_json sha224 sha256 split_part starts_with statement_timestamp stddev stddev_pop stddev_samp
    string_agg strpos to_char to_date to_json to_jsonb to_number to_timestamp transaction_timestamp translate trunc
    var_pop var_samp variance width_bucket lpad rpad
"""

_SQLITE = """
 concat_ws char date datetime glob group_concat hex ifnull iif instr json json_array json_array_length
    json_extract json_group_array json_group_object json_object json_quote json_type json_valid julianday like nullif
    octet_length quote strftime string_agg time timediff total trunc typeof unicode unixepoch log10 log2 pow
"""

_MSSQL = """
    ascii char charindex choose concat_ws convert count_big cot datalength dateadd datediff datefromparts datepart day
    eomonth getdate getutcdate grouping iif isdate isjson isnull isnumeric json_query json_value left len log10 ltrim
    month nchar patindex power quotename reverse right square stdev stdevp string_agg stuff sysdatetime sysutcdatetime
    translate try_cast try_convert unicode var varp year
"""

_ORACLE = """
    add_months ascii chr current_date current_timestamp decode extract greatest grouping initcap instr last_day least
    lengthb listagg lpad median months_between next_day nvl nvl2 regexp_instr regexp_like regexp_substr remainder
    reverse rpad stddev stddev_pop stddev_samp to_char to_date to_number to_timestamp translate trunc var_pop var_samp
    variance
"""


def _names(*lists: str) -> frozenset[str]:
    return frozenset(name.upper() for names in lists for name in names.split())


FUNCTIONS = {
    "mysql": _names(_EVERYWHERE, _TRIGONOMETRY, _MYSQL),
    "postgresql": _names(_EVERYWHERE, _TRIGONOMETRY, _POSTGRESQL),
    "sqlite": _names(_EVERYWHERE, _TRIGONOMETRY, _SQLITE),
    "mssql": _names(_EVERYWHERE, _TRIGONOMETRY, _MSSQL),
    "oracle": _names(_EVERYWHERE, _TRIGONOMETRY, _ORACLE),
}
"""By driver, in upper case."""

LONGEST_PADDED = 1_000
"""Characters to which LPAD and RPAD may fill up: room for any column of a report, and no way to a text of any size."""
