// What the pages gain with JavaScript: shortcuts, drafts, sending again, reordering. All of it works
// without, only less comfortably. No library, no inline code, nothing evaluated.

const root = document.body.dataset.root;
const person = document.body.dataset.person;
let csrf = document.body.dataset.csrf;
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const memory = {
  get(key) {
    try { return JSON.parse(localStorage.getItem(`fairlead:${key}`)); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(`fairlead:${key}`, JSON.stringify(value)); } catch { /* Full, or not allowed. */ }
  },
  drop(key) {
    try { localStorage.removeItem(`fairlead:${key}`); } catch { /* Not allowed. */ }
  },
  keys(prefix) {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(`fairlead:${prefix}`)).map((key) => key.slice(9));
    } catch { return []; }
  },
};

// Requests

async function ask(path, body) {
  const headers = { Accept: "application/json", "X-CSRF-Token": csrf };
  const answer = await fetch(path, { method: "POST", headers, body, credentials: "same-origin" });
  const text = await answer.text();
  let data = {};
  try { data = JSON.parse(text); } catch { /* A proxy's page. */ }
  return { status: answer.status, ok: answer.ok, data, after: Number(answer.headers.get("Retry-After")) || 0 };
}

function encoded(pairs) {
  const body = new URLSearchParams();
  for (const [name, value] of pairs) if (name !== "csrf") body.append(name, value);
  body.append("csrf", csrf);
  return body;
}

// Logging in again, in place

const again = $("dialog[data-login]");
let asked = null;

function loginAgain() {
  if (!again) return Promise.resolve(false);
  asked ??= new Promise((done) => {
    const form = $("form", again);
    const problem = $("[data-login-problem]", again);
    const end = (well) => { again.close(); asked = null; done(well); };
    form.onsubmit = async (event) => {
      event.preventDefault();
      const headers = { Accept: "application/json", "Content-Type": "application/json" };
      const body = JSON.stringify({ login: form.elements.login.value, password: form.elements.password.value });
      try {
        const answer = await fetch(`${root}/api/v1/session`, { method: "POST", headers, body, credentials: "same-origin" });
        const data = await answer.json();
        if (!answer.ok) throw new Error([data.what, data.remedy].filter(Boolean).join("; "));
        if (data.pseudonym !== person) throw new Error("this is another person's login; the work on this page is not theirs");
        csrf = data.csrf;
        for (const field of $$('input[name="csrf"]')) field.value = csrf;
        form.elements.password.value = "";
        problem.hidden = true;
        end(true);
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      }
    };
    $("[data-close]", again).onclick = () => end(false);
    again.oncancel = () => end(false);
    again.showModal();
  });
  return asked;
}

// The page of a task

const work = $("form#work");
if (work) task(work);
for (const form of $$("form[data-leave]")) {
  form.addEventListener("submit", () => { for (const key of memory.keys("draft:")) memory.drop(key); });
}

// Answers that were waiting when their page was closed.
async function flush(except) {
  for (const key of memory.keys("queue:").filter((one) => one !== except)) {
    const kept = memory.get(key);
    if (!person || kept?.person !== person) continue;
    try {
      const { ok, status } = await ask(kept.url, encoded(kept.pairs));
      if (ok) memory.drop(key.replace("queue:", "draft:"));
      if (ok || [404, 409, 422].includes(status)) memory.drop(key);
    } catch { return; /* No network; the next page tries again. */ }
  }
}
flush(work && `queue:${work.dataset.key}`);

