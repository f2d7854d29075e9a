"use strict";
// Hears of newer renderings of this page and puts in what differs; what was opened, chosen and scrolled to stays.
(() => {
  const $ = (id) => document.getElementById(id);
  const main = $("main");
  const nameOf = (part) => part.id || part.className || part.tagName;
  const texts = () => new Map([...main.children].map((part) => [nameOf(part), part.outerHTML]));
  let served = texts(), number = Number($("live").dataset.page), latest = null, fetching = false;

  // -- what the server says -----------------------------------------------------------------------

  const events = new EventSource("events");
  events.addEventListener("seen", (event) => { latest = JSON.parse(event.data); say(); update(); });
  events.addEventListener("error", () => {
    const gone = events.readyState === EventSource.CLOSED;
    line(gone ? "not live any more: the server has ended, or wants its token" : "not live: asking the server again");
  });

  function line(text) { if ($("live").textContent !== text) $("live").textContent = text; }

  function say() {
    if (!latest) return;
    if (latest.trouble) return line(`not as it is now: ${latest.trouble}`);
    const time = document.querySelector(".state time");
    time.dateTime = latest.as_of;
    time.textContent = latest.as_of.replace("T", " ").replace("Z", " UTC");
    if (latest.live) line(latest.work ? `live: ${latest.work}` : "live");
    else line(latest.state === "complete" ? "complete" : "ended");
  }

  // -- another rendering ----------------------------------------------------------------------------

  // Nothing is replaced under who reads one item, or has marked a text: it is as soon as that is over.
  const read = () => $("detail")?.open || !getSelection().isCollapsed;

  async function update() {
    if (!latest || latest.page === number || fetching || read()) return;
    fetching = true;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch (error) { /* there is a next event, or the line says that there is none */ }
    fetching = false;
  }

  document.addEventListener("close", update, true);
  document.addEventListener("selectionchange", update);

  function put(fresh) {
    if (read()) return;
    number = Number(fresh.getElementById("live").dataset.page);
    const stay = place(), focus = focused(), before = served;
    const data = fresh.getElementById("data"), newItems = data?.textContent !== $("data")?.textContent;
    if (newItems) before.delete("items");
    served = new Map();
    const old = new Map([...main.children].map((part) => [nameOf(part), part]));
    const parts = [...fresh.getElementById("main").children].map((part) => {
      const name = nameOf(part);
      served.set(name, part.outerHTML);
      return before.get(name) === part.outerHTML ? old.get(name) : opened(part, old.get(name));
    });
    arrange(parts);
    document.querySelector("nav").replaceWith(fresh.querySelector("nav"));
    if (newItems) {
      $("data")?.remove();
      if (data) main.after(data);
      document.dispatchEvent(new Event("hpcurate-items"));
    }
    say();
    focus();
    stay();
  }

  // What is the same is not even moved: it would lose the focus.
  function arrange(parts) {
    for (const part of [...main.children]) if (!parts.includes(part)) part.remove();
    let next = main.firstElementChild;
    for (const part of parts) {
      if (part === next) next = next.nextElementSibling; else main.insertBefore(part, next);
    }
  }

  // -- what stays -----------------------------------------------------------------------------------

  const keyOf = (details) => (details.parentElement.querySelector("p")?.textContent ?? "") + details.querySelector("summary").textContent.replace(/\d+/g, "");

  function opened(part, before) {
    const open = new Set([...(before?.querySelectorAll("details[open]") ?? [])].map(keyOf));
    for (const details of part.querySelectorAll("details")) details.open = open.has(keyOf(details));
    return part;
  }

  // The part that is being read stays where it is on the screen, whatever grows above it.
  function place() {
    const part = [...main.children].find((one) => one.getBoundingClientRect().bottom > 80);
    const top = part?.getBoundingClientRect().top;
    return () => {
      const now = part && [...main.children].find((one) => nameOf(one) === nameOf(part));
      if (now) scrollBy({ top: now.getBoundingClientRect().top - top, behavior: "instant" });
    };
  }

  function focused() {
    const element = document.activeElement, { id, selectionStart, selectionEnd } = element;
    const label = element.matches(".card") ? element.querySelector(".label").textContent : null;
    return () => {
      if (element.isConnected) return;
      const card = [...document.querySelectorAll(".card .label")].find((one) => one.textContent === label);
      card?.closest(".card").focus({ preventScroll: true });
      if (!id || !$(id)) return;
      $(id).focus({ preventScroll: true });
      if (typeof selectionStart === "number") $(id).setSelectionRange(selectionStart, selectionEnd);
    };
  }
})();
