// The demo shop: shows a shopper's history and recommendations, and sends what the visitor does.

const LIMIT = 12;
const BESIDE_LIMIT = 6;
const VERBS = {
  view: "viewed", click: "clicked", add_to_cart: "put in the cart", remove_from_cart: "took out",
  wishlist: "wished for", purchase: "bought", refund: "returned", dismiss: "dismissed",
};

const find = (id) => document.getElementById(id);
const state = { customerId: null, sessionId: null, recommendationId: null, shown: [], asked: 0 };

// ---- talking to the server

async function call(path, body) {
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(`/shop/api/${path}`, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail ?? response.statusText);
  return answer;
}

const shopper = () =>
  state.customerId === null ? { session_id: state.sessionId } : { customer_id: state.customerId };

async function send(type, product) {
  const event = {
    event_id: crypto.randomUUID(), type, product_id: product.product_id,
    occurred_at: new Date().toISOString(), ...shopper(),
  };
  if (state.recommendationId) event.recommendation_id = state.recommendationId;
  if (type === "purchase") event.quantity = 1;
  await call("events", { events: [event] });
  addToHistory({ ...product, type, occurred_at: event.occurred_at, quantity: 1 });
}

// A visitor's failures are told in words, and the page goes on.
function guarded(work) {
  return async (...given) => {
    try {
      find("trouble").hidden = true;
      await work(...given);
    } catch (error) {
      find("trouble").textContent = `That did not work: ${error.message}`;
      find("trouble").hidden = false;
    }
  };
}

// ---- drawing

function picture(product) {
  const url = product.image_url ?? "";
  return url.startsWith("https://")
    ? url
    : `/shop/cover.svg?product_id=${encodeURIComponent(product.product_id)}`;
}

function price(product) {
  if (product.price_cents === null || !product.currency) return "";
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency: product.currency });
  const digits = format.resolvedOptions().maximumFractionDigits;
  return format.format(product.price_cents / 10 ** digits);
}

function copy(id) {
  return find(id).content.cloneNode(true);
}

function tile(item) {
  const made = copy("tile").firstElementChild;
  made.dataset.product = item.product_id;
  made.querySelector("img").src = picture(item);
  made.querySelector(".title").textContent = item.title;
  made.querySelector(".price").textContent = price(item);
  made.querySelector(".look").addEventListener("click", () => look(item));
  const buy = made.querySelector(".buy");
  buy.setAttribute("aria-label", `Buy ${item.title}`);
  buy.addEventListener("click", () => purchase(item, buy));
  return made;
}

function explain(made, item, beside = null) {
  const reason = made.querySelector(".reason");
  reason.textContent = beside ? item.reason.words.replace(beside.title, "it") : item.reason.words;
  reason.title = `${item.reason.words} · score ${item.score.toFixed(3)}`;
  reason.dataset.code = item.reason.code;
}

function mark(made, before, rank, first) {
  const badge = made.querySelector(".badge");
  const was = before.indexOf(made.dataset.product);
  const isNew = !first && was < 0;
  made.classList.toggle("fresh", isNew);
  badge.hidden = first || was === rank;
  badge.textContent = isNew ? "new" : was > rank ? `▲ ${was - rank}` : `▼ ${rank - was}`;
  badge.className = `badge ${isNew ? "is-new" : was > rank ? "is-up" : "is-down"}`;
  return isNew;
}

function drawRecommendations(answer, first) {
  const list = find("tiles");
  const kept = new Map([...list.children].map((child) => [child.dataset.product, child]));
  let fresh = 0;
  const tiles = answer.items.map((item, rank) => {
    const made = kept.get(item.product_id) ?? tile(item);
    explain(made, item);
    if (mark(made, state.shown, rank, first)) fresh += 1;
    return made;
  });
  const focused = document.activeElement;
  list.replaceChildren(...tiles);
  if (list.contains(focused)) focused.focus({ preventScroll: true });
  list.setAttribute("aria-busy", "false");
  const ids = answer.items.map((item) => item.product_id);
  const moved = ids.some((id, rank) => state.shown[rank] !== id);
  state.shown = ids;
  find("changes").textContent = first
    ? ""
    : fresh ? `${fresh} new` : moved ? "in a new order" : "the same as before";
}

function drawServed(answer, tookMs) {
  const { timings } = answer;
  const engineUs = Object.values(timings.stages_us).reduce((sum, us) => sum + us, 0);
  const parts = [
    `Served by ${answer.served_by}${answer.degraded ? " (degraded)" : ""}`,
    answer.release_id ? `release ${answer.release_id}` : "no release yet",
    timings.cached ? "from cache" : engineUs ? `engine ${(engineUs / 1000).toFixed(1)} ms` : "",
    `answer ${timings.total_ms.toFixed(1)} ms`,
    `here after ${Math.round(tookMs)} ms`,
  ];
  find("served").textContent = parts.filter(Boolean).join(" · ");
}

