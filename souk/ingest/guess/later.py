"""Which columns of items and users tell what became of them later."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.day_orders import WRITTEN
from souk.ingest.guess.bands import banded
from souk.ingest.guess.config_words import skipping
from souk.ingest.guess.fit import ISO
from souk.ingest.guess.kind import guess_kind
from souk.ingest.guess.names import NAMES, OBJECTS, SHIPPED
from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import MANY, Column, plain

MOST_STATES = 12
FEW_GONE = 0.1  # share of the items that are gone, which a whole log may do without
YES = {"true", "1", "yes", "y", "t", "ja"}
SEEN = 5_000  # values of a column of lists
FEW_DATES, FEW_STRAYS = 0.02, 3  # share of the values that are times where the others are so few words, as `never`
# What a column says of an item that is gone, or is not; no case, no punctuation.
GONE = {"banned", "suspended", "deactivated",
        "sold", "soldout", "expired", "inactive", "ended", "closed", "removed", "deleted", "discontinued", "archived",
        "delisted", "withdrawn", "retired", "unavailable", "outofstock", "reserved", "completed", "cancelled",
        "verkauft", "ausverkauft", "vergriffen", "abgelaufen", "beendet", "geloescht", "entfernt",
        "reserviert"}  # fmt: skip
LIVE = {"active", "available", "live", "open", "instock", "onsale", "forsale", "listed", "published", "draft", "aktiv",
        "verfuegbar", "lieferbar", "offen"}  # fmt: skip
# What is counted of what users did with an item, or left of it by then.
COUNTED = {"left", "remaining", "remainder", "stock", "inventory", "sold", "sales", "orders", "purchases", "bookings",
           "review", "reviews", "reviewcount", "numreviews", "ratingcount", "numratings", "views", "viewcount",
           "clicks", "clickcount", "likes", "favorites", "favourites", "downloads", "installs", "plays", "students",
           "learners", "enrolments", "enrollments", "subscribers", "followers", "participants", "attendees", "votes",
           "upvotes", "downvotes", "checkins", "listeners", "scrobbles", "compliment", "compliments", "karma",
           "reputation", "popularity", "averagerating", "avgrating", "ratingaverage", "ratingavg", "meanrating",
           "spend", "spent", "ltv", "clv", "raised", "pledged", "donated",
           "umsatz", "absatz", "turnover", "revenue", "bestand", "lagerbestand", "restplaetze", "verkauft", "verkaeufe",
           "bewertungen", "aufrufe", "leads", "contacts", "contactos", "kontakte", "visites", "consultations",
           "inquiries", "enquiries", "anfragen", "saves", "bookmarks", "shares",
           "prints", "wishlists", "impressions", "gespeichert", "gemerkt", "gekauft", "angesehen", "klicks", "vistas",
           "visitas", "ventas", "compras", "guardados", "vues", "ventes", "achats", "durchschnittsbewertung",
           "bewertungsschnitt", "durchschnittlichebewertung", "notemoyenne", "valoracionmedia", "puntuacionmedia",
           "notamedia", "mediavoti"}  # fmt: skip
VOTED = {"daysonmarket", "daysonline", "dayslisted", "daysonsite", "timeonmarket", "timeonsite", "daystosell",
         "tageonline", "standzeit", "useful", "funny", "cool", "helpful", "fans", "rank", "salesrank", "bestsellerrank",
         "bestsellersrank", "elo", "eloscore", "elorating", "trustscore", "trendingscore", "ctr", "cvr",
         "members", "scoredby", "ratedby", "votedby", "watching", "plantowatch", "wanttoread", "currentlyreading",
         "conversionrate"}  # whole names alone: an area may be useful  # fmt: skip
OPINIONS = {"rating", "ratings", "stars", "score", "scores", "vote", "positive"}
VERDICT = r"(?i)\b(positive|negative)$"
SUMMED = {"average", "avg", "mean", "count", "counts", "number", "num", "n", "total", "sum", "ratio"}  # of opinions
COUNTS = {"cnt", "count", "counts", "num", "times"}  # of an act beside it, or of whatever
PEOPLE, LIMITS = {"user", "users"}, {"max", "min", "licence", "license", "allowed"}  # who did it, or may
SAID = {"comment", "comments", "reply", "replies", "follow", "follows", "collect", "collects", "forward", "forwards",
        "repost", "reposts", "retweet", "retweets"}  # acts that are none of the contract's  # fmt: skip
MEANS, RATES = {"average", "avg", "mean", "median"}, {"rate", "ratio", "share", "pct", "percent"}  # of acts
MOST_STARS = 10  # with fractions up to it opinions are a mean of many; whole stars are a hotel's by right
CHANGED = {"updated", "update", "modified", "changed", "edited", "aktualisiert", "aktualisierung", "geaendert",
           "aenderung"}  # fmt: skip
# In names of when something was last done, beside an act or one of these.
LASTS = {"last", "latest", "recent", "most", "zuletzt", "letzte", "letzter", "letztes", "letzten", "dernier",
         "derniere", "ultimo", "ultima"}  # fmt: skip
DONE = {"active", "activity", "seen", "login", "logged", "signin", "online", "visit", "visited", "used", "aktiv",
        "gesehen", "event", "action", "interaction"}  # fmt: skip
# What a column says of a user who is there no more; an employment ends otherwise.
LEFT = {"deleted", "banned", "suspended", "deactivated", "inactive", "closed", "churned", "cancelled", "canceled",
        "expired", "blocked", "removed", "archived", "lapsed", "terminated", "unsubscribed", "geloescht", "gesperrt",
        "gekuendigt", "deaktiviert", "inaktiv"}  # fmt: skip
# With a word for what is sold, how many of it a user has: `products_held`, `num_of_products`.
HELD = {
    "held",
    "owned",
    "holdings",
    "num",
    "number",
    "count",
    "cnt",
    "n",
    "nb",
    "no",
    "active",
    "total",
    "anzahl",
    "nombre",
    "numero",
}
SOLD = {"products", "produkte", "contracts", "policies", "vertraege", "policen", "produits", "contrats", "productos",
        "contratos", "prodotti", "contratti", "product", "contract", "policy"}  # fmt: skip
BORN = {"birth", "birthdate", "birthday", "dob", "dateofbirth", "geburt", "geburtsdatum", "geburtstag", "naissance",
        "nacimiento", "nascita", "nascimento"}  # fmt: skip
# Of columns with ids of other rows, such as what was bought together.
BESIDE = {"also", "similar", "related", "together", "recommended", "friends", "following", "followers"}
ID_ENTRY = r"^\S*\d\S*$"
NAMED, FEWEST_NAMED = 0.5, 1.2  # share of the entries that are ids of the file's rows, and entries of a value
# Rows with the id of another in a column that names what replaces an item: at least, and their share at most; and the
# characters of such an id.
FEWEST_NEXT, MOST_NEXT, LONG_ID = 5, 0.5, 4
OWN_NEXT = 2 / 3  # of what replaces others for each of them: one replaces two now and then, and a parent has several
CODES = {"id", "code", "key", "channel", "tax", "unit"}  # behind such a word is no count: stock_code, sales_tax


def becomes(column: Column, end: Column | None, created: bool = False) -> str:
    """Why a column may tell when an item came to be or what became of it later, as that it was sold or how often; ""
    where it does not.

    Args:
        column: of items.
        end: that says until when items can be had; None where none does.
        created: whether another says when they came to be.
    """
    if born := _born(column):
        return born
    dated = column.dated or column.time_unit in ("native", *WRITTEN)
    if dated and _last_act(column):
        return (
            f"WHEN SOMETHING WAS LAST DONE WITH AN ITEM, as of the export: IT TELLS EVENTS OF LATER; {column.examples}"
        )
    if dated and CHANGED & {*column.snake.split("_")}:
        return f"WHEN AN ITEM WAS LAST CHANGED, as of the export: it may be after what users did; {column.examples}"
    if dated and column.distinct > 1 and not (end and created):
        birth = "" if created else "IF IT IS WHEN AN ITEM CAME TO BE, map it to created_at; "
        ending = "" if end else "IF ITEMS CANNOT BE HAD AFTER IT, map it to available_until; "
        return f"{birth}{ending}{guess_kind(column).evidence}"
    told = counted(column) or _of_programs(column)
    if strays := _strays(column):
        return strays
    if not (states := _states(column, GONE, {"open"})):
        return told
    values, gone, shown = states
    told = f"IT TELLS EVENTS OF LATER, such as {shown}; give `available_until`, the time, or `available`, true or false"
    own = [text for word, text in values.items() if word in YES] if column.plain.removeprefix("is") in GONE else gone
    few = pc.mean(pc.is_in(column.texts, value_set=pa.array(own, pa.string()))).as_py() <= FEW_GONE
    out = f"or, as these are few, {skipping(column.name, own)} beside path, which takes them out of all"
    return f"{told}; {out}" if own and few else told


def _states(
    column: Column, gone: set[str], flags: Collection[str] = ()
) -> tuple[dict[str, str], list[str], str] | None:
    """The values of a column that says what became of each row, by their plain words, those of what is gone, and some
    of them for a comment; None where it does not say that.

    Args:
        column: of items or users.
        gone: plain words for what is gone.
        flags: other plain names of columns of true and false that say it.
    """
    if column.nested or not 1 <= column.distinct <= MOST_STATES:
        return None
    values = {plain(text): text for text in sorted(pc.unique(column.texts).to_pylist())}
    own = [text for word, text in values.items() if word in gone]
    named = column.plain.endswith(("status", "state"))
    flag = column.plain.removeprefix("is") in {*gone, *flags} and not cells.parse_bool(column.values)[1].any()
    if not flag and not (own and (named or 2 * len(values.keys() & (gone | LIVE)) >= len(values))):
        return None
    return values, own, ", ".join(text[:24] for text in (own or list(values.values()))[:2])


def _last_act(column: Column) -> bool:
    """Whether a name is of when something was last done, as `last_sold` and `last_active_at`."""
    words = {*column.snake.split("_")}
    rest = words - LASTS
    return bool(words & LASTS) and any(word in DONE or act_of(word) for word in rest)


def _born(column: Column) -> str:
    """What a day of birth is to be written as; "" for others."""
    if not BORN & {*column.snake.split("_"), column.plain} or not (column.dated or column.time_unit):
        return ""
    evidence = guess_kind(column).evidence
    return f"WRITE THE YEAR ALONE into the file to learn from the age, birth_year: numeric; {evidence}"


def counted(column: Column) -> str:
    """Why a column of items or users seems to count or to average what users did later; "" where it does not."""
    words = column.snake.split("_")
    opinions = OPINIONS & {*words}
    mean = opinions and not column.whole and column.numeric and column.numbers.max() <= MOST_STARS
    verdicts = not column.nested and not column.numeric and column.like(VERDICT) >= NAMED
    known = column.plain in COUNTED | VOTED or (COUNTED & {*words} and words[-1] not in CODES) or _counts_acts(words)
    known = known or _averages_acts(column) or words[-2:] == ["to", "date"] or {"lifetime", "value"} <= {*words}
    if not (verdicts or known or mean or (opinions and SUMMED & {*words})):
        return ""
    words_too = verdicts or (column.plain in VOTED and column.plain.endswith("rank"))
    flags = {*pc.unique(column.texts).to_pylist()} <= {"0", "1"} and words[-1] not in COUNTS  # sea_views
    if flags or not (column.numeric or words_too or banded(column)):
        return ""
    return f"IT TELLS EVENTS OF LATER, such as {column.examples}; declare it if it is of before them"


def of_user(column: Column) -> str:
    """Why a column of users tells what they took later, as how many products they hold, or what a day of birth is to
    be written as; "" for others."""
    words = {*column.snake.split("_")}
    if born := _born(column):
        return born
    if states := _states(column, LEFT):
        return f"IT TELLS EVENTS OF LATER, such as {states[2]}; declare it if it is of before them"
    if HELD & words and SOLD & words and words <= HELD | SOLD | {"of", "de", "di"} and column.whole:
        return f"IT TELLS EVENTS OF LATER, such as {column.examples}; declare it if it is of before them"
    return counted(column)


def _of_programs(column: Column) -> str:
    """Why a column of true and false tells what nobody chooses, as `is_preinstalled`; "" where it does not."""
    if column.nested or SHIPPED.isdisjoint(column.snake.split("_")) or cells.parse_bool(column.values)[1].any():
        return ""
    own = [text for text in sorted(pc.unique(column.texts).to_pylist()) if plain(text) in YES]
    return f"NOBODY CHOOSES THESE ITEMS? Then {skipping(column.name, own)} beside path takes them out" if own else ""


def _counts_acts(words: Sequence[str]) -> bool:
    """Whether a name is of how often something was done, as `play_cnt`, or to how many, as `installed_apps`; a
    `book_number` has no act."""
    acts = [word for word in words if word not in NAMES["item_id"] and act_of(word)]
    done = len(words) > 1 and words[0] in acts and words[-1].endswith("s") and words[-1] in OBJECTS  # installed_apps
    people = bool(PEOPLE & {*words}) and bool({*words} - PEOPLE - COUNTS) and LIMITS.isdisjoint(words)
    return done or (bool(COUNTS & {*words}) and (len(words) == 1 or bool(acts) or people or bool(SAID & {*words})))


def _averages_acts(column: Column) -> bool:
    """Whether a name is of a mean, or of a share, of what users did, as `avg_read_time` and `like_rate`."""
    words = column.snake.split("_")
    rest = [word for word in words if word not in MEANS | RATES and word not in NAMES["item_id"]]
    share = words[-1] in RATES and column.numeric and column.numbers.max() <= 100
    return bool(MEANS & {*words} or share) and any(act_of(word) for word in rest)


def names_others(column: Column, ids: Column, rows: str) -> str:
    """Why a column of items or users only names others of them, as what was bought together, and friends; "" where it
    does not.

    Args:
        column: the column.
        ids: of the rows of its table.
        rows: what they are, in words.
    """
    if column.nested or column.numeric or not len(column.texts):
        return ""
    texts = column.texts.filter(pc.not_equal(column.texts, "[]")).slice(0, SEEN)
    lists = cells.parse_list(pc.replace_substring_regex(texts, r"\s*[,;|]\s*", ",") if len(texts) else texts, ",")[0]
    entries = lists.flatten()
    if len(entries) < FEWEST_NAMED * max(1, len(texts)):
        return ""
    own = pc.mean(pc.is_in(entries, value_set=pc.unique(ids.texts))).as_py()
    like = pc.mean(pc.match_substring_regex(entries, ID_ENTRY)).as_py() >= MANY
    if not (own >= NAMED and not ids.numeric) and not (like and BESIDE & {*column.snake.split("_")}):
        return ""
    told = "ids say nothing to the models, and what users did later may have made it"
    return f"IT NAMES OTHER {rows.upper()}, such as {column.examples}: {told}"


def names_next(column: Column, ids: Column) -> str:
    """Why a column of items seems to name the one that replaces another, as some have one each; "" where it does not.

    Args:
        column: the column.
        ids: of the rows of its table.
    """
    few = FEWEST_NEXT <= len(column.texts) <= MOST_NEXT * len(column.values)
    if column.nested or column.time_unit or not few or column.distinct < OWN_NEXT * len(column.texts):
        return ""
    known = pc.is_in(column.texts, value_set=pc.unique(ids.texts))  # of short numbers any may be one
    if pc.mean(known).as_py() < MANY or column.like(rf"^.{{{LONG_ID},}}$") < MANY:
        return ""
    told = "who took the old one is not known to want the new one, unless both have one id, in events and items"
    return f"IT NAMES ANOTHER ITEM, such as {column.examples}: ONE THAT REPLACES IT? Then {told}"


def _strays(column: Column) -> str:
    """What stands among times that is none, as TBA; "" where it is no column of times, or of nothing else."""
    if column.nested or column.time_unit or not FEW_DATES <= column.like(ISO) < MANY:
        return ""
    others = column.texts.filter(pc.invert(pc.match_substring_regex(column.texts, ISO)))
    if column.like(ISO) < 0.5 and pc.count_distinct(others).as_py() > FEW_STRAYS:
        return ""
    told = f"TIMES, BUT FOR {len(others):,} OF {len(column.texts):,} VALUES, such as {str(others[0])[:24]}"
    return f"{told}: leave these empty in the file, then map it"
