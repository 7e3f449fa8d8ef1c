// Elements from plain values: text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

// Strokes on a field of 24 by 24.
const ICONS = {
  make: "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8zM19 16v5M16.5 18.5h5M5 16v3M3.5 17.5h3",
  watch: "M4 5h16a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM10 9l5 3-5 3z",
  gallery: "M4 4h7v9H4zM14 4h6v6h-6zM14 13h6v7h-6zM4 16h7v4H4z",
  live: "M12 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM8 8a5.7 5.7 0 0 0 0 8M16 8a5.7 5.7 0 0 1 0 8M5.2 5.2a9.6 9.6 0 0 0 0 13.6M18.8 5.2a9.6 9.6 0 0 1 0 13.6",
  record: "M12 6a6 6 0 1 0 0 12 6 6 0 0 0 0-12z",
  enter: "M21 3L10 14M21 3l-7 18-4-7-7-4z",
  models: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12L4 7.5",
  dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z",
  auto: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 7.5l6.5 2M12 13l7.5 1M12 18l4 0",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3.5 6 3.5 9s-.5 6-3.5 9c-3-3-3.5-6-3.5-9S9 6 12 3z",
  star: "M12 3.5l2.6 5.5 6 .8-4.4 4.2 1.1 6L12 17.1 6.7 20l1.1-6L3.4 9.8l6-.8z",
  bin: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  retry: "M20 11a8 8 0 1 0-2 6M20 4v7h-7",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  block: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM6 6l12 12",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5",
  play: "M7 4.5l12 7.5-12 7.5z",
  pause: "M8 5v14M16 5v14",
  compare: "M4 5h7v14H4zM13 5h7v14h-7z",
  plus: "M12 5v14M5 12h14",
  download: "M12 4v11M7 11l5 5 5-5M4 20h16",
  again: "M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5",
  shield: "M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6zM8.5 12l2.5 2.5 4.5-5",
  film: "M3 5h18v14H3zM7 5v14M17 5v14M3 9.5h4M3 14.5h4M17 9.5h4M17 14.5h4",
  step: "M7 5l9 7-9 7zM18 5v14",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5.5M12 7.5h.01",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2",
};

/** An HTML element; `props` are attributes, but for class, text, value, checked, on, data and vars. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** A drawn sign; it says nothing to a screen reader. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, s("path", { d: ICONS[name] }));
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.setAttribute("class", Array.isArray(value) ? value.filter(Boolean).join(" ") : value);
    else if (name === "text") element.textContent = value;
    else if (name === "value" || name === "checked" || name === "muted" || name === "indeterminate") element[name] = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "vars") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** New children for an element. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button with a sign and, unless `bare`, words beside it; bare ones tell their words to a screen reader. */
export function button(words, run, { sign, bare = false, kind = "", ...props } = {}) {
  return h(
    "button",
    { type: "button", class: ["button", kind, bare && "bare"], title: bare ? words : null, "aria-label": bare ? words : null, on: { click: run }, ...props },
    sign && icon(sign),
    bare ? null : h("span", { text: words }),
  );
}

/** A link of this page that looks like a button. */
export function linkButton(words, href, { sign, kind = "", ...props } = {}) {
  return h("a", { href, class: ["button", kind], ...props }, sign && icon(sign), h("span", { text: words }));
}

/** A select over [value, words, help?] rows. */
export function select(rows, value, change, props = {}) {
  const known = rows.some(([one]) => one === value);
  const all = known ? rows : [...rows, [value, value]];
  const element = h("select", { ...props, on: { change: () => change(element.value) } },
    all.map(([one, words, help]) => h("option", { value: one, text: words, title: help || null })));
  element.value = value;
  return element;
}

/** A labelled control: words, the control, and a hint that is read out with it. */
export function field(words, control, hint = "", props = {}) {
  const id = control.id || nextId();
  control.id = id;
  const note = h("p", { class: "hint", id: `${id}-hint`, text: hint, hidden: !hint });
  control.setAttribute("aria-describedby", note.id);
  return h("div", { ...props, class: ["field", props.class] }, h("label", { for: id, text: words }), control, note);
}

let counter = 0;

/** An id that no other element has. */
export function nextId() {
  counter += 1;
  return `x${counter}`;
}

/** The function, called once things have been quiet for `ms`. */
export function debounced(run, ms) {
  let timer = 0;
  const later = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), ms);
  };
  later.stop = () => clearTimeout(timer);
  return later;
}

/** Says something to a screen reader, when it has time. */
export function announce(text) {
  const live = document.getElementById("live");
  if (live.textContent !== text) live.textContent = text;
}

/** A line that comes and goes; `action` is {words, run}. Errors stay until they are closed. */
export function toast(text, { kind = "", action = null, detail = "", closeWords = "×", seconds = 8 } = {}) {
  const place = document.getElementById("toasts");
  const away = () => line.remove();
  const line = h("div", { class: ["toast", kind], role: kind === "bad" ? "alert" : "status" },
    h("div", {}, h("p", { text }), detail && h("p", { class: "hint", text: detail })),
    action && h("button", { type: "button", class: "button small", text: action.words, on: { click: () => { away(); action.run(); } } }),
    h("button", { type: "button", class: "button bare small", "aria-label": closeWords, on: { click: away } }, icon("close")));
  place.append(line);
  while (place.children.length > 4) place.firstChild.remove();
  if (kind !== "bad") setTimeout(away, seconds * 1000);
  return away;
}

/** Puts text on the clipboard; false where the browser does not allow it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "unseen", value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