function task(form) {
  const key = `draft:${form.dataset.key}`;
  const queueKey = `queue:${form.dataset.key}`;
  const state = $("[data-savestate]");
  const box = $("[data-problems]");
  const button = $("[data-submit]", form);
  const url = form.getAttribute("action");
  let busy = false;
  let left = false;

  const say = (is, text) => { state.dataset.is = is; if (state.textContent !== text) state.textContent = text; };
  const fields = (submitter) => [...new FormData(form, submitter)];
  const typed = () => fields().filter(([name]) => !["csrf", "seq", "active_ms", "client_key", "markdown"].includes(name));

  for (const part of $$(".js")) part.hidden = false;
  const ranking = $("[data-ranking]") ? rankings($("[data-ranking]")) : null;
  const steps = $("[data-steps]") ? stepwise($("[data-steps]")) : null;
  restore();
  preferences();
  counting(form);

  // Time at work, with the page in sight.
  let since = document.hidden ? null : performance.now();
  let active = 0;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && since !== null) { active += performance.now() - since; since = null; }
    if (!document.hidden && since === null) { since = performance.now(); beat(); }
  });
  const spent = () => Math.round(active + (since === null ? 0 : performance.now() - since));

  // Drafts: in this browser at once, on the server every two seconds while something changes.
  let changed = false;
  let saving = null;
  let timer = null;
  const remember = () => memory.set(key, { seq: Number(form.elements.seq.value), fields: typed() });
  const onChange = () => {
    remember();
    changed = true;
    timer ??= setTimeout(() => { timer = null; saveDraft(); }, 2000);
  };
  form.addEventListener("input", onChange);
  form.addEventListener("change", onChange);

  async function saveDraft() {
    if (!changed || busy || left || saving || form.dataset.state === "submitted") return;
    changed = false;
    saving = ask(`${url}/draft`, encoded(fields()));
    try {
      const answer = await saving;
      if (answer.ok) {
        form.elements.seq.value = answer.data.seq;
        if (!left) remember();
        if (!changed && !busy) say("saved", "Draft saved");
      } else if (!busy) say("failed", answer.status === 401 ? "Your session ended: the draft is kept in this browser" : "The draft is kept in this browser only");
    } catch {
      changed = true;
      if (!busy) say("waiting", "Offline: the draft is kept in this browser");
    } finally {
      saving = null;
      if (changed && !left) timer ??= setTimeout(() => { timer = null; saveDraft(); }, 4000);
    }
  }

  function restore() {
    const kept = memory.get(key);
    // A later draft on the server comes from another device, or from a button of this page.
    if (!kept || kept.seq < Number(form.elements.seq.value)) return;
    if (!box.hidden || form.dataset.state === "submitted") return;
    fillIn(form, kept.fields);
    ranking?.show();
    steps?.show();
    say("saved", "Your draft is back");
  }

  // Sending: once, again while there is no network, in place after a new login.
  form.addEventListener("submit", (event) => {
    const submitter = event.submitter;
    if (submitter && submitter.hasAttribute("formaction")) { left = true; return; }
    event.preventDefault();
    form.elements.active_ms.value = spent();
    deliver(fields(submitter));
  });

  async function deliver(pairs) {
    if (busy) return;
    busy = true;
    button.setAttribute("aria-disabled", "true");
    box.hidden = true;
    memory.set(queueKey, { url, pairs, person });
    say("waiting", "Sending …");
    for (let pause = 1000; ; pause = Math.min(pause * 2, 30000)) {
      let answer = null;
      try { answer = await ask(url, encoded(pairs)); } catch { /* No network. */ }
      if (answer?.ok && answer.data.next) {
        left = true;
        memory.drop(key);
        memory.drop(queueKey);
        say("saved", "Saved");
        location.assign(answer.data.next);
        return;
      }
      if (answer?.status === 401) {
        say("waiting", "Waiting for you to log in");
        if (await loginAgain()) { pause = 500; continue; }
        return refused([["", "You are not logged in. What you chose is kept here; send it again after you log in."]]);
      }
      if (answer && answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status)) return refused(told(answer.data));
      const seconds = Math.round(Math.max(pause, (answer?.after || 0) * 1000) / 1000);
      say("waiting", `${answer ? "The server is busy" : "No connection"}: your answer is kept here and sent again in ${seconds} s`);
      await Promise.race([wait(seconds * 1000), new Promise((done) => addEventListener("online", done, { once: true }))]);
    }
  }

  function refused(problems) {
    busy = false;
    memory.drop(queueKey);
    button.removeAttribute("aria-disabled");
    say("failed", "Not sent");
    const list = $("ul", box);
    list.replaceChildren(...problems.map(([, sentence]) => {
      const line = document.createElement("li");
      line.textContent = sentence.charAt(0).toUpperCase() + sentence.slice(1) + (/[.!?]$/.test(sentence) ? "" : ".");
      return line;
    }));
    box.hidden = false;
    box.focus();
  }

  function told(data) {
    if (data.problems?.length) return data.problems.map((one) => [one.field, one.sentence]);
    const both = data.stored || data.sent ? ` Stored: ${JSON.stringify(data.stored ?? null)}. Sent: ${JSON.stringify(data.sent ?? null)}.` : "";
    return [["", [data.what || "the server refused the answer", data.remedy].filter(Boolean).join("; ") + both]];
  }

  const queued = memory.get(queueKey);
  if (queued && form.dataset.state !== "submitted") { fillIn(form, queued.pairs); ranking?.show(); steps?.show(); deliver(queued.pairs); }
  else memory.drop(queueKey);

  // The lease lives while somebody looks at the page.
  async function beat() {
    if (document.hidden || left || form.dataset.state !== "leased") return;
    try { await ask(`${url}/heartbeat`, encoded([])); } catch { /* The next one may get through. */ }
  }
  setInterval(beat, 60000);

  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  shortcuts(form, ranking, steps);
}

