// The status page: one WebSocket for prices, one poll for the slow things. No dependencies, nothing from elsewhere.
const STATUS_EVERY_MS = 5000;
const ROWS_MAX = 50;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15000;
const SILENCE_MS = 75000; // 2.5 heartbeats of 30 s: what the protocol allows a client to wait

const at = (id) => document.getElementById(id);
const assets = new Map();   // asset_id -> newest record
const rows = new Map();     // asset_id -> {tr, cells, price}
let skewMs = 0;             // server clock minus ours
let selected = null;
let lastHeardMs = 0;
let dirty = new Set();
let frame = 0;

const ageText = (ms) => ms < 1000 ? "now" : ms < 60000 ? `${(ms / 1000).toFixed(0)} s` : ms < 3600000 ? `${(ms / 60000).toFixed(0)} min` : ms < 172800000 ? `${(ms / 3600000).toFixed(1)} h` : `${(ms / 86400000).toFixed(0)} d`;
const ageOf = (instant) => instant ? Math.max(0, Date.now() + skewMs - Date.parse(instant)) : null;
const digits = (text) => {
  if (text === null || text === undefined) return "–";
  const value = Number(text);
  const places = Math.abs(value) >= 1000 ? 2 : Math.abs(value) >= 1 ? 4 : 8;
  return value.toLocaleString("en-US", { minimumFractionDigits: Math.min(2, places), maximumFractionDigits: places });
};
const rough = (text) => Number(text) > 0 && Number(text) < 1e-6 ? Number(text).toExponential(2) : Number(text).toLocaleString("en-US", { maximumSignificantDigits: 3 });
const signed = (value) => value.toLocaleString("en-US", { signDisplay: "exceptZero", minimumFractionDigits: 2, maximumFractionDigits: 2 });
const rankOf = (record) => record.rank ?? 1e9;
const cell = (tr, className) => { const td = document.createElement("td"); if (className) td.className = className; tr.append(td); return td; };

function rowOf(record) {
  let row = rows.get(record.asset_id);
  if (row) return row;
  const tr = document.createElement("tr");
  tr.tabIndex = 0;
  tr.dataset.asset = record.asset_id;
  tr.addEventListener("click", () => select(record.asset_id));
  tr.addEventListener("keydown", (event) => { if (event.key === "Enter") select(record.asset_id); });
  const cells = {};
  for (const [name, className] of [["asset", "asset"], ["price", "n"], ["band", "n wide"], ["confidence"], ["spread", "n wide"], ["sources", "n wide"], ["change", "n wide"], ["age", "n age"], ["origin", "wide"]]) cells[name] = cell(tr, className);
  cells.asset.textContent = record.name ?? record.asset_id;
  const symbol = document.createElement("span");
  symbol.className = "sym";
  symbol.textContent = record.symbol ?? "";
  cells.asset.append(symbol);
  const meter = document.createElement("meter");
  meter.min = 0; meter.max = 1; meter.low = 0.6; meter.high = 0.85; meter.optimum = 1;
  const words = document.createElement("span");
  cells.confidence.append(meter, words);
  row = { tr, cells, meter, words, price: null };
  rows.set(record.asset_id, row);
  return row;
}

// Ranks come late and change: a row moves when its own does, and the last one makes room.
function place(row, record) {
  const rank = rankOf(record);
  if (row.tr.isConnected && Number(row.tr.dataset.rank) === rank) return;
  row.tr.dataset.rank = rank;
  const body = at("prices").tBodies[0];
  const after = [...body.rows].find((other) => other !== row.tr && Number(other.dataset.rank) > rank);
  body.insertBefore(row.tr, after ?? null);
  if (rows.size > ROWS_MAX) {
    rows.delete(body.lastElementChild.dataset.asset);
    body.lastElementChild.remove();
  }
}

function hasRoom(record) {
  return rows.has(record.asset_id) || rows.size < ROWS_MAX || rankOf(record) < Number(at("prices").tBodies[0].lastElementChild.dataset.rank);
}