function historyRow(entry) {
  const row = copy("row").firstElementChild;
  const time = new Date(entry.occurred_at);
  const clock = time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  const pieces = entry.quantity > 1 ? ` ${entry.quantity}×` : "";
  row.querySelector("img").src = picture(entry);
  row.querySelector(".title").textContent = entry.title;
  row.querySelector(".did").textContent = `${VERBS[entry.type] ?? entry.type}${pieces} · ${clock}`;
  row.querySelector(".did").dataset.type = entry.type;
  row.querySelector(".look").addEventListener("click", () => look(entry));
  return row;
}

function dayOf(entry) {
  const style = { weekday: "long", day: "numeric", month: "long", year: "numeric" };
  return new Date(entry.occurred_at).toLocaleDateString(undefined, style);
}

function daySection(day) {
  const section = document.createElement("section");
  const heading = document.createElement("h3");
  const list = document.createElement("ol");
  section.dataset.day = heading.textContent = day;
  section.append(heading, list);
  return section;
}

function drawHistory(entries) {
  const sections = new Map();
  for (const entry of entries) {
    const day = dayOf(entry);
    if (!sections.has(day)) sections.set(day, daySection(day));
    sections.get(day).lastChild.append(historyRow(entry));
  }
  const nothing = document.createElement("p");
  nothing.className = "empty";
  nothing.textContent = "Nothing yet. The first click will be remembered.";
  find("history").replaceChildren(...(sections.size ? sections.values() : [nothing]));
  find("history").setAttribute("aria-busy", "false");
}

function addToHistory(entry) {
  const day = dayOf(entry);
  let section = find("history").firstElementChild;
  if (section?.dataset.day !== day) {
    section?.matches(".empty") && section.remove();
    section = daySection(day);
    find("history").prepend(section);
  }
  const row = historyRow(entry);
  row.classList.add("fresh");
  section.lastChild.prepend(row);
}

// ---- what a visitor can do

async function recommend(first = false) {
  const asked = ++state.asked;
  const mode = document.querySelector("input[name=mode]:checked").value;
  const started = performance.now();
  const question = { placement: "for-you", limit: LIMIT, mode, ...shopper() };
  const answer = await call("recommendations", question);
  if (asked !== state.asked) return; // a later question is on its way
  state.recommendationId = answer.recommendation_id;
  drawRecommendations(answer, first);
  drawServed(answer, performance.now() - started);
}

async function showBeside(product) {
  const panel = copy("focus");
  panel.querySelector("img").src = picture(product);
  panel.querySelector("h3").textContent = product.title;
  panel.querySelector(".price").textContent = price(product);
  const buy = panel.querySelector(".buy");
  buy.addEventListener("click", () => purchase(product, buy));
  const rows = [...panel.querySelectorAll("[data-placement]")];
  find("looking").replaceChildren(panel);
  const placements = rows.map((row) => ({
    placement: row.dataset.placement, product_id: product.product_id, limit: BESIDE_LIMIT,
  }));
  const answer = await call("page", { placements, ...shopper() });
  for (const [place, { items }] of answer.placements.entries()) {
    rows[place].hidden = !items.length;
    const tiles = items.map((item) => {
      const made = tile(item);
      explain(made, item, product);
      return made;
    });
    rows[place].querySelector("ul").replaceChildren(...tiles);
  }
}

const look = guarded(async (product) => {
  await send("view", product);
  await Promise.all([showBeside(product), recommend()]);
});

const purchase = guarded(async (product, button) => {
  await send("purchase", product);
  button.textContent = "Bought ✓";
  setTimeout(() => (button.textContent = "Buy"), 2000);
  await recommend();
});

const choose = guarded(async () => {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const links = [...document.querySelectorAll(".shopper")];
  const known = links.find((link) => link.dataset.customer === wanted);
  const link = known ?? (wanted === "anonymous" ? links[0] : (links[1] ?? links[0]));
  state.customerId = link.dataset.customer ?? null;
  state.sessionId = crypto.randomUUID();
  state.shown = [];
  for (const other of links) other.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  link.scrollIntoView({ block: "nearest", inline: "center" });
  find("who").textContent = link.querySelector(".who").textContent;
  find("tiles").setAttribute("aria-busy", "true");
  find("looking").replaceChildren(untouched.cloneNode(true));
  const search = new URLSearchParams(shopper());
  await Promise.all([
    recommend(true),
    call(`history?${search}`).then((answer) => drawHistory(answer.entries)),
  ]);
});

const untouched = find("looking").firstElementChild;
find("find").addEventListener("input", ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const item of find("shoppers").children) {
    item.hidden = !item.querySelector(".who").textContent.toLowerCase().includes(wanted);
  }
});
for (const choice of document.querySelectorAll("input[name=mode]")) {
  choice.addEventListener("change", guarded(() => recommend()));
}
addEventListener("hashchange", choose);
choose();
