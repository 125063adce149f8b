"""Where each number of the engine's memory lives. A word is 8 bytes: an int64, or a float64 where (f) is written.

Everything is reached by address: an entity is the address of its ENTITY words. Blocks come from the allocator (blocks.py) and
never move by themselves; a block that must grow is copied and the word that points to it is changed. 0 is no address.
"""

from __future__ import annotations

WORD = 8

# --- one entity: ENTITY words, then the bytes of its key, padded to whole words --------------------------------------------
(
    E_VERSION,  # of the newest record folded; -1 while nothing was
    E_AS_OF,  # newest receive time folded
    E_LEARN_AT,  # receive time from which on a learning window has closed
    E_SENT_AT,  # wall clock, when its record was last sent
    E_BAR_AT,  # wall clock, when its open bar was last sent
    E_FLAGS,  # of F_*
    E_RANK,  # rank of the asset it is, if it is one in which money is quoted; -1 otherwise
    E_QUOTE,  # number of the quote asset in which its money stays (pairs, perpetuals); -1: money is converted
    E_COUNT,  # statements
    E_ROOM,  # statements for which the directory has room
    E_INDEX,  # address of the directory: DIRECTORY words for each statement, in the order in which they came first
    E_USED,  # words used in the block of statements
    E_SPACE,  # words it has
    E_SAID,  # address of the block of statements
    E_BARS,  # address of the oldest unsettled bar
    E_ROLLS,  # address of the longer bars
    E_TOLD,  # address of the first ring of trade ids
    E_LEARNED,  # address of what the fuser remembers of it: count, then LESSON words for each metric
    E_LEARNED_ROOM,  # lessons for which that block has room
    E_KEY,  # bytes of the key
    ENTITY,
) = range(21)

F_DIRTY, F_CHANGED, F_PAYLOAD = 1, 2, 4
"""Something is to be sent; stands among the changed since the last checkpoint; its record was made before it was due."""

# One line of the directory: number of the source; where its statement begins, in words from the start of the block; and since
# when its provider's price agrees with the others' (quarantine), 0 for not.
D_SOURCE, D_AT, D_AGREED, DIRECTORY = range(4)
# One statement: S words, then one value for each metric of the source's shape, in its order: a number (f), or the address of a text.
S_TS, S_TIE, S_RATE, STATEMENT = range(4)
"""S_TS: its time in ms; S_TIE: CRC-32 of its id, decides between equal times; S_RATE (f): target units per unit of its quote,
NaN when unknown or when nothing is money."""
# One text: how many bytes, then the value as it stands in JSON (a string with its quotes, `true`, `false`, or a list of strings,
# without space between), padded with noughts to whole words. It belongs to one value of one statement.
T_BYTES, TEXT = range(2)
# One lesson: which metric, where the fuser's state of it lies (fusion.layout ENTRY, in this memory; Python borrows it as a
# fusion.state.Key, engine/lessons.py), and for how many sources it has room, each of which is taken.
L_METRIC, L_ENTRY, L_CAPACITY, LESSON = range(4)

# --- bars -----------------------------------------------------------------------------------------------------------------
# One minute: BAR words, then VOICE words for each voice. Bars of an entity are linked from the oldest to the newest.
B_NEXT, B_START, B_VERSION, B_DUE, B_QUOTE, B_VOICES, B_ROOM, BAR = range(8)
"""B_DUE: whether it changed since it was last sent; B_QUOTE: number of its quote asset; B_VOICES: how many, of B_ROOM."""
V_SOURCE, V_TRADED, V_OPEN, V_HIGH, V_LOW, V_CLOSE, V_VOLUME, V_TRADES, V_FIRST, V_LAST, VOICE = range(11)
"""V_TRADED: 1 for trades, 0 for quotes; open to volume are (f); V_FIRST and V_LAST: times of the oldest and newest in it."""
# The settled minutes of the current bar of each longer interval: ROLLS x ROLL words, shortest interval first.
R_START, R_OPEN, R_HIGH, R_LOW, R_CLOSE, R_VOLUME, R_TRADES, R_SOURCES, R_VERSION, ROLL = range(10)
ROLLS = 5
# One fused bar, as bars.py gives it: (f) the first five.
O_OPEN, O_HIGH, O_LOW, O_CLOSE, O_VOLUME, O_TRADES, O_SOURCES, O_VERSION, OHLC = range(9)
# Recent trade ids of one source: RING words, then TRADES x 4 bytes (CRC-32), the newest at T_PLACE - 1.
T_NEXT, T_SOURCE, T_COUNT, T_PLACE, RING = range(5)
TRADES = 128
"""Trade ids remembered per source: venues repeat their last 50 to 100 trades after a reconnect."""

