"""The kinds of node that a statement's tree may be made of, and what each may hold; everything else is refused."""

from sqlglot import exp

from intertie_ingest.databases.functions import FUNCTIONS, LONGEST_PADDED
from intertie_ingest.errors import QueryRefused

_STRUCTURE = """
    Select Union Intersect Except Subquery With CTE TableAlias Table From Join Where Group Having Order Ordered Limit
    Offset Fetch LimitOptions Distinct Window WindowSpec WithinGroup Filter IgnoreNulls RespectNulls Rollup Cube
    GroupingSets Insert Update Delete Values Schema Tuple
"""

_VALUES = """
    Column Identifier Star Alias Literal Null Boolean Placeholder Paren Var Interval IntervalSpan Cast TryCast Convert
    DataType DataTypeParam Collate CharacterSet AtTimeZone Bracket Array JSONPath JSONPathRoot JSONPathKey
    JSONPathSubscript JSONExtract JSONExtractScalar JSONBExtract JSONBExtractScalar JSONKeyValue Case If DecodeCase Any
    All Exists
"""

_OPERATORS = """
    And Or Xor Not Neg EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is In Between Like ILike SimilarTo RegexpLike
    RegexpILike Glob Escape Add Sub Mul Div IntDiv Mod DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift
    BitwiseRightShift ArrayContainsAll ArrayContainedBy Overlaps
"""

# Each of them is written as a call or a bare word, which must stand in `FUNCTIONS` or `WORDS` of the dialect besides.
_FUNCTIONS = """
    Anonymous Abs Acos AddMonths AnyValue ArrayAgg ArrayPosition ArraySize ArrayToString Ascii Asin Atan Atan2 Avg
    BitLength BitwiseAndAgg BitwiseCount BitwiseOrAgg BitwiseXorAgg Cbrt Ceil Chr Coalesce Concat ConcatWs Corr Cos Cot
    Count CovarPop CovarSamp CumeDist CurrentDate CurrentTime CurrentTimestamp Date DateAdd DateBin DateDiff
    DateFromParts DateSub Day DayOfMonth DayOfWeek DayOfYear Dayname Decode Degrees DenseRank Elt Encode Exp Extract
    FirstValue Floor Greatest GroupConcat Grouping Hex Hour Initcap JSONArrayAgg JSONBObjectAgg JSONKeys JSONObject
    JSONObjectAgg JSONType JSONValue JustifyDays JustifyHours Lag LastDay LastValue Lead Least Left Length Ln Localtime
    Localtimestamp Log LogicalAnd LogicalOr Lower MD5 Max Median Min Minute Mode Month MonthsBetween NextDay NthValue
    Ntile Nullif Nvl2 Overlay Pad PercentRank PercentileCont PercentileDisc Pi Pow Quarter Radians Rank RegexpInstr
    RegexpSubstr RegrSlope Replace Reverse Right Round RowNumber SHA SHA2 SHA2Digest Second Sign Sin Soundex SplitPart
    Sqrt StartsWith Stddev StddevPop StddevSamp StrPosition StrToDate StrToTime Stuff Substring SubstringIndex Sum Tan
    Time TimeFromParts TimeStrToTime TimeToStr Timestamp TimestampAdd TimestampDiff TimestampFromParts TimestampTrunc
    ToChar ToNumber Translate Trim Trunc TsOrDsToDate TsOrDsToTimestamp Typeof Unhex Unicode UnixToTime Upper UtcDate
    UtcTime UtcTimestamp Variance VariancePop Week WeekOfYear WidthBucket Year
"""

_NODES: frozenset[type[exp.Expr]] = frozenset(
    getattr(exp, name) for name in f"{_STRUCTURE} {_VALUES} {_OPERATORS} {_FUNCTIONS}".split()
)

_QUERY_PARTS = frozenset({"with_", "order", "limit", "offset"})

