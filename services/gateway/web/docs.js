// The API reference, drawn from /openapi.json and /asyncapi.json: nothing here is written twice.
const make = (tag, text, className) => { const node = document.createElement(tag); if (text !== undefined) node.textContent = text; if (className) node.className = className; return node; };

// Text with `names` in backticks, as the descriptions write them.
function prose(tag, text, className) {
  const node = make(tag, undefined, className);
  node.append(...text.split("`").map((part, index) => index % 2 ? make("code", part) : part));
  return node;
}

function kind(schema) {
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.anyOf) return schema.anyOf.filter((one) => one.type !== "null").map(kind).join(" or ");
  const bounds = [schema.minimum ?? schema.minLength, schema.maximum ?? schema.maxLength].map((bound) => bound ?? "");
  return (schema.type ?? "") + (bounds.join("") ? ` ${bounds.join("…")}` : "");
}

function table(heads, lines) {
  const node = make("table");
  const head = node.createTHead().insertRow();
  for (const text of heads) { const th = make("th", text); th.scope = "col"; head.append(th); }
  const body = node.createTBody();
  for (const line of lines) { const row = body.insertRow(); for (const text of line) row.insertCell().append(...prose("td", String(text)).childNodes); }
  return node;
}

function route(path, operation) {
  const node = make("article", undefined, "route");
  const title = make("h3");
  title.append(make("code", `GET ${path}`), ` ${operation.summary}`);
  node.append(title);
  if (operation.description) node.append(prose("p", operation.description, "empty"));
  const parameters = operation.parameters ?? [];
  if (parameters.length) node.append(table(["Parameter", "Where", "What", ""], parameters.map((p) => [p.name + (p.required ? " *" : ""), p.in, kind(p.schema) + ((p.schema.default ?? "") !== "" ? ` (${p.schema.default})` : ""), p.description ?? p.schema.description ?? ""])));
  if (!parameters.some((p) => p.required) && operation.responses["200"].content["application/json"]) {
    const button = make("button", "Try");
    const shown = make("pre");
    shown.hidden = true;
    button.addEventListener("click", async () => {
      const answer = await fetch(path);
      shown.textContent = `${answer.status}\n${JSON.stringify(await answer.json(), null, 2)}`;
      shown.hidden = false;
    });
    node.append(button, shown);
  }
  return node;
}

const [rest, sockets] = await Promise.all(["/openapi.json", "/asyncapi.json"].map(async (path) => (await fetch(path)).json()));
document.getElementById("sentence").textContent = rest.info.summary;
const all = document.getElementById("routes");
all.replaceChildren(prose("p", rest.info.description));
for (const [path, methods] of Object.entries(rest.paths)) all.append(route(path, methods.get));
all.append(make("h2", "WebSocket, protocol hub.v1"), prose("p", sockets.info.description));
all.append(table(["Path", ""], Object.values(sockets.channels).map((channel) => [channel.address, channel.description])));
all.append(make("h3", "Services"), table(["Service", "Delivery", "About"], sockets["x-services"].map((service) => [service.name, service.delivery, service.sentence])));
all.append(make("h3", "Close codes"), table(["Code", "Name", "Come back?", ""], sockets["x-close-codes"].map((code) => [code.code, code.name, code.reconnect ? "yes" : "no", code.sentence])));
all.append(make("h3", "Limits"), table(["Limit", "Value", "Why"], sockets["x-limits"].map((limit) => [limit.name, `${limit.value} ${limit.unit}`, limit.why])));