# --- tables of a partition ------------------------------------------------------------------------------------------------
# One source (who says what kind of thing): SOURCE words.
(
    N_PLAIN,  # 1 where everything it says is known and its origin is taken: folded without Python
    N_COUNT,  # values in each of its statements
    N_VALUES,  # first line of its values in the table of places
    N_RANK,  # of its quote: how little the statement has to be converted
    N_QUOTE,  # number of its quote asset; 0 for none
    N_MONEY,  # whether any value is counted in the quote
    N_KEEP,  # age in ms from which on a statement is late
    N_FRESH,  # age up to which none of its values is stale
    N_BAR,  # 0: makes no bars; 1: quotes; 2: trades
    N_PRICE,  # place of the price of bars among its values
    N_SIZE,  # place of the size of a trade; -1 for none
    N_PROVIDER,  # number of its provider
    N_GROUP,  # number of its independence group
    N_WEIGHT,  # (f) static prior
    N_ORIGIN,  # 0 live, 1 replay, 2 sandbox
    N_STEM,  # number of (provider, endpoint, quote, origin): a newer statement of the stem that says all replaces the older
    N_WORDS,  # how many of its values are texts
    SOURCE,
) = range(18)
# One place: which metric a value of a source is, what it must lie between, and its KIND_*: PLACE words.
P_METRIC, P_LOW, P_HIGH, P_KIND, PLACE = range(5)  # low and high (f)
KIND_NUMBER, KIND_LABEL, KIND_FLAG, KIND_TEXT, KIND_SET = range(5)
"""What a value is; all but numbers are texts in memory."""
# One metric: METRIC words.
(
    M_SPEC,  # row of its specification among fusion's
    M_MONEY,  # whether it is counted in the quote
    M_FRESH,  # age in ms from which on it is stale
    M_WINDOW,  # width of its learning window in ms
    M_RULE,  # who chooses its value, of RULE_*
    M_NAME,  # address of its opening in a record: `"price":{` and so on up to its value
    M_NAME_N,  # bytes of that
    M_METHOD,  # address of `"method":"..."`
    M_METHOD_N,
    M_KEEP,  # ms
    M_ROW,  # its own row in fusion's table of sources; 0 while it has none
    M_ID,  # CRC-32 of its name: what stands for it in states
    M_KIND,  # of KIND_*
    M_TOLERANCE,  # (f)
    METRIC,
) = range(15)
RULE_PYTHON, RULE_MODEL, RULE_MEDIAN, RULE_NEWEST, RULE_WEIGHT = range(5)
"""Python, for rarer rules; fusion's model alone; named rules of fusion.strategies, the last one for words only."""
# What the word of a source is worth, by metric and provider: RECORD words, all (f).
H_RIGHT, H_SEEN, H_RIGHT_NEXT, H_SEEN_NEXT, RECORD = range(5)
"""Windows in which it was right and in which it was seen: in force, and as they are counted on."""
# One provider: its name as JSON text with quotes; its number among fusion's providers, -1 for none.
A_NAME, A_NAME_N, A_PID, PROVIDER = range(4)
# One group: its number among fusion's groups; below 0, and its own, where fusion does not know it.
G_GID, GROUP = range(2)
# One quote asset: its name as JSON text with quotes, its rank (-1 for none), (f) its rate in the target (NaN: unknown), and its
# name as it stands in keys.
Q_NAME, Q_NAME_N, Q_RANK, Q_RATE, Q_KEY, Q_KEY_N, QUOTE = range(7)
NO_QUOTE, TARGET_QUOTE = 0, 1
"""Numbers of no quote at all, and of the asset in which money is fused."""