function paint() {
  frame = 0;
  for (const id of dirty) {
    const record = assets.get(id);
    if (!hasRoom(record)) continue;
    const row = rowOf(record);
    place(row, record);
    const { cells } = row;
    if (row.price !== null && record.price !== row.price) {
      const direction = Number(record.price) >= Number(row.price) ? "up" : "down";
      cells.price.classList.remove("up", "down");
      void cells.price.offsetWidth; // restarts the animation
      cells.price.classList.add(direction);
    }
    row.price = record.price;
    cells.price.textContent = digits(record.price);
    cells.band.textContent = record.conf === null ? "–" : `± ${rough(record.conf)}`;
    row.meter.value = record.confidence ?? 0;
    row.words.textContent = record.confidence === null ? "–" : record.confidence.toFixed(3);
    cells.spread.textContent = record.spread === null ? "–" : `${(record.spread * 1e4).toFixed(1)} bps`;
    cells.sources.textContent = `${record.sources_used}/${record.sources_total}`;
    cells.change.textContent = record.change_24h_pct === null ? "–" : `${signed(record.change_24h_pct)} %`;
    cells.origin.textContent = record.origin;
    age(row, record);
  }
  dirty = new Set();
  at("empty").hidden = rows.size > 0;
  at("prices-note").textContent = assets.size > rows.size ? `first ${rows.size} of ${assets.size}` : "";
}

function age(row, record) {
  const ms = ageOf(record.as_of);
  row.cells.age.textContent = ageText(ms);
  const replayed = record.origin === "replay";
  row.tr.classList.toggle("stale", record.stale || (!replayed && record.fresh_until !== null && Date.parse(record.fresh_until) < Date.now() + skewMs));
}

function take(records) {
  for (const record of records) {
    if (!record.asset_id) continue; // the market as a whole has no row
    const known = assets.get(record.asset_id);
    if (known && known.ver > record.ver) continue;
    assets.set(record.asset_id, record);
    dirty.add(record.asset_id);
  }
  if (!frame) frame = requestAnimationFrame(paint);
}

function banner(origins) {
  const other = origins.filter((origin) => origin !== "live");
  const words = { sandbox: "SANDBOX: these numbers come from the offline simulator, not from any market.", replay: "REPLAY: these numbers are recordings, not the present." };
  at("origin").hidden = other.length === 0;
  at("origin").textContent = other.map((origin) => words[origin]).join(" ");
}

function showStatus(status) {
  if (status.time) skewMs = Date.parse(status.time) - Date.now();
  at("sentence").textContent = status.sentence;
  banner(status.origins);
  const table = at("categories").tBodies[0];
  table.replaceChildren(...Object.entries(status.categories).filter(([, category]) => category.records).map(([name, category]) => {
    const tr = document.createElement("tr");
    cell(tr).textContent = name;
    cell(tr, "n").textContent = category.records.toLocaleString("en-US");
    cell(tr, "n").textContent = category.age_ms === null ? "–" : ageText(category.age_ms);
    return tr;
  }));
  list("services", status.services, "None reported.", (service) => [service.state, `${service.service} `, service.state + (service.restarts ? `, restarted ${service.restarts}×` : ""), service.last_exit ?? ""]);
}

function list(id, items, empty, parts) {
  if (!items.length) {
    const li = document.createElement("li");
    li.className = "empty";
    li.textContent = empty;
    at(id).replaceChildren(li);
    return;
  }
  at(id).replaceChildren(...items.map((item) => {
    const [className, label, strong, title] = parts(item);
    const li = document.createElement("li");
    li.className = className;
    li.title = title;
    const name = document.createElement("span");
    name.textContent = label;
    const state = document.createElement("b");
    state.textContent = strong;
    li.append(name, state);
    return li;
  }));
}

