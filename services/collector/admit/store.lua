-- Token buckets in Redis: the arithmetic of services/collector/admit/buckets.py, one atomic step over all KEYS.
-- ARGV: verb, value (cost, remaining or until_ms), now_ms, limits as JSON [[limit, window_ms, burst, refill_per_ms, long]],
-- law as JSON [divert_share, factor_floor, factor_step, spare_reserve].
local verb, value, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local limits, law = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
local FIELDS = {'tokens', 'at', 'spent', 'before', 'slot', 'factor', 'blocked'}

local function load(i)
  local limit, window, burst, refill = limits[i][1], limits[i][2], limits[i][3], limits[i][4]
  local got = redis.call('HMGET', KEYS[i], unpack(FIELDS))
  local s = {limit = limit, window = window, refill = refill, long = limits[i][5]}
  if not got[1] then
    s.tokens, s.at, s.spent, s.before, s.slot, s.factor, s.blocked = burst, now, 0, 0, math.floor(now / window), 1, 0
  else
    for n, field in ipairs(FIELDS) do s[field] = tonumber(got[n]) end
  end
  local at = math.max(now, s.at)
  s.tokens = math.min(burst, s.tokens + (at - s.at) * refill * s.factor)
  s.at = at
  local slot = math.floor(at / window)
  if slot ~= s.slot then
    s.before = (slot == s.slot + 1) and s.spent or 0
    s.spent, s.slot = 0, slot
  end
  return s
end

local function left(s) return 1 - (s.at % s.window) / s.window end

local function used(s)
  if s.limit <= 0 then return 1 end
  return math.min(1, (s.spent + s.before * left(s)) / s.limit)
end

local function num(x) return string.format('%.17g', x) end

local function save(i, s)
  redis.call('HSET', KEYS[i], 'tokens', num(s.tokens), 'at', num(s.at), 'spent', num(s.spent), 'before', num(s.before),
    'slot', num(s.slot), 'factor', num(s.factor), 'blocked', num(s.blocked))
  redis.call('PEXPIRE', KEYS[i], string.format('%.0f', math.max(2 * s.window, s.blocked - s.at)))
end

local states = {}
for i = 1, #KEYS do states[i] = load(i) end

if verb == 'take' then
  local wait, blocked, divert = 0, 0, 0
  for _, s in ipairs(states) do
    if s.blocked > s.at then
      blocked = 1
      wait = math.max(wait, s.blocked - s.at)
    end
    if s.tokens < value - 1e-9 then wait = math.max(wait, (value - s.tokens) / (s.refill * s.factor)) end
    if s.long and used(s) >= law[1] then
      divert = 1
      if law[4] then wait = math.max(wait, s.window * (1 - law[1])) end
    end
  end
  local share, tightest = 0, 0
  for i, s in ipairs(states) do
    if wait == 0 then
      s.tokens = math.max(0, s.tokens - value)
      s.spent = s.spent + value
    end
    local u = used(s)
    if tightest == 0 or u > share then share, tightest = u, i end
    save(i, s)
  end
  return {wait == 0 and 1 or 0, string.format('%.0f', math.ceil(wait)), num(share), tightest, blocked, divert}
end

for i, s in ipairs(states) do
  if verb == 'lower' then
    s.tokens = math.min(s.tokens, math.max(0, value))
    s.spent = math.max(s.spent, s.limit - value - s.before * left(s))
  elseif verb == 'slow' then
    s.factor, s.tokens = math.max(law[2], s.factor / 2), 0
  elseif verb == 'quicken' then
    s.factor = math.min(1, s.factor + law[3])
  elseif verb == 'block' then
    s.blocked = math.max(s.blocked, value)
  end
  save(i, s)
end
return {}