# --- templates: raw events are the same text but for a few holes (scan.py) --------------------------------------------------
# One template, in a table of open addressing by hash: TEMPLATE words.
(
    H_HASH,  # of its text between the holes; 0 is an empty line
    H_SOURCE,  # number of its source; -1: Python reads such events
    H_TEXT,  # address of its text between the holes, one after another
    H_TEXT_N,
    H_HOLES,  # how many
    H_ROLES,  # address of one word for each hole, of ROLE_*
    H_RUNS,  # address of one word for each stretch of text between holes: four times its bytes, and HOLE_* of what follows
    TEMPLATE,
) = range(8)
HOLE_NUMBER, HOLE_STRING, HOLE_VALUE = range(3)
"""What a hole can hold: a number, the text of a string, or any value of a metric."""
GUESSES = 1024
"""Lines of the table of guesses: two templates that the last events of one provider and endpoint had (scan.py). There is one line
more, for events of which these are not known."""
ROLE_NONE, ROLE_ID, ROLE_ENTITY, ROLE_RECEIVED, ROLE_EVENT, ROLE_VALUE = range(6)
"""What stands in a hole; ROLE_VALUE + KIND_* * MOST_HOLES + k is the value of place k of the source."""
MOST_HOLES = 64
"""Events with more holes are read by Python."""
LONGEST_TEXT = 4096
"""Bytes of the longest value that is read without Python: however many of them an event has, MARGIN is enough."""
# What scan finds in an event: HOLES words, then two for each hole: where it begins and ends in the text, without quotes
# but in metrics. Z_FIRST, Z_LAST: number of the first hole in metrics, and of the first behind it.
Z_COUNT, Z_HASH, Z_FIRST, Z_LAST, HOLES = range(5)
HOLES_WORDS = HOLES + 2 * MOST_HOLES
# What read finds in it: SAID words, then its values, the one of place k in word SAID + k: a number (f), or the address of a text, whose
# bytes are in word SAID + MOST_HOLES + k.
Y_RECEIVED, Y_EVENT, Y_TIMED, Y_TIE, Y_ENTITY, Y_ENTITY_END, SAID = range(7)
"""Y_EVENT counts where Y_TIMED is 1; Y_TIE: CRC-32 of the id; the entity's bytes in the text."""
SAID_WORDS = SAID + 2 * MOST_HOLES
SLACK = 64
"""Bytes that can be read behind the end of each text given to scan: it looks at so many at once."""