async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function poll() {
  try {
    const [status, providers, alerts] = await Promise.all([read("/api/v1/status"), read("/api/v1/providers"), read("/api/v1/alerts?state=firing")]);
    showStatus(status.data);
    list("providers", providers.data, "None reported.", (p) => [p.health?.state ?? "unrated", p.name ?? p.provider, p.health ? (p.health.score === null ? p.health.state : `${p.health.state} ${p.health.score.toFixed(0)}`) : "not judged", [p.home, p.health?.reason].filter(Boolean).join(": ")]);
    const counts = status.data.providers;
    at("providers-note").textContent = counts.total ? `${counts.online} online, ${counts.degraded} degraded, ${counts.offline} offline, ${counts.unrated} unrated` : "";
    list("alerts", alerts.data.filter((alert) => alert.inhibited_by === null), "None firing.", (alert) => [alert.severity, `${alert.summary} `, alert.name, alert.remedy ?? ""]);
    if (selected) await showSources();
  } catch (fault) {
    at("sentence").textContent = `The gateway does not answer (${fault.message}).`;
  } finally {
    setTimeout(poll, STATUS_EVERY_MS);
  }
}

async function select(asset) {
  selected = asset;
  for (const row of rows.values()) row.tr.setAttribute("aria-selected", String(row.tr.dataset.asset === asset));
  await showSources();
}

async function showSources() {
  const { data } = await read(`/api/v1/market/${encodeURIComponent(selected)}/sources`);
  const price = data.metrics.price;
  at("detail").hidden = !price;
  if (!price) return;
  at("detail-title").textContent = `Who said what about ${selected}`;
  at("sources").tBodies[0].replaceChildren(...price.sources.map((source) => {
    const tr = document.createElement("tr");
    cell(tr).textContent = source.provider;
    cell(tr, "n").textContent = digits(source.value);
    cell(tr, "n").textContent = source.deviation_bps === null ? "–" : source.deviation_bps.toFixed(1);
    cell(tr, "n").textContent = source.weight.toFixed(2);
    cell(tr, "n").textContent = ageText(source.age_ms);
    tr.className = source.used ? "" : "unused";
    const used = cell(tr, source.used ? "" : "no");
    used.textContent = source.used ? "yes" : `no: ${source.why_excluded}`;
    return tr;
  }));
}

function down(sinceMs) {
  at("socket").hidden = false;
  at("socket").textContent = `Connection lost: showing data from ${ageText(Date.now() - sinceMs)} ago. Trying again …`;
}

function connect(waitMs = RETRY_FIRST_MS) {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/master`);
  let opened = false;
  let wantMs = null;
  socket.addEventListener("open", () => {
    opened = true;
    lastHeardMs = Date.now();
    socket.send(JSON.stringify({ action: "subscribe", service: "market_data", rate: "250ms", batch: true }));
  });
  socket.addEventListener("message", (event) => {
    lastHeardMs = Date.now();
    at("socket").hidden = true;
    const message = JSON.parse(event.data);
    if (message.service === "market_data") take(message.data);
    else if (message.type === "status_update") showStatus(message.data);
    else if (message.type === "server_shutdown") wantMs = message.reconnect_after_ms;
  });
  socket.addEventListener("close", () => {
    down(lastHeardMs || Date.now());
    const nextMs = wantMs ?? (opened ? RETRY_FIRST_MS : Math.min(RETRY_MAX_MS, waitMs * 2));
    setTimeout(() => connect(nextMs), nextMs * (0.8 + 0.4 * Math.random()));
  });
  const watch = setInterval(() => {
    if (socket.readyState === WebSocket.CLOSED) clearInterval(watch);
    else if (opened && Date.now() - lastHeardMs > SILENCE_MS) socket.close();
  }, 1000);
}

setInterval(() => {
  for (const [id, row] of rows) age(row, assets.get(id));
  if (!at("socket").hidden) down(lastHeardMs || Date.now());
}, 1000);

connect();
poll();