function fillIn(form, pairs) {
  const values = new Map();
  for (const [name, value] of pairs) values.set(name, [...(values.get(name) ?? []), value]);
  for (const field of form.elements) {
    if (!field.name || field.type === "hidden" || field.type === "submit") continue;
    const found = values.get(field.name) ?? [];
    if (field.type === "radio" || field.type === "checkbox") field.checked = found.includes(field.value);
    else field.value = found[0] ?? "";
  }
}

function counting(form) {
  for (const place of $$("[data-count-of]")) {
    const field = form.elements[place.dataset.countOf];
    const show = () => { place.textContent = `${field.value.trim().length} so far.`; };
    field.addEventListener("input", show);
    show();
  }
}

function preferences() {
  for (const field of $$("[data-pref]")) {
    const name = field.dataset.pref;
    field.checked = memory.get(`pref:${name}`) ?? name === "shortcuts";
    const apply = () => { if (name === "stacked") document.body.classList.toggle("stacked", field.checked); };
    field.addEventListener("change", () => { memory.set(`pref:${name}`, field.checked); apply(); });
    apply();
  }
}

// Rankings: the selects hold the answer; lists show it.

function rankings(part) {
  const ranked = $("[data-ranked]", part);
  const tray = $("[data-tray]", part);
  const cards = $$("[data-reply]", part);
  const ties = part.dataset.ties === "yes";
  const announce = $("[data-announce]", part);
  const select = (card) => $("select", card);
  const rank = (card) => Number(select(card).value) || 0;
  const tiers = () => [...new Set(cards.map(rank).filter(Boolean))].sort((a, b) => a - b).map((n) => cards.filter((card) => rank(card) === n));

  function show() {
    const rows = tiers();
    for (const row of rows) row.forEach((card, j) => card.classList.toggle("tied", j > 0));
    const wanted = rows.flat();
    const rest = cards.filter((card) => !rank(card));
    if (wanted.some((card, i) => ranked.children[i] !== card) || ranked.children.length !== wanted.length) ranked.replaceChildren(...wanted);
    if (rest.some((card, i) => tray.children[i] !== card) || tray.children.length !== rest.length) tray.replaceChildren(...rest);
    rest.forEach((card) => card.classList.remove("tied"));
    for (const card of cards) {
      const on = rank(card) > 0;
      $('[data-move="add"]', card).hidden = on;
      for (const name of ["up", "down", "tie", "off"]) { const one = $(`[data-move="${name}"]`, card); if (one) one.hidden = !on; }
    }
    $("[data-ranked-empty]", part).hidden = wanted.length > 0;
    ranked.hidden = wanted.length === 0;
    $("[data-tray-title]", part).hidden = rest.length === 0;
  }

  function put(rows, card) {
    for (const one of cards) select(one).value = "";
    rows.filter((row) => row.length).forEach((row, i) => { for (const one of row) select(one).value = String(i + 1); });
    const focused = document.activeElement;
    show();
    select(card).dispatchEvent(new Event("input", { bubbles: true }));
    announce.textContent = rank(card) ? `Reply ${card.dataset.letter} has rank ${rank(card)} of ${tiers().length}` : `Reply ${card.dataset.letter} is not ranked`;
    if (card.contains(focused)) (focused.hidden ? $("h3", card) : focused).focus({ preventScroll: false });
  }

  function move(card, how) {
    const rows = tiers();
    const i = rows.findIndex((row) => row.includes(card));
    if (how === "add" && i < 0) return put([...rows, [card]], card);
    if (i < 0) return undefined;
    const alone = rows[i].length === 1;
    rows[i] = rows[i].filter((one) => one !== card);
    if (how === "off") return put(rows, card);
    if (how === "tie" && ties && i > 0) { rows[i - 1].push(card); return put(rows, card); }
    if (how === "up") rows.splice(alone ? Math.max(i - 1, 0) : i, 0, [card]);
    else if (how === "down") rows.splice(alone ? i + 2 : i + 1, 0, [card]);
    else return undefined;
    return put(rows, card);
  }

  part.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move]");
    if (button) move(button.closest("[data-reply]"), button.dataset.move);
  });
  part.addEventListener("change", (event) => {
    if (!event.target.matches("select")) return;
    show();
    event.target.focus();
  });

  let dragged = null;
  const clear = () => cards.forEach((card) => card.classList.remove("over", "dragged"));
  for (const card of cards) {
    card.draggable = true;
    card.addEventListener("dragstart", (event) => { dragged = card; card.classList.add("dragged"); event.dataTransfer.setData("text/plain", card.dataset.letter); event.dataTransfer.effectAllowed = "move"; });
    card.addEventListener("dragend", () => { dragged = null; clear(); });
    card.addEventListener("dragover", () => { cards.forEach((one) => one.classList.toggle("over", one === card && card !== dragged && rank(card) > 0)); });
  }
  part.addEventListener("dragover", (event) => { if (dragged) event.preventDefault(); });
  part.addEventListener("drop", (event) => {
    if (!dragged) return;
    event.preventDefault();
    const card = dragged;
    const over = event.target.closest("[data-reply]");
    const onTray = event.target.closest("[data-tray]") || event.target.closest("[data-tray-title]");
    clear();
    const rows = tiers().map((row) => row.filter((one) => one !== card)).filter((row) => row.length);
    if (over && over !== card && rank(over)) rows.splice(rows.findIndex((row) => row.includes(over)), 0, [card]);
    else if (!onTray || !rank(card)) rows.push([card]);
    put(rows, card);
  });
  show();
  return { show, move, cards };
}

