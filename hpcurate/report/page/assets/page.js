"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // -- light and dark ---------------------------------------------------------------------------

  const root = document.documentElement;
  $("theme").addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    root.dataset.theme = theme;
    try { localStorage.setItem("hpcurate-theme", theme); } catch (error) { /* for this page only, then */ }
  });

  // -- items ------------------------------------------------------------------------------------

  const STEP = 48, NAMES = { kept: "Kept", dropped: "Dropped", failed: "Failed" };
  const [NAME, ID, GROUP, PICTURE, VALUES, TEXTS] = [0, 1, 2, 3, 4, 5];
  let fields, groups, pictures, items, order;
  let fate = "", found = [], drawn = 0, up = false, table = false, chosen = { find: "" };

  const shown = (value) => value === undefined || value === null ? "–"
    : Number.isInteger(value) ? value.toLocaleString("en-US").replaceAll(",", "\u202f") : String(+value.toPrecision(4));

  function chips() {
    for (const key of ["", ...Object.keys(NAMES)]) {
      const count = items.filter((item) => !key || groups[item[GROUP]][0] === key).length;
      if (key && !count) { if (fate === key) fate = ""; continue; }
      const chip = make("button", { type: "button" }, (key ? NAMES[key] : "All") + " ", make("span", {}, shown(count)));
      chip.dataset.fate = key;
      chip.addEventListener("click", () => {
        fate = key;
        press();
        update();
      });
      $("fates").append(chip);
    }
    press();
  }

  function press() {
    for (const chip of $("fates").querySelectorAll("button"))
      chip.setAttribute("aria-pressed", String(chip.dataset.fate === fate));
    $("order").setAttribute("aria-pressed", String(up));
    $("order").textContent = up ? "ascending" : "descending";
    $("view").setAttribute("aria-pressed", String(table));
    $("view").textContent = table ? "as cards" : "as a table";
  }

  function selects() {
    $("reason").append(make("option", { value: "" }, "any"));
    groups.forEach(([kind, stage, reason], place) => {
      if (kind !== "kept") $("reason").append(make("option", { value: String(place) }, `${stage}: ${reason}`));
    });
    $("sort").append(make("option", { value: "mixed" }, "mixed"), make("option", { value: "name" }, "name"));
    fields.forEach((field, place) => $("sort").append(make("option", { value: String(place) }, field)));
    $("find").value = chosen.find;
    for (const id of ["reason", "sort"])
      for (const option of $(id).options) if (option.textContent === chosen[id]) option.selected = true;
  }

  // `motion>0.5 beach`: every word has to match; a comparison is of a measure, other words are looked for.
  function matcher(query) {
    const tests = query.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
      const parts = word.match(/^([^<>=]+)(<=|>=|<|>|=)(-?[\d.]+(?:e-?\d+)?)$/);
      const field = parts ? fields.findIndex((name) => name.toLowerCase() === parts[1]) : -1;
      if (field < 0) return (item) => (item[NAME] + " " + item[ID] + " " + item[TEXTS].map((t) => t[1]).join(" ")).toLowerCase().includes(word);
      const wanted = Number(parts[3]);
      const holds = { "<": (v) => v < wanted, ">": (v) => v > wanted, "<=": (v) => v <= wanted, ">=": (v) => v >= wanted, "=": (v) => v === wanted }[parts[2]];
      return (item) => typeof item[VALUES][field] === "number" && holds(item[VALUES][field]);
    });
    return (item) => tests.every((test) => test(item));
  }

  function update() {
    const matches = matcher($("find").value), reason = $("reason").value, sort = $("sort").value;
    const words = (select) => select.selectedOptions[0]?.textContent;
    chosen = { find: $("find").value, reason: words($("reason")), sort: words($("sort")) };
    found = order.filter((place) => {
      const item = items[place];
      return (!fate || groups[item[GROUP]][0] === fate) && (reason === "" || item[GROUP] === Number(reason)) && matches(item);
    });
    const sign = up ? 1 : -1;
    if (sort === "name") found.sort((a, b) => -sign * items[a][NAME].localeCompare(items[b][NAME]));
    else if (sort !== "mixed") {
      const value = (place) => items[place][VALUES][Number(sort)] ?? null;
      found.sort((a, b) => (value(a) === null) - (value(b) === null) || sign * (value(a) - value(b)));
    }
    $("order").disabled = sort === "mixed";
    drawn = 0;
    $("cards").replaceChildren();
    draw();
  }

  function draw() {
    const next = found.slice(drawn, drawn + (table ? 4 * STEP : STEP));
    if (table) drawRows(next); else $("cards").append(...next.map(card));
    drawn += next.length;
    $("more").hidden = drawn >= found.length;
    $("count").textContent = found.length ? `Showing ${shown(drawn)} of ${shown(found.length)}` : "Nothing matches.";
  }

  // -- one item ---------------------------------------------------------------------------------

  function shot(item) {
    const picture = pictures[item[PICTURE]];
    if (!picture) return make("div", { className: "shot none" }, "no picture");
    const [data, frames, ratio] = picture, strip = make("div", { className: "strip" });
    strip.setAttribute("role", "img");
    strip.setAttribute("aria-label", `Picture of ${item[NAME]}`);
    strip.style.backgroundImage = `url(${data})`;
    strip.style.aspectRatio = String(ratio);
    strip.style.setProperty("--frames", String(frames));
    strip.style.setProperty("--at", frames > 1 ? `${100 * Math.floor(frames / 2) / (frames - 1)}%` : "0%");
    return make("div", { className: "shot" }, strip);
  }

  function fateOf(item) {
    const [kind, stage, reason] = groups[item[GROUP]];
    return make("span", { className: `fate ${kind}` }, kind === "kept" ? "kept" : `${stage}: ${reason}`);
  }

  function card(place) {
    const item = items[place], words = make("span", { className: "words" });
    words.append(make("bdi", { className: "label" }, item[NAME]), fateOf(item));
    const sort = Number($("sort").value);
    const some = [...new Set([sort, 0, 1, 2])].filter((field) => field in fields && typeof item[VALUES][field] === "number");
    if (some.length) words.append(make("span", { className: "values" }, ...some.slice(0, 3).map((field) =>
      make("span", {}, `${fields[field]} `, make("b", {}, shown(item[VALUES][field]))))));
    if (item[TEXTS].length) words.append(make("span", { className: "text" }, item[TEXTS].at(-1)[1]));
    const button = make("button", { type: "button", className: "card" }, ...(pictures.length ? [shot(item)] : []), words);
    button.addEventListener("click", () => detail(item));
    return button;
  }

  function detail(item) {
    const name = make("h3", { id: "detail-name" }, make("bdi", {}, item[NAME])), values = make("dl");
    fields.forEach((field, place) => {
      if (typeof item[VALUES][place] === "number")
        values.append(make("div", {}, make("dt", {}, field), make("dd", {}, shown(item[VALUES][place]))));
    });
    const texts = item[TEXTS].map(([field, text]) => make("div", {}, make("span", { className: "soft" }, field), make("blockquote", {}, text)));
    const parts = [name, fateOf(item)];
    if (pictures[item[PICTURE]]) parts.push(shot(item));
    parts.push(...texts, values, make("p", { className: "soft" }, "its story: ", make("code", {}, `hpcurate trace ${item[ID]}`)));
    $("detail-body").replaceChildren(...parts);
    $("detail").showModal();
  }

  // -- the same as a table ----------------------------------------------------------------------

  function drawRows(places) {
    let body = $("cards").querySelector("tbody");
    if (!body) {
      body = make("tbody");
      const heads = ["name", "end", ...fields].map((name, column) => {
        const sort = column === 0 ? "name" : column === 1 ? "mixed" : String(column - 2);
        const button = make("button", { type: "button" }, name);
        button.addEventListener("click", () => { if ($("sort").value === sort) turn(); else { $("sort").value = sort; update(); } });
        const head = make("th", { scope: "col" }, button);
        if ($("sort").value === sort && sort !== "mixed") head.setAttribute("aria-sort", up ? "ascending" : "descending");
        return head;
      });
      const whole = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
      const scroll = make("div", { className: "scroll", tabIndex: 0 }, whole);
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", "Items with all values");
      $("cards").append(scroll);
    }
    body.append(...places.map((place) => {
      const item = items[place];
      const cells = fields.map((_, field) => make("td", {}, shown(item[VALUES][field])));
      const row = make("tr", {}, make("td", {}, make("bdi", {}, item[NAME])), make("td", {}, fateOf(item)), ...cells);
      row.addEventListener("click", () => detail(item));
      return row;
    }));
  }

  function turn() {
    up = !up;
    press();
    update();
  }

  // -- the beginning; of a live page also when there are newer items: what was chosen stays ---------

  function start() {
    if (!$("data")) return;
    ({ fields, groups, pictures, items } = JSON.parse($("data").textContent));
    order = items.map((_, place) => place);
    chips();
    selects();
    $("tools").addEventListener("submit", (event) => event.preventDefault());
    $("find").addEventListener("input", update);
    for (const id of ["reason", "sort"]) $(id).addEventListener("change", update);
    $("order").addEventListener("click", turn);
    $("view").addEventListener("click", () => { table = !table; press(); update(); });
    $("more").addEventListener("click", draw);
    $("detail").addEventListener("click", (event) => { if (event.target === $("detail")) $("detail").close(); });
    const before = drawn;
    update();
    while (drawn < Math.min(before, found.length)) draw();
  }

  document.addEventListener("hpcurate-items", start);
  start();
})();