# What else these may hold locks rows, hints, samples, writes or calls.
_PARTS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: _QUERY_PARTS
    | {"expressions", "distinct", "from_", "joins", "where", "group", "having", "windows", "operation_modifiers"},
    exp.Union: _QUERY_PARTS | {"this", "expression", "distinct"},
    exp.Intersect: _QUERY_PARTS | {"this", "expression", "distinct"},
    exp.Except: _QUERY_PARTS | {"this", "expression", "distinct"},
    exp.Subquery: _QUERY_PARTS | {"this", "alias", "joins"},
    exp.Table: frozenset({"this", "db", "alias", "joins"}),
    exp.Join: frozenset({"this", "on", "side", "kind", "using", "method"}),
    exp.With: frozenset({"expressions"}),
    exp.CTE: frozenset({"this", "alias"}),
    exp.TableAlias: frozenset({"this", "columns"}),
    exp.Column: frozenset({"this", "table", "db"}),
    exp.Star: frozenset(),
    exp.In: frozenset({"this", "expressions", "query"}),
    exp.Limit: frozenset({"expression", "this"}),
    exp.Offset: frozenset({"expression"}),
    exp.Placeholder: frozenset({"this"}),
    exp.Exists: frozenset({"this"}),
    exp.Insert: frozenset({"this", "expression"}),
    exp.Update: frozenset({"this", "expressions", "where", "order", "limit"}),
    exp.Delete: frozenset({"this", "where", "order", "limit"}),
    exp.Values: frozenset({"expressions"}),
    exp.Schema: frozenset({"this", "expressions"}),
    exp.DataType: frozenset({"this", "expressions", "nested", "nullable", "kind"}),
}

_RELATIONS = (exp.Table, exp.Select, exp.SetOperation, exp.Subquery)

# Where a table is named otherwise, the server would look up what the guard did not.
_ONLY_BELOW: dict[type[exp.Expr], tuple[type[exp.Expr], ...]] = {
    exp.Table: (exp.From, exp.Join, exp.Subquery, exp.Insert, exp.Update, exp.Delete, exp.Schema),
    exp.Values: (exp.Insert,),
    exp.Schema: (exp.Insert,),
    exp.Insert: (),
    exp.Update: (),
    exp.Delete: (),
}


def check_nodes(tree: exp.Expr, driver: str) -> None:
    """Raises QueryRefused unless the whole tree is made of what is allowed."""
    for node in tree.walk():
        kind = type(node)
        if kind not in _NODES:
            raise QueryRefused(f"{_name(node)} is not allowed in a statement.")
        parts = _PARTS.get(kind)
        if parts is not None:
            for part, value in node.args.items():
                if value and part not in parts:
                    raise QueryRefused(f"{part.strip('_').upper()} is not allowed in {kind.__name__.upper()}.")
        above = _ONLY_BELOW.get(kind)
        if above is not None and node.parent is not None and not isinstance(node.parent, above):
            raise QueryRefused(f"{kind.__name__.upper()} is not allowed there.")
        _check(node, driver)


def _name(node: exp.Expr) -> str:
    if isinstance(node, exp.Command):
        return "Such a command"
    return type(node).__name__.upper()


def _check(node: exp.Expr, driver: str) -> None:
    match node:
        case exp.Anonymous():
            if not isinstance(node.this, str) or node.this.upper() not in FUNCTIONS[driver]:
                raise QueryRefused(f"The function {node.name[:64]} is not one that may be called.")
        case exp.Table() | exp.TableAlias():
            if node.this is not None and not isinstance(node.this, exp.Identifier):
                raise QueryRefused("A table is named by its name only; functions that give tables are not allowed.")
            if isinstance(node.args.get("db"), exp.Expr) and not isinstance(node.args["db"], exp.Identifier):
                raise QueryRefused("A table is named by its name only.")
        case exp.From() | exp.Join():
            if not isinstance(node.this, _RELATIONS):
                raise QueryRefused("Only tables and queries may be read from.")
        case exp.DataType():
            # A user's own type runs the user's own code; regclass and its like look names up.
            if not isinstance(node.this, exp.DType) or node.this == exp.DType.USERDEFINED:
                raise QueryRefused("Only the usual types may be cast to.")
        case exp.IntDiv() if driver in ("sqlite", "mssql", "oracle"):
            # They have none; it would be written as casts in casts, at a cost that grows with their square.
            raise QueryRefused("DIV is not a sign of this database.")
        case exp.Pad():
            if not _small(node.expression):
                raise QueryRefused(f"LPAD and RPAD need a number up to {LONGEST_PADDED} as their length.")
        case exp.Placeholder():
            if not isinstance(node.this, str) or not node.this:
                raise QueryRefused("Only `:name` parameters can be bound.")


def _small(length: exp.Expr) -> bool:
    return isinstance(length, exp.Literal) and length.is_int and int(length.name) <= LONGEST_PADDED