// Steps: those behind the first wrong one are not asked.

function stepwise(part) {
  const all = $$("[data-step]", part);
  const stop = part.dataset.stop === "yes";
  function show() {
    let wrong = false;
    for (const step of all) {
      step.classList.toggle("behind", wrong);
      $("fieldset", step).disabled = wrong;
      if (stop && $('input[value="-1"]:checked', step)) wrong = true;
    }
  }
  part.addEventListener("change", show);
  show();
  return { show, all };
}

// Single keys, listed on the page and switchable off (WCAG 2.1.4). None sends or takes away.

function shortcuts(form, ranking, steps) {
  const on = $('[data-pref="shortcuts"]');
  const list = $("[data-shortcuts]");
  const groups = $$("[data-choices], [data-scale]", form);
  const usable = () => groups.filter((group) => !group.disabled && !group.closest("fieldset:disabled"));
  const current = () => {
    const inside = document.activeElement?.closest?.("[data-choices], [data-scale]");
    return inside ?? usable().find((group) => !$("input:checked", group)) ?? usable()[0];
  };
  const mark = () => { for (const step of steps?.all ?? []) step.classList.toggle("here", step.contains(current())); };
  const at = (group) => { const field = $("input:checked", group) ?? $("input", group); field?.focus(); mark(); };

  function choose(key) {
    const group = current();
    const field = group && $(`input[data-key="${key}"]`, group);
    if (!field) return false;
    field.checked = field.type === "checkbox" ? !field.checked : true;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
    field.focus();
    mark();
    return true;
  }

  function step(by) {
    const open = usable();
    const next = open[open.indexOf(current()) + by];
    if (next) at(next);
    return Boolean(next);
  }

  function rankKey(key) {
    const named = /^[1-9]$/.test(key) && ranking.cards[key - 1];
    const card = document.activeElement?.closest?.("[data-reply]");
    const how = { r: "add", k: "up", j: "down", e: "tie", x: "off" }[key];
    if (card && how) { ranking.move(card, how); return true; }
    if (named) { $("h3", named).focus(); return true; }
    return false;
  }

  function single(key) {
    if (key === "?") { list.hidden = !list.hidden; return true; }
    if (key === "g") { $("#guidelines").scrollIntoView({ block: "nearest" }); return true; }
    if (ranking) return rankKey(key);
    if (key === "n") return step(1);
    if (key === "p") return step(-1);
    return /^[0-9u]$/.test(key) && choose(key);
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || again?.open) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit($("[data-submit]", form)); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || !on?.checked) return;
    const field = event.target;
    const writes = field.matches?.("textarea, select, input:not([type=radio]):not([type=checkbox])");
    if (!writes && single(event.key.toLowerCase())) event.preventDefault();
  });
}
