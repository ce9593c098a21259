"""The functions, methods and macros that an expression may use, with their numbers of arguments."""

from typing import Final

FUNCTIONS: Final = {
    "size": (1,),
    "int": (1,),
    "double": (1,),
    "string": (1,),
    "bool": (1,),
    "timestamp": (1,),
    "duration": (1,),
}
# The receiver counts as an argument.
METHODS: Final = {
    "size": (1,),
    "startsWith": (2,),
    "endsWith": (2,),
    "contains": (2,),
    "matches": (2,),
    **dict.fromkeys(
        (
            "getDate",
            "getDayOfMonth",
            "getDayOfWeek",
            "getDayOfYear",
            "getFullYear",
            "getHours",
            "getMilliseconds",
            "getMinutes",
            "getMonth",
            "getSeconds",
        ),
        (1, 2),
    ),
}
# The variable counts as an argument.
MACROS: Final = {"all": (2,), "exists": (2,), "exists_one": (2,), "map": (2,), "filter": (2,)}