# --- desk of a partition: one block of words that every entry is given -------------------------------------------------------
(
    X_NEXT,  # allocator: where free memory begins
    X_END,  # and ends
    X_FREE,  # address of one word for each size: first free block of it
    X_SOURCES,
    X_PLACES,
    X_METRICS,
    X_METRICS_N,
    X_PROVIDERS,
    X_PROVIDERS_N,
    X_GROUPS,
    X_QUOTES,
    X_ROWS,  # word [metric * X_PROVIDERS_N + provider]: row of the source in fusion's table, 0 for a stranger
    X_TEMPLATES,
    X_TEMPLATES_MASK,  # lines - 1, a power of two less one
    X_FUSION,  # address of fusion's context (fusion.layout CONTEXT)
    X_SCRATCH,  # SCRATCH words for whoever is called; nobody relies on what was there
    X_CATEGORY,  # JSON text of the category with quotes
    X_CATEGORY_N,
    X_WINDOWS,  # widths of learning windows, shortest first; the width of an epoch where there are none
    X_WINDOWS_N,
    # limits, in ms
    X_SKEW,
    X_FUTURE,
    X_EARLIEST,
    X_EXPIRE,
    X_LATENESS,
    X_EMIT,
    X_BEHIND,
    X_MAX_BYTES,
    X_NEWCOMER,  # metric by which newcomers are judged, -1 for none
    X_PEERS,  # of it
    X_FACTOR,  # (f)
    X_NEAR,  # (f)
    X_PRICE,  # metric whose value is told beside a record (the price of market), -1 for none
    # where the log stands
    X_POSITION,
    X_BASE,  # version of offset 0
    X_LOG,  # the log's clock
    X_TURN,  # at this log time Python closes something
    X_CLOSED,  # minutes that start before this are closed
    X_ORIGINS,  # address of (text, length) of the JSON texts of the three origins, with quotes
    X_TOUCHED,  # address of one word for each metric: 1 when it learned since the last epoch
    X_INDEX,  # table of open addressing by key: addresses of entities, 0 for none, GONE for one that was dropped
    X_INDEX_MASK,  # lines - 1, a power of two less one
    X_INDEX_USED,  # lines that are not 0
    X_INDEX_LIVE,  # lines that hold an entity
    X_QUOTES_N,
    X_SOURCES_N,
    X_GUESSES,  # address of (GUESSES + 1) x 2 addresses of templates, 0 for none
    X_RECORDS,  # line [metric * X_PROVIDERS_N + provider]: RECORD words
    DESK,
) = range(49)
GONE = 1
"""In the index: no entity, but others may stand behind it."""
SCRATCH = 65_536
"""Words at X_SCRATCH."""
MARGIN = 1 << 20
"""Bytes that are free between X_NEXT and X_END whenever a kernel begins a record, beside what `blocks.appetite` says, so that no
allocation in it can fail."""

# --- what is folded in one call: records as columns, all in one buffer of text -----------------------------------------------
(
    R_AT,  # record to begin with; where it ended
    R_COUNT,
    R_TEXT,  # address of the buffer
    R_OFFSETS,  # addresses of one word for each record: offset, timestamp (-1: none), where key and value begin and end (-1: null)
    R_STAMPS,
    R_KEY_BEGINS,
    R_KEY_ENDS,
    R_BEGINS,
    R_ENDS,
    R_NOW,  # wall clock in ms
    R_BEHIND,  # whether much more of the log waits
    R_WHY,  # why it ended before the last record, of WHY_*
    R_RECEIVED,  # receive time of the record at which it ended, for WHY_TURN and WHY_LEARN
    R_ENTITY,  # its entity, for WHY_LEARN
    R_REPLAYED,
    R_UNCHANGED,
    R_FOLDED,
    R_READY,  # count and address of entities that are due now
    R_READY_AT,
    R_LATER,  # count and address of (entity, wall clock) of those that wait
    R_LATER_AT,
    R_CHANGED,  # count and address of entities that are new among the changed
    R_CHANGED_AT,
    R_OPENED,  # count and address of (entity, start) of bars that were made in open minutes
    R_OPENED_AT,
    R_REOPENED,  # count and address of (entity, start) of bars of closed minutes that changed
    R_REOPENED_AT,
    R_HOLES,  # address of what scan finds
    R_SAID,  # address of what read finds
    R_NEED,  # bytes that must be free, for WHY_MEMORY
    ROWS,
) = range(31)
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999: no time is later, so that six bytes hold it and sums of times stay in a word."""
(
    WHY_DONE,
    WHY_UNKNOWN,  # a template that nobody has seen: Python learns it, and the record is tried again
    WHY_CAREFUL,  # Python folds the record
    WHY_TURN,  # the log's clock passes X_TURN: Python closes what ends, and the record is tried again
    WHY_MEMORY,  # less than R_NEED is free: Python adds memory
    WHY_INDEX,  # the index is full: Python makes a larger one
    WHY_QUOTE,  # the quote of a pair is not known yet: Python names it
    WHY_LEARN,  # Python lets the fuser learn from the entity
) = range(8)
